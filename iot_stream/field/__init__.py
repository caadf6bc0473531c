"""A version in the field: who has it, and how it does there beside the version before."""

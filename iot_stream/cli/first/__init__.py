"""A first configuration, of what was heard and what a person says."""

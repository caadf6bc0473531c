"""Benchmarks: each runs its reference in the same run, so that the machine's mood cancels out in a ratio."""

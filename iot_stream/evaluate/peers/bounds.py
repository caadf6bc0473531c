"""How many rows a peer learns from at most, so that it ends in minutes and not in days."""

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 10_000
MOST_NUMBERS = 1_000_000
"""Rows times features."""


def most_rows(features: int) -> int:
    return max(1, min(MOST_ROWS, MOST_NUMBERS // features))


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """All rows of so many, or `most` of them, spread evenly from the first to the last."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(np.int64)

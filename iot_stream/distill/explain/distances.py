"""How far two sets of values are from each other: Wasserstein-1, column by column.

W₁ = ∫₀¹ |F⁻¹(p) − G⁻¹(p)| dp (Vallender 1974), on a grid of quantiles: what it costs to move the mass of one
distribution to the other's, in the values' own unit. A set is sorted once and compared often.
"""

import numpy as np
from numpy.typing import NDArray

GRID = 256

Quantiles = NDArray[np.float64]
"""(GRID, columns): F⁻¹ at the middles of GRID equal parts of [0, 1]; NaN where a column has no value."""


def quantiles(values: NDArray[np.float64]) -> Quantiles:
    """Of each column of (m, columns), NaN left out."""
    if not len(values):
        return np.full((GRID, values.shape[1]), np.nan)
    ordered = np.sort(values, axis=0)  # NaN last
    known = (~np.isnan(values)).sum(axis=0)
    place = np.clip((np.arange(GRID)[:, None] + 0.5) / GRID * known - 0.5, 0, np.maximum(known - 1, 0))
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(known - 1, 0))
    below, above = np.take_along_axis(ordered, low, axis=0), np.take_along_axis(ordered, high, axis=0)
    return np.where(known > 0, below + (place - low) * (above - below), np.nan)


def wasserstein(a: Quantiles, b: Quantiles) -> NDArray[np.float64]:
    """W₁ of each column (columns,); NaN where either has no value."""
    return np.asarray(np.abs(a - b).mean(axis=0))

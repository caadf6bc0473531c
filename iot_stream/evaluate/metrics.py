"""Accuracy, plain and balanced, as fractions."""

import numpy as np
from numpy.typing import NDArray


def accuracy(said: NDArray[np.int64], truth: NDArray[np.int64]) -> float | None:
    """Share of windows told rightly; None for no windows."""
    return float((said == truth).mean()) if len(truth) else None


def balanced(said: NDArray[np.int64], truth: NDArray[np.int64]) -> float | None:
    """Mean of the recalls of the classes that occur (Brodersen et al. 2010); None for no windows."""
    recalls = [float((said[truth == k] == k).mean()) for k in np.unique(truth)]
    return float(np.mean(recalls)) if recalls else None


def over_time(
    times: NDArray[np.int64], right: NDArray[np.bool_], edges: NDArray[np.int64]
) -> list[float | None]:
    """Accuracy between each edge and the next; None where there are no windows."""
    place = np.searchsorted(edges, times, side="right") - 1
    return [float(right[place == i].mean()) if (place == i).any() else None for i in range(len(edges) - 1)]

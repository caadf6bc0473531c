"""Which windows go up where not all can: the unlike, the doubtful, and some for no reason.

One third is unlike what has gone up before (farthest first: Gonzalez 1985, as the core sets of Sener and
Savarese, "Active learning for convolutional neural networks", ICLR 2018, arXiv 1708.00489), one third is what
the student doubts (uncertainty sampling: Lewis and Gale 1994, arXiv cmp-lg/9407020), one third is drawn at
random, so that the gate sees the world as it is too.
"""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Values

Features = NDArray[np.float64]


def features(x: Values) -> Features:
    """(n, length, inputs) windows → (n, d): mean and deviation of each input, missing ones 0."""
    known = np.maximum((~np.isnan(x)).sum(axis=1), 1)
    mean: Features = np.nansum(x, axis=1, dtype=np.float64) / known
    if x.shape[1] == 1:
        return mean
    deviation = np.sqrt(np.nansum((x - mean[:, None]) ** 2, axis=1) / known)
    return np.concatenate([mean, deviation], axis=1)


def order(
    found: Features, certainty: NDArray[np.float64], before: Features, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indexes of all windows (n,), the most telling first. `certainty` (n,) of the student; `before` (m, d):
    features of what has gone up."""
    scale = np.concatenate([found, before]).std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    rankings = (
        farthest_first(found / scale, before / scale),
        np.argsort(certainty, kind="stable"),
        rng.permutation(len(found)),
    )
    turns = chain.from_iterable(zip(*(ranking.tolist() for ranking in rankings), strict=True))
    return np.array(list(dict.fromkeys(turns)), np.int64)


def farthest_first(found: Features, before: Features) -> NDArray[np.int64]:
    """Indexes (n,): each is the farthest from what went before it; where nothing did, from the middle."""
    count = len(found)
    known = before if len(before) else found.mean(axis=0, keepdims=True)
    near = np.min([((found - each) ** 2).sum(axis=1) for each in known], axis=0)
    ranking = np.zeros(count, np.int64)
    for place in range(count):
        ranking[place] = far = int(near.argmax())
        near = np.minimum(near, ((found - found[far]) ** 2).sum(axis=1))
        near[far] = -1.0
    return ranking

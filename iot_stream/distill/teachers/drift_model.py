"""Gaussian classes that drift: their means take a random step from one regime to the next, and are followed
by a Kalman filter, on labels where there are any and on bare rows by expectation maximisation.

All is done in a basis in which the covariance within the classes is the identity and that of the walk is
diagonal, so that each coordinate is a filter of one dimension (Kalman 1960; the basis: Fukunaga,
"Introduction to Statistical Pattern Recognition", 1990, 2.3). A row of a class is then spread around the
class's mean by 1 plus what is not known of the mean: after a step, directions of drift say little until
the new rows have shown where the classes went.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from iot_stream.labelling import NO_LABEL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHRINK = 0.02  # of the covariance within classes towards its mean variance
FADING = 0.5  # what a row counts for that covariance, of one that is a regime newer: the spread drifts too
LEAST, LEAST_NOW = 2, 20  # labelled rows of a class that tell where it was in a regime, in the present one
UNLABELLED = 0.05  # what a row counts whose class nobody told, of one that is labelled
PRIOR_MOVES = 0.5  # moves of the prior that stand beside those seen
PRIOR_STEP = 1.0  # variance of a step before any was seen, in variances within a class
FAINTEST = 1e-4  # least variance of a step, in the same unit
ITERATIONS = 10
SETTLED = 1e-3


@dataclass(frozen=True)
class Regime:
    """Rows `x` (n, d) of a time in which nothing moved, with classes `y` (n,), −1 where nobody told."""

    x: Floats
    y: Ints

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return np.asarray(self.y != NO_LABEL)


@dataclass(frozen=True)
class Belief:
    """Where the classes are: `means` (k, d) and the `variances` (k, d) of what is known of them."""

    means: Floats
    variances: Floats

    def observed(self, counts: Floats, sums: Floats) -> "Belief":
        """Kalman's update by `counts` (k,) rows of each class that add up to `sums` (k, d)."""
        variances = 1 / (1 / self.variances + counts[:, None])
        return Belief(variances * (self.means / self.variances + sums), variances)

    def stepped(self, walk: Floats) -> "Belief":
        """After a step of variance `walk` (d,)."""
        return replace(self, variances=self.variances + walk)

    def log_densities(self, z: Floats) -> Floats:
        """(n, k) of rows `z` (n, d), but for a constant."""
        spread = 1 + self.variances
        squares = z**2 @ (1 / spread).T - 2 * z @ (self.means / spread).T
        squares += (self.means**2 / spread).sum(axis=1)
        return np.asarray(-0.5 * (squares + np.log(spread).sum(axis=1)), np.float64)


@dataclass(frozen=True)
class Walk:
    """`basis` (features, d) turns rows into coordinates of unit variance within the classes, in which a step
    of the means has the variances `steps` (d,)."""

    basis: Floats
    steps: Floats

    @classmethod
    def of(cls, regimes: Sequence[Regime], classes: int, fading: float = FADING) -> "Walk":
        """From the labelled rows: the covariance around the means of each regime and class, that of late
        regimes above all, and the covariance of how the means moved from a regime to the next that has the
        class, less what of it is chance.

        A prior of `PRIOR_MOVES` moves stands beside them, alike in all directions and of the size of the
        others; where no move was seen yet, of the spread within a class.
        """
        features = regimes[0].x.shape[1]
        scatter, freedom = np.zeros((features, features)), 0.0
        seen: dict[int, list[tuple[int, Floats, int]]] = {k: [] for k in range(classes)}
        for number, regime in enumerate(regimes):
            since = len(regimes) - 1 - number
            for k in range(classes):
                rows = regime.x[regime.y == k]
                if len(rows) < LEAST:
                    continue
                mean = rows.mean(axis=0)
                scatter += fading**since * (rows - mean).T @ (rows - mean)
                freedom += fading**since * (len(rows) - 1)
                if since or len(rows) >= LEAST_NOW:
                    seen[k].append((number, mean, len(rows)))
        within = scatter / (freedom or 1)
        flat = np.trace(within) / features or 1.0
        within = (1 - SHRINK) * within + SHRINK * flat * np.eye(features)
        white = np.linalg.inv(np.linalg.cholesky(within)).T
        moves, chance = [], 0.0
        for places in seen.values():
            for (before, from_, n), (after, to, m) in pairwise(places):
                moves.append((to - from_) @ white / np.sqrt(after - before))
                chance += 1 / n + 1 / m
        moved = np.array(moves).reshape(-1, features)
        total = moved.T @ moved - chance * np.eye(features)
        size = max(FAINTEST, np.trace(total) / features / len(moved)) if len(moved) else PRIOR_STEP
        covariance = (total + PRIOR_MOVES * size * np.eye(features)) / (len(moved) + PRIOR_MOVES)
        steps, axes = np.linalg.eigh(covariance)
        return cls(white @ axes, np.maximum(steps, FAINTEST))

    def first(self, z: Floats, classes: int) -> Belief:
        """Before anything is known of the classes: somewhere about the rows `z` (n, d)."""
        place = np.broadcast_to(z.mean(axis=0), (classes, z.shape[1]))
        vague = z.var(axis=0) + 10 * self.steps + 1
        return Belief(place.copy(), np.broadcast_to(vague, place.shape).copy())


def settled(z: Floats, y: Ints, before: Belief) -> Belief:
    """The belief after a regime's rows `z` (n, d) of classes `y` (n,), −1 where nobody told: expectation
    maximisation (Dempster, Laird & Rubin 1977), a bare row counting `UNLABELLED` (Nigam et al. 2000)."""
    labelled = y != NO_LABEL
    told = np.eye(len(before.means))[y[labelled]]
    counts, sums = told.sum(axis=0), told.T @ z[labelled]
    belief = before.observed(counts, sums)
    bare = z[~labelled]
    for _ in range(ITERATIONS if len(bare) else 0):
        said = probabilities(belief.log_densities(bare))
        found = before.observed(counts + UNLABELLED * said.sum(axis=0), sums + UNLABELLED * said.T @ bare)
        moved = float(np.abs(found.means - belief.means).max())
        belief = found
        if moved < SETTLED:
            break
    return belief


def followed(regimes: Sequence[Regime], walk: Walk, classes: int) -> list[Belief]:
    """Of each regime, in order of time, where the classes were."""
    earliest = next(regime for regime in regimes if len(regime.y))
    belief = walk.first(earliest.x @ walk.basis, classes)
    beliefs: list[Belief] = []
    for regime in regimes:
        before = belief.stepped(walk.steps) if beliefs else belief
        belief = settled(regime.x @ walk.basis, regime.y, before)
        beliefs.append(belief)
    return beliefs


def strangeness(z: Floats, y: Ints, belief: Belief, walk: Walk) -> Floats:
    """How much likelier each row (n,) would be after one more step than without: the log of the ratio."""
    there, gone = belief.log_densities(z), belief.stepped(walk.steps).log_densities(z)
    rows = np.arange(len(z))
    told = gone[rows, y] - there[rows, y]
    bare = np.logaddexp.reduce(gone, axis=1) - np.logaddexp.reduce(there, axis=1)
    return np.asarray(np.where(y == NO_LABEL, bare, told), np.float64)


def probabilities(log_densities: Floats) -> Floats:
    """(n, k), all classes alike frequent."""
    raised = np.exp(log_densities - log_densities.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)

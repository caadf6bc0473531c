"""What a round learns from: the newest windows, and a reservoir balanced over classes and time, so that
old regimes are not forgotten. What the gate will judge by is taken out first (`split.py`)."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Sample
from iot_stream.distill.material import Material
from iot_stream.readings import Times, Values

PERIODS = 24
"""Into so many equal parts the time of the reservoir is cut; each gives the same, where it can."""


@dataclass(frozen=True)
class Batch:
    """The rows of a round and how often each is drawn relative to the others."""

    material: Material
    weights: NDArray[np.float64]
    recent: int
    reservoir: int


def reach(settings: Sample) -> int:
    """How many of the newest windows a round looks at."""
    return 10 * (settings.recent + settings.reservoir)


def draw(stream: Material, bootstrap: Material, settings: Sample, now: int) -> Batch:
    """Recent windows of the stream, and a reservoir of older ones and of the bootstrap. `now` in ns."""
    order = np.argsort(stream.ends, kind="stable")
    recent = stream.rows(order[-settings.recent :])
    older = stream.rows(order[: -settings.recent])
    old = bootstrap.and_then(older)
    reservoir = old.rows(balanced(old, settings.reservoir))
    decayed = by_age(recent.ends, now, settings)
    share = settings.share if len(reservoir) else 1.0
    weights = np.concatenate(
        [
            share * decayed / max(decayed.sum(), 1e-12),
            np.full(len(reservoir), (1 - share) / max(1, len(reservoir))),
        ]
    )
    return Batch(recent.and_then(reservoir), weights, len(recent), len(reservoir))


def by_age(ends: Times, now: int, settings: Sample) -> NDArray[np.float64]:
    """How much windows that ended then weigh at `now` (n,): less by age, where `settings.decay` says so."""
    if not settings.decay:
        return np.ones(len(ends))
    return np.asarray(np.exp(-np.maximum(0, now - ends) / int(settings.decay)), np.float64)


def by_disagreement(batch: Batch, student: Values, strength: float) -> Batch:
    """Windows on which the running student differs from the teacher are drawn more often: 1 + strength·d
    times, d (0 to 1) the total variation between their probabilities. Shares of recent and reservoir stay.

    `student` (n, classes): its logits on the batch's windows.
    """
    distance = 0.5 * np.abs(_softmax(batch.material.logits) - _softmax(student)).sum(axis=1)
    weights = batch.weights * (1 + strength * distance)
    for part in (slice(0, batch.recent), slice(batch.recent, None)):
        weights[part] *= batch.weights[part].sum() / max(weights[part].sum(), 1e-12)
    return replace(batch, weights=weights)


def balanced(material: Material, size: int) -> NDArray[np.int64]:
    """Rows, at most `size`: as even as can be over the teacher's classes, and over time within each.

    Even over time, not over windows: an hour in which ten times as many came has no more to say.
    """
    if len(material) <= size:
        return np.arange(len(material))
    classes = [np.flatnonzero(material.said == k) for k in np.unique(material.said)]
    quotas = _evenly([len(rows) for rows in classes], size)
    chosen = [_over_time(rows, material.ends, quota) for rows, quota in zip(classes, quotas, strict=True)]
    return np.sort(np.concatenate(chosen))


def _over_time(rows: NDArray[np.int64], ends: Times, size: int) -> NDArray[np.int64]:
    ordered = rows[np.argsort(ends[rows], kind="stable")]
    when = ends[ordered] - ends[ordered[0]]
    period = when * PERIODS // (int(when[-1]) + 1)
    parts = [ordered[period == number] for number in np.unique(period)]
    quotas = _evenly([len(part) for part in parts], size)
    return np.concatenate(
        [
            part[np.linspace(0, len(part) - 1, quota).astype(np.int64)]
            for part, quota in zip(parts, quotas, strict=True)
        ]
    )


def _evenly(have: list[int], total: int) -> list[int]:
    """How many each gives of `total`: all the same, or all that it has where that is less."""
    quotas = [0] * len(have)
    order = sorted(range(len(have)), key=have.__getitem__)
    for done, which in enumerate(order):
        quotas[which] = min(have[which], total // (len(have) - done))
        total -= quotas[which]
    return quotas


def _softmax(logits: Values) -> NDArray[np.float64]:
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)

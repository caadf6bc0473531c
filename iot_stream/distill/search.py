"""Stage *fusion*: which α, β, T and learning rate a round trains with, found by trials on its own sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.config.learning import DistillSettings, SearchSettings
from iot_stream.distill.losses import NO_LABEL
from iot_stream.distill.material import Material

HELD = 0.2
"""Share of what may be learnt that judges the trials: the newest, by time."""

PROFILE = 0.1
"""Share of the sample's rows that the first rung sees."""

FEWEST = 20
"""Held windows below which nothing is searched: chance would choose."""

Trial = Callable[[DistillSettings, float, int], NDArray[np.float32]]
"""(settings with the steps to take, share of the rows, seed) → logits (n, classes) on the held windows."""


@dataclass(frozen=True)
class Found:
    """The settings that did best, and every trial: rung, steps, α, β, T, rate, balanced accuracy."""

    settings: DistillSettings
    trials: list[dict[str, Any]]


def walk_forward(learnt: Material) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks (n,): what the trials train on, and the newest windows, that judge them; none of them overlap."""
    if not len(learnt):
        return np.zeros(0, bool), np.zeros(0, bool)
    held = learnt.ends > np.quantile(learnt.ends, 1 - HELD, method="lower")
    begin = learnt.starts[held].min() if held.any() else np.iinfo(np.int64).max
    return learnt.ends < begin, held


def halving(
    settings: DistillSettings, labelled: bool, truth: NDArray[np.int64], trial: Trial, seed: int
) -> Found:
    """Successive halving: Jamieson & Talwalkar, "Non-stochastic best arm identification and hyperparameter
    optimization", arXiv 1502.07943 (2015), algorithm 1.

    Each rung has the same share of the budget and divides it among the candidates that are left; one of
    `keep` goes on. The first rung is a quick profile on a tenth of the rows. The budget counts steps, not
    seconds, so that the same seed finds the same. `truth` (n,) of the held windows; `labelled`: whether
    the sample has labels, without which α and β have nothing to share out. Among equals the earlier
    stays, and the configured settings come first.
    """
    plan = settings.search
    assert plan is not None
    left, trials = candidates(settings, plan, labelled, seed), []
    counts = _rungs(plan)
    for rung, count in enumerate(counts):
        left = left[:count]
        steps = max(1, plan.steps // len(counts) // len(left))
        scores = []
        for each in left:
            tried = msgspec.structs.replace(each, steps=steps)
            scores.append(_balanced(trial(tried, PROFILE if rung == 0 else 1.0, seed), truth))
            trials.append({"rung": rung, "steps": steps, **_varied(each), "balanced": scores[-1]})
        left = [left[i] for i in np.argsort(-np.array(scores), kind="stable")]
    return Found(left[0], trials)


def candidates(
    settings: DistillSettings, plan: SearchSettings, labelled: bool, seed: int
) -> list[DistillSettings]:
    """As configured, then drawn around it: T within a factor of 2, the rate of 3, β any share of α + β."""
    rng = np.random.default_rng(seed)
    found = [settings]
    for _ in range(plan.candidates - 1):
        warmer, faster, share = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform()
        both = settings.alpha + settings.beta
        beta = share * both if labelled else settings.beta
        found.append(
            msgspec.structs.replace(
                settings,
                temperature=settings.temperature * 2**warmer,
                rate=settings.rate * 3**faster,
                alpha=both - beta,
                beta=beta,
            )
        )
    return found


def _rungs(plan: SearchSettings) -> list[int]:
    """How many candidates each rung has, down to fewer than `keep`."""
    counts = [plan.candidates]
    while counts[-1] > plan.keep:
        counts.append(-(-counts[-1] // plan.keep))
    return counts


def _balanced(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    said, known = logits.argmax(axis=1), truth != NO_LABEL
    return float(np.mean([(said[known & (truth == k)] == k).mean() for k in np.unique(truth[known])]))


def _varied(settings: DistillSettings) -> dict[str, float]:
    return {name: getattr(settings, name) for name in ("alpha", "beta", "temperature", "rate")}

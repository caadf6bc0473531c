"""Whether a teacher is to be believed: its broken channels, its doubts, and late labels against it.

What a broken channel makes it say is not believed, and not learnt from. A teacher is held, and teaches and
judges nothing, while most of what is new is not to be believed, while it is as good as undecided, or while
late labels prove it wrong: Wilson's upper bound (JASA 22, 1927) of the share that it gets right is clearly
below what the same classes let expect from the bootstrap. Windows of one stretch, in which a device stays in
one class, tend to be right or wrong together: they count as the fewer independent ones that they are worth
by Kish's design effect (Survey Sampling, 1965).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Trust
from iot_stream.labelling import NO_LABEL, named, spoken
from iot_stream.readings import Times, Values

Z95 = 1.96
LONGER = 2  # a value that stays so many times as long as it ever did is stuck
LEAST_RUN = 30  # windows; shorter runs are no evidence
SELDOM = 0.05  # a channel that is missing more often than this in the bootstrap may be missing
NEWEST = 200  # labels that count
OUTPUT = "its output"
SURE = 0.5  # of the certainty beyond guessing that is left of it

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Lengths:
    """How long a channel stayed the same: value → longest run in windows. A value may stay LONGER than it
    did, and any LONGER than all but the one that stays longest: a lamp is off all night, and never on at the
    same 433 lux."""

    of: dict[float, int]
    others: int

    @classmethod
    def seen(cls, values: Values, order: "_Order") -> "Lengths | None":
        """None for a channel that never changed: it does not tell anything by staying so."""
        constant, runs = order.runs(values)
        if len(constant) and (constant == constant[0]).all():
            return None
        counts = runs > LEAST_RUN // LONGER
        found: dict[float, int] = {}
        for value, run in zip(constant[counts].tolist(), runs[counts].tolist(), strict=True):
            found[value] = max(run, found.get(value, 0))
        return cls(found, sorted(found.values())[-2] if len(found) > 1 else 0)

    def stuck(self, values: Values, order: "_Order") -> Mask:
        constant, runs = order.runs(values)
        found = runs > LEAST_RUN
        for value in np.unique(constant[found]).tolist():
            found &= (constant != value) | (runs > LONGER * max(self.of.get(value, 0), self.others))
        return found


@dataclass(frozen=True)
class Heard:
    """Windows by which late labels judge, oldest first: `labels` and `devices` are (n,)."""

    logits: Values
    labels: NDArray[np.int64]
    devices: NDArray[np.str_]


@dataclass(frozen=True)
class Record:
    """What a teacher was like on its bootstrap. `recall` (classes,), NaN where nobody told; `certainty`, the
    mean probability of the class that it named; `lengths` of each of its channels, and of its output, None
    where it may be missing or rightly stays as it is."""

    channels: tuple[str, ...]
    recall: NDArray[np.float64]
    certainty: float
    lengths: tuple[Lengths | None, ...]

    @classmethod
    def of(
        cls,
        channels: tuple[str, ...],
        x: Values,
        devices: NDArray[np.str_],
        ends: Times,
        logits: Values,
        labels: NDArray[np.int64],
        said: NDArray[np.int64],
        *,
        states: bool = False,
    ) -> "Record":
        """Of n windows `x` (n, length, inputs); `said` (n,): the classes that it named, cross-validated where
        that was wanted. `states`: its channels rightly stay as they are for long."""
        recall = np.full(logits.shape[1], np.nan)
        for k in np.unique(labels[labels >= 0]).tolist():
            recall[k] = (said[labels == k] == k).mean()
        order = _Order(devices, ends)
        lengths = [
            None if states or np.isnan(column).all(axis=1).mean() > SELDOM else Lengths.seen(column, order)
            for column in _columns(x, logits)
        ]
        return cls((*channels, OUTPUT), recall, certainty(logits), tuple(lengths))

    def broken(self, x: Values, devices: NDArray[np.str_], ends: Times, logits: Values) -> Mask:
        """(n, inputs + 1): where a channel, or the output, is missing or stuck as it never was."""
        found, order = np.zeros((len(x), len(self.channels)), bool), _Order(devices, ends)
        for number, (lengths, column) in enumerate(zip(self.lengths, _columns(x, logits), strict=True)):
            if lengths is not None and len(x):
                found[:, number] = np.isnan(column).all(axis=1) | lengths.stuck(column, order)
        return found


def _columns(x: Values, logits: Values) -> list[Values]:
    """(n, length) of each channel, and (n, 1) of the output."""
    return [*(x[:, :, number] for number in range(x.shape[2])), logits[:, :1]]


def doubt(
    record: Record,
    broken: Mask,
    logits: Values,
    heard: Heard,
    settings: Trust,
) -> str:
    """Why a teacher is held, in words; empty where it is believed. `broken` and `logits` are of the new
    windows."""
    if len(broken) >= settings.n_min and broken.any(axis=1).mean() > 0.5:
        worst = int(broken.mean(axis=0).argmax())
        share = broken[:, worst].mean()
        what = record.channels[worst]
        return f"{what} is stuck or missing in {share:.0%} of the new windows"
    whole = ~broken.any(axis=1) & spoken(logits)
    if whole.sum() >= settings.n_min:
        guessing = 1 / logits.shape[1]
        now = certainty(logits[whole])
        if now - guessing < SURE * (record.certainty - guessing):
            return (
                f"it is hardly sure of anything: its certainty fell from {record.certainty:.2f} to {now:.2f}"
            )
    return _by_labels(record, heard, settings)


def _by_labels(record: Record, heard: Heard, settings: Trust) -> str:
    labels = heard.labels
    told = np.flatnonzero((labels != NO_LABEL) & spoken(heard.logits))
    told = told[~np.isnan(record.recall[labels[told]])][-NEWEST:]
    if len(told) < settings.n_min:
        return ""
    right = named(heard.logits[told]) == labels[told]
    stretch = stretches(labels[told], heard.devices[told])
    worth = independent(right, stretch)
    expected = float(record.recall[labels[told]].mean())
    most = wilson(float(right.mean()) * worth, worth)[1]
    if most >= expected - settings.drop:
        return ""
    found = f"{right.sum()} of {len(told)} right in {stretch.max() + 1} stretches of one class, at most "
    return f"late labels prove it wrong: {found}{most:.0%}, where the bootstrap let expect {expected:.0%}"


def stretches(labels: NDArray[np.int64], devices: NDArray[np.str_]) -> NDArray[np.int64]:
    """(n,) numbers of the stretches, from 0, in which a device stays in one class; windows oldest first."""
    order = np.argsort(devices, kind="stable")
    new = np.ones(len(order), bool)
    new[1:] = (labels[order][1:] != labels[order][:-1]) | (devices[order][1:] != devices[order][:-1])
    found = np.empty(len(order), np.int64)
    found[order] = np.cumsum(new) - 1
    return found


def independent(right: Mask, stretch: NDArray[np.int64]) -> float:
    """How many independent windows the n ≥ 1 are worth that come in stretches: n / (1 + (m - 1)·ρ), with m
    the mean length of a window's stretch and ρ the intraclass correlation by analysis of variance; 1 where
    nothing tells it, as where all are right, or all wrong."""
    n, sizes = len(right), np.bincount(stretch)
    number, length = len(sizes), float((sizes**2).sum() / n)
    means = np.bincount(stretch, right) / sizes
    between = float((sizes * (means - right.mean()) ** 2).sum())
    within = float((sizes * means * (1 - means)).sum())
    correlation = 1.0
    if 1 < number < n and between + within > 0:
        between, within = between / (number - 1), within / (n - number)
        size = (n - length) / (number - 1)
        correlation = min(1.0, max(0.0, (between - within) / (between + (size - 1) * within)))
    return n / (1 + (length - 1) * correlation)


def wilson(right: float, of: float, z: float = Z95) -> tuple[float, float]:
    """Bounds of a share, two-sided 95 % by default."""
    share, square = right / of, z * z / of
    middle = share + square / 2
    half = z * float(np.sqrt(max(share * (1 - share), 0.0) / of + square / (4 * of)))
    return (middle - half) / (1 + square), (middle + half) / (1 + square)


def certainty(logits: Values) -> float:
    """Mean probability of the class that is named; 1 where there is nothing."""
    said = logits[spoken(logits)].astype(np.float64)
    if not len(said):
        return 1.0
    return float((1 / np.exp(said - said.max(axis=1, keepdims=True)).sum(axis=1)).mean())


class _Order:
    """Windows of each device in order of time."""

    def __init__(self, devices: NDArray[np.str_], ends: Times) -> None:
        self._rows = np.lexsort((ends, devices))
        ordered = devices[self._rows]
        self._begins = np.ones(len(ordered), bool)
        self._begins[1:] = ordered[1:] != ordered[:-1]

    def runs(self, values: Values) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Of each window (n, length): its value where it does not vary, else NaN; and how many windows of its
        device the run has in which it is the same, 0 where it varies."""
        first = values[:, 0]
        same = (values == first[:, None]).all(axis=1)
        constant = np.where(same, first, np.float32(np.nan))
        ordered = constant[self._rows]
        new = self._begins.copy()
        new[1:] |= ordered[1:] != ordered[:-1]
        number = np.cumsum(new) - 1
        runs = np.zeros(len(values), np.int64)
        runs[self._rows] = np.bincount(number)[number] if len(number) else 0
        return constant, np.where(same, runs, 0)

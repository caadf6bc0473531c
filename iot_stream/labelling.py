"""Joins ground truth, whenever it came, to windows: a window's label is the label of its last reading."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Label, Times

NO_LABEL = -1


def join(
    devices: NDArray[np.str_], starts: Times, ends: Times, labels: Iterable[Label]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For windows (n,): the class at the end, −1 where nobody knows; and whether it changes inside.

    Where labels overlap, the one that began last holds; of those that began together, the shortest.
    """
    values = np.full(len(ends), NO_LABEL, np.int64)
    mixed = np.zeros(len(ends), bool)
    by_device: dict[str, list[Label]] = {}
    for label in labels:
        by_device.setdefault(label.device, []).append(label)
    for device, known in by_device.items():
        rows = np.flatnonzero(devices == device)
        if len(rows):
            moments, classes = _steps(known)
            values[rows] = _at(moments, classes, ends[rows])
            mixed[rows] = _changes(moments, classes, starts[rows], ends[rows])
    return values, mixed


def _steps(labels: list[Label]) -> tuple[Times, NDArray[np.int64]]:
    """From each of these moments on the class is this one, −1 for unknown: overlaps laid out flat."""
    moments: list[int] = []
    classes: list[int] = []
    covering: list[Label] = []  # the one that began last on top

    def uncover(until: int | None) -> None:
        """Labels on top that end before `until` give way to those that they lie on."""
        while covering and (until is None or covering[-1].end < until):
            gone = covering.pop()
            while covering and covering[-1].end <= gone.end:
                covering.pop()
            moments.append(gone.end + 1)
            classes.append(covering[-1].value if covering else NO_LABEL)

    for label in sorted(labels, key=lambda label: (label.start, -label.end)):
        uncover(label.start)
        covering.append(label)
        moments.append(label.start)
        classes.append(label.value)
    uncover(None)
    steps, values = np.array(moments, np.int64), np.array(classes, np.int64)
    lasting = np.append(steps[1:] != steps[:-1], True)  # the last of several at one moment
    return steps[lasting], values[lasting]


def _at(moments: Times, classes: NDArray[np.int64], when: Times) -> NDArray[np.int64]:
    step = np.searchsorted(moments, when, side="right") - 1
    return np.where(step >= 0, classes[np.maximum(step, 0)], NO_LABEL)


def _changes(moments: Times, classes: NDArray[np.int64], starts: Times, ends: Times) -> NDArray[np.bool_]:
    """Whether a window with a known class at its end holds another known class before it."""
    known = classes != NO_LABEL
    begins, values = moments[known], classes[known]
    run = np.concatenate([[0], np.cumsum(values[1:] != values[:-1])])
    first = np.searchsorted(begins, starts, side="right")  # the first to begin inside, or the one in force
    first = np.where(_at(moments, classes, starts) != NO_LABEL, first - 1, first)
    last = np.searchsorted(begins, ends, side="right") - 1
    at_end = _at(moments, classes, ends) != NO_LABEL
    return np.asarray(at_end & (run[np.clip(first, 0, len(run) - 1)] != run[np.clip(last, 0, len(run) - 1)]))


def enough_classes(truth: NDArray[np.int64], n_min: int) -> bool:
    """Whether the windows show more than one class: a twentieth of `n_min` is not of the commonest, and five
    of them, or a quarter of `n_min` where it is below twenty. A model that only ever says the commonest must
    not look good. −1 where nothing is known."""
    counts = np.bincount(truth[truth >= 0], minlength=1)
    return int(counts.sum() - counts.max()) >= max(1, min(5, n_min // 4), n_min // 20)


def named(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class that each row (n, classes) names, −1 where it says nothing (NaN)."""
    return np.where(spoken(logits), logits.argmax(axis=1), NO_LABEL)


def spoken(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether each row (n, classes) says anything."""
    return np.asarray(np.isfinite(logits).all(axis=1))

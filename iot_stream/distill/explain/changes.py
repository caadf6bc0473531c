"""Which windows changed class, and where teacher and new student disagree."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import iso
from iot_stream.device.model import softmax
from iot_stream.distill.explain.units import Units
from iot_stream.distill.explain.why import Disagreement, Example, Moved
from iot_stream.distill.explain.words import SURE
from iot_stream.distill.material import Material
from iot_stream.readings import Values
from iot_stream.spec import Spec

WAYS = 12
WHICH = 12
GROUPS = 6
EXAMPLES = 3
READINGS = 64  # of an example's window: the last ones
SERIES, BARS = 2, 8  # inputs of an example: as curves, or as single values
SIDE = 16  # of an example's picture, at most

Classes = NDArray[np.int64]


def moved(
    judged: Material, before: Classes, after: Classes, truth: Classes, basis: str, names: tuple[str, ...]
) -> Moved:
    """`before`, `after` (n,): classes by running and new student; `truth` (n,): by `basis`, −1 unknown."""
    changed = np.flatnonzero(before != after)
    known = changed[truth[changed] >= 0]
    ways = Counter(zip(before[changed].tolist(), after[changed].tolist(), strict=True))
    counts = [np.bincount(said, minlength=len(names)) for said in (before, after)]
    shifts = np.abs(counts[1] - counts[0])
    largest = [k for k in np.argsort(-shifts, kind="stable")[:WAYS].tolist() if shifts[k]]
    shown = changed[np.linspace(0, len(changed) - 1, min(WHICH, len(changed))).astype(np.int64)]
    return Moved(
        len(judged),
        len(changed),
        basis,
        len(known),
        int((after[known] == truth[known]).sum()),
        int((before[known] == truth[known]).sum()),
        {names[k]: (int(counts[0][k]), int(counts[1][k])) for k in largest},
        [(names[a], names[b], count) for (a, b), count in sorted(ways.items(), key=lambda w: (-w[1], w[0]))][
            :WAYS
        ],
        [
            (
                str(judged.devices[row]),
                iso(int(judged.ends[row])),
                names[before[row]],
                names[after[row]],
                names[truth[row]] if truth[row] >= 0 else "",
            )
            for row in shown.tolist()
        ],
    )


def disagreement(
    judged: Material,
    before: Classes,
    logits: Values,
    spec: Spec,
    units: Units,
    telling: list[int],
) -> Disagreement:
    """`before` (n,): classes by the running student, `logits` (n, classes) of the new one; `telling`: units,
    those that matter most first."""
    said, after, names = judged.said, np.asarray(logits.argmax(axis=1), np.int64), spec.classes
    apart = after != said
    rows = np.flatnonzero(apart)
    sure = softmax(judged.logits)[np.arange(len(judged)), said]
    own = softmax(logits)[np.arange(len(judged)), after]
    labelled = rows[judged.labels[rows] >= 0]
    # Both sure and yet apart comes first, and of each pair of classes one before a second.
    ranked = rows[np.argsort(-(sure * own)[rows], kind="stable")].tolist()
    first = {(said[row], after[row]): row for row in reversed(ranked)}
    chosen = sorted(ranked, key=lambda row: first[(said[row], after[row])] != row)[:EXAMPLES]
    return Disagreement(
        len(judged),
        len(rows),
        int((before != said).sum()),
        int((sure[rows] < SURE).sum()),
        len(labelled),
        int((judged.labels[labelled] == said[labelled]).sum()),
        int((judged.labels[labelled] == after[labelled]).sum()),
        _groups([names[k] for k in said.tolist()], apart),
        _groups(judged.devices.tolist(), apart),
        [
            Example(
                str(judged.devices[row]),
                iso(int(judged.ends[row])),
                names[said[row]],
                round(float(sure[row]), 3),
                names[after[row]],
                round(float(own[row]), 3),
                names[judged.labels[row]] if judged.labels[row] >= 0 else "",
                *_pictured(judged.x[row], spec, units, telling),
            )
            for row in chosen
        ],
    )


def _groups(names: list[str], apart: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
    whole = Counter(names)
    some = Counter(name for name, is_apart in zip(names, apart.tolist(), strict=True) if is_apart)
    ordered = sorted(some, key=lambda name: (-some[name], name))[:GROUPS]
    return {name: (some[name], whole[name]) for name in ordered}


def _pictured(
    window: Values, spec: Spec, units: Units, telling: list[int]
) -> tuple[dict[str, list[float | None]], list[list[float | None]]]:
    """What a plot of a window (length, inputs) needs: values by input, or a picture."""
    if units.width:
        return {}, _rows(_small(window[-1].reshape(-1, units.width).astype(np.float64)))
    if len(window) > 1:
        return {units.names[unit]: _numbers(window[-READINGS:, unit]) for unit in telling[:SERIES]}, []
    scaled = (window[0] - np.asarray(spec.mean)) / np.asarray(spec.scale)
    return {units.names[unit]: _numbers(scaled[unit : unit + 1]) for unit in telling[:BARS]}, []


def _small(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fields of a larger picture averaged, so that neither side is longer than `SIDE`."""
    for axis in (0, 1):
        parts = np.array_split(picture, min(SIDE, picture.shape[axis]), axis=axis)
        picture = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    return picture


def _rows(picture: NDArray[np.float64]) -> list[list[float | None]]:
    return [_numbers(row) for row in picture]


def _numbers(values: NDArray[np.floating]) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.tolist()]

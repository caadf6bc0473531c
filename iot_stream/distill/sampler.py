"""What a round learns from: the newest windows, and a reservoir balanced over classes and time, so that
old regimes are not forgotten. What the gate will judge by is taken out first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Gate, Sample
from iot_stream.distill.material import Material
from iot_stream.labelling import enough_classes
from iot_stream.readings import Times


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


def hold_out(stream: Material, since: int, gate: Gate) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks (n,) of what may be trained on and of what judges, never both.

    By default the newest `gate.share` of each device's windows that end after `since` (ns) judges (more,
    up to half, where `n_min` asks for it), so it is newer than all of that device that is trained on.
    With `gate.block`, whole blocks of time judge, the same ones for ever; the newest of them, as many
    as it takes to have both `n_min` windows and two classes.
    """
    return (
        _newest(stream, since, gate) if gate.block is None else _blocks(stream, since, gate, int(gate.block))
    )


def _newest(stream: Material, since: int, gate: Gate) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    trains, judges = np.ones(len(stream), bool), np.zeros(len(stream), bool)
    order = np.lexsort((stream.ends, stream.devices))
    fresh = int((stream.ends > since).sum())
    share = min(0.5, max(gate.share, 1.25 * gate.n_min / max(1, fresh)))
    borders = np.flatnonzero(stream.devices[order][1:] != stream.devices[order][:-1]) + 1
    for mine in np.split(order, borders):  # one device's windows, oldest first
        count = round(share * int((stream.ends[mine] > since).sum()))
        if count:
            judges[mine[-count:]] = True
            trains[mine[stream.ends[mine] >= stream.starts[mine[-count]]]] = False
    return trains, judges


def _blocks(
    stream: Material, since: int, gate: Gate, block: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    every = round(1 / gate.share)
    first, last = (stream.starts // block) % every, (stream.ends // block) % every
    apart = (first == 0) & (last == 0)
    judges = np.flatnonzero(apart)
    judges = judges[np.argsort(stream.ends[judges], kind="stable")]
    fresh = int((stream.ends[judges] > since).sum())
    for count in range(max(fresh, gate.n_min), len(judges), gate.n_min):
        if enough_classes(stream.said[judges[-count:]], gate.n_min):
            judges = judges[-count:]
            break
    judging = np.zeros(len(stream), bool)
    judging[judges] = True
    return (first != 0) & (last != 0), judging


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


def balanced(material: Material, size: int) -> NDArray[np.int64]:
    """Rows, at most `size`: as even as can be over the teacher's classes, and over time within each."""
    if len(material) <= size:
        return np.arange(len(material))
    said = material.said
    members = [rows for k in np.unique(said) if len(rows := np.flatnonzero(said == k))]
    members.sort(key=len)
    chosen = []
    left = size
    for i, rows in enumerate(members):
        quota = min(len(rows), left // (len(members) - i))
        ordered = rows[np.argsort(material.ends[rows], kind="stable")]
        chosen.append(
            ordered[np.linspace(0, len(ordered) - 1, quota).astype(np.int64)] if quota else ordered[:0]
        )
        left -= quota
    return np.sort(np.concatenate(chosen))

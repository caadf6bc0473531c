"""Who learns from what: windows that may be trained on, and those that judge. No window does both."""

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Gate
from iot_stream.distill.material import Material
from iot_stream.distill.sampler import balanced
from iot_stream.labelling import enough_classes
from iot_stream.readings import Times

OLD = 0.1
"""Share of all windows that stands for old regimes, where the gate asks for them."""

AT_MOST = 1000
"""Windows of old regimes that judge a round: the bound is narrow by then."""


@dataclass(frozen=True)
class Split:
    """Masks (n,) over the stream and (m,) over the bootstrap: what may be trained on, what judges a round,
    and which windows stand for old regimes. Nothing that is trained on judges."""

    trains: NDArray[np.bool_]
    judges: NDArray[np.bool_]
    old: NDArray[np.bool_]
    bootstrap_trains: NDArray[np.bool_]
    bootstrap_old: NDArray[np.bool_]


def split(stream: Material, bootstrap: Material, fresh: NDArray[np.bool_], gate: Gate) -> Split:
    """Shares the windows out between training and the gate's two sets; `fresh` (n,) are those of the stream
    that no round has known.

    *Recent*: by default of each device the newest judge, as many as are `gate.share` of its fresh ones (more,
    up to half, where `n_min` asks for it), so they are newer than all of that device that is trained on.
    With `gate.block`, whole blocks of time judge, the same ones for ever; the newest of them, as many
    as it takes to have both `n_min` windows and two classes.

    *Late labels*: they come when their windows are no longer the newest. `gate.labels` of them are kept out
    of training for ever, and the newest of these judge with the recent windows.

    *Old regimes*: with `gate.old_drop`, a tenth of all blocks of time, of the bootstrap too, is kept out of
    training for ever; those that are not fresh are the second set.
    """
    span = whole_span(bootstrap)
    trains, judges = (
        _newest(stream, fresh, gate) if gate.block is None else _blocks(stream, fresh, gate, int(gate.block))
    )
    never, late = apart(stream, gate, span), _kept_labels(stream, gate, span)
    judges |= _last(late & ~judges, stream.ends, 2 * gate.n_min)
    boot_never = apart(bootstrap, gate, span)
    return Split(
        trains & ~never.touched & ~late & ~judges,
        judges,
        never.inside & ~fresh & ~judges,
        ~boot_never.touched,
        boot_never.inside,
    )


def whole_span(bootstrap: Material) -> int:
    """What a window spans (ns), 0 for single readings: the same for ever, as the bootstrap is."""
    return int(np.median(bootstrap.ends - bootstrap.starts)) if len(bootstrap) else 0


class Apart(NamedTuple):
    """Masks (n,): windows that lie wholly `inside` the blocks kept apart, and that `touched` any of them."""

    inside: NDArray[np.bool_]
    touched: NDArray[np.bool_]


def apart(material: Material, gate: Gate, span: int) -> Apart:
    """The windows of old regimes that never train; none without `gate.old_drop`."""
    if gate.old_drop is None:
        return Apart(np.zeros(len(material), bool), np.zeros(len(material), bool))
    if gate.block is None:
        first, last = (_lot(material, times, span) < OLD for times in (material.starts, material.ends))
    else:
        every = round(1 / gate.share)
        first, last = (times // int(gate.block) % every == 0 for times in (material.starts, material.ends))
    return Apart(first & last, first | last)


def _kept_labels(stream: Material, gate: Gate, span: int) -> NDArray[np.bool_]:
    """Labelled windows that never train, but judge; whole blocks do that by themselves."""
    if gate.block is not None or not gate.labels:
        return np.zeros(len(stream), bool)
    return (stream.labels >= 0) & (_lot(stream, stream.starts, span) < gate.labels)


def _lot(material: Material, times: Times, span: int) -> NDArray[np.float64]:
    """A number in [0, 1) drawn for a device's block of ten windows (n,), by a hash: the same for ever.

    The finaliser of splitmix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    names, place = np.unique(material.devices, return_inverse=True)
    salts = np.array([zlib.crc32(name.encode()) for name in names.tolist()], np.uint64)
    x = (times // max(1, 10 * span)).astype(np.uint64) + (salts[place] << np.uint64(32))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((x ^ (x >> np.uint64(31))) / 2.0**64, np.float64)


def _last(rows: NDArray[np.bool_], ends: Times, count: int) -> NDArray[np.bool_]:
    """The newest `count` of these rows, as a mask."""
    chosen = np.flatnonzero(rows)
    chosen = chosen[np.argsort(ends[chosen], kind="stable")][-count:]
    mask = np.zeros(len(rows), bool)
    mask[chosen] = True
    return mask


def _newest(
    stream: Material, fresh: NDArray[np.bool_], gate: Gate
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    trains, judges = np.ones(len(stream), bool), np.zeros(len(stream), bool)
    order = np.lexsort((stream.ends, stream.devices))
    borders = np.flatnonzero(stream.devices[order][1:] != stream.devices[order][:-1]) + 1
    devices = np.split(order, borders)  # each one's windows, oldest first
    new = np.array([fresh[mine].sum() for mine in devices])
    wanted = new * min(0.5, max(gate.share, 1.25 * gate.n_min / max(1, new.sum())))
    counts = np.rint(wanted).astype(int)
    # Where rounding takes away what `n_min` needs, those give one more who lost most by it.
    missing = max(0, min(gate.n_min, int(new.sum()) // 2) - int(counts.sum()))
    counts[np.argsort(counts - wanted, kind="stable")[:missing]] += 1
    for mine, count in zip(devices, counts.tolist(), strict=True):
        if count:
            judges[mine[-count:]] = True
            trains[mine[stream.ends[mine] >= stream.starts[mine[-count]]]] = False
    return trains, judges


def _blocks(
    stream: Material, fresh: NDArray[np.bool_], gate: Gate, block: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    every = round(1 / gate.share)
    first, last = (stream.starts // block) % every, (stream.ends // block) % every
    apart = (first == 0) & (last == 0)
    judges = np.flatnonzero(apart)
    judges = judges[np.argsort(stream.ends[judges], kind="stable")]
    for count in range(max(int(fresh[judges].sum()), gate.n_min), len(judges), gate.n_min):
        if enough_classes(stream.said[judges[-count:]], gate.n_min):
            judges = judges[-count:]
            break
    judging = np.zeros(len(stream), bool)
    judging[judges] = True
    return (first != 0) & (last != 0), judging


def old_regimes(stream: Material, bootstrap: Material, parts: Split) -> Material:
    """The gate's second set: of what is kept apart a reservoir, balanced over classes and time."""
    kept = bootstrap.rows(parts.bootstrap_old).and_then(stream.rows(parts.old))
    return kept.rows(balanced(kept, AT_MOST))

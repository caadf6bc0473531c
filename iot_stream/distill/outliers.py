"""Is it a fault or drift? A device that leaves its cohort is not learnt from until a person decides.

Drift moves a cohort, or a part of it, and those who move stay like each other or like something known. A
stuck sensor or a broken machine is like nothing else. So of each device's newest windows it is asked how far
they are from the nearest windows of everybody else, of the bootstrap, and of its own past that a person has
accepted, and how that compares with its cohort (nearest-neighbour outlier scores: Ramaswamy, Rastogi & Shim,
"Efficient algorithms for mining outliers from large data sets", SIGMOD 2000).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Hold
from iot_stream.distill import traits
from iot_stream.distill.material import Material
from iot_stream.distill.traits import Scale, Traits
from iot_stream.readings import Values

COHORT = 3
"""Among fewer devices nobody can say which of them has left."""

NEIGHBOURS = 3
KNOWN = 1000
"""Of bootstrap and cohort each so many windows stand for all, evenly over time."""

LEAST = 0.5
"""Root mean square over traits, in spreads: what is nearer than this has not left."""

LASTING = 0.8
"""A device has left since the time from which on this share of its windows is far."""


class Leaver(NamedTuple):
    """What `device` says from `since` (ns, a window's start) on looks like a fault."""

    device: str
    since: int
    reason: str


@dataclass(frozen=True)
class Found:
    """`note`: why nobody could be held, where that is so."""

    leavers: tuple[Leaver, ...] = ()
    note: str = ""

    def report(self) -> dict[str, Any]:
        return {"held": [leaver._asdict() for leaver in self.leavers], "held_note": self.note}


def without(material: Material, leavers: Iterable[Leaver]) -> Material:
    """What may be learnt from."""
    for each in leavers:
        material = material.rows((material.devices != each.device) | (material.ends < each.since))
    return material


def find(
    stream: Material,
    bootstrap: Material,
    inputs: tuple[str, ...],
    settings: Hold,
    accepted: Mapping[str, int],
) -> Found:
    """Devices of `stream` that have left their cohort; pure.

    `inputs`: the names of the windows' channels. `accepted`: until when (ns) a device's own past is known to
    be fine, because a person has said so.
    """
    if not settings.far:
        return Found()
    newest = _newest(stream, settings.windows)
    if len(newest) < COHORT:
        return Found(note=_too_few(len(newest), settings.windows))
    stuck = _stuck(stream, newest, inputs)
    for each in stuck:
        newest.pop(each.device)
    return Found((*stuck, *_Space(stream, bootstrap, inputs, settings.far, newest, accepted).leavers()))


def _too_few(devices: int, windows: int) -> str:
    have = f"{devices} device{'s' * (devices != 1)} with {windows} windows"
    return f"{have}: fault and drift can be told apart from {COHORT} on"


def _newest(stream: Material, count: int) -> dict[str, NDArray[np.int64]]:
    """Rows of each device's newest windows, oldest first, for devices that have so many."""
    order = np.lexsort((stream.ends, stream.devices))
    borders = np.flatnonzero(stream.devices[order][1:] != stream.devices[order][:-1]) + 1
    return {
        str(stream.devices[rows[0]]): rows[-count:] for rows in np.split(order, borders) if len(rows) >= count
    }


# --- stuck ----------------------------------------------------------------------------------


def _stuck(stream: Material, newest: dict[str, NDArray[np.int64]], inputs: tuple[str, ...]) -> list[Leaver]:
    """Devices with a channel of one and the same value where hardly any other's is."""
    names = list(newest)
    still = np.array([_still(stream.x[newest[name]]) for name in names])  # (devices, inputs)
    alone = still & (still.sum(axis=0) <= len(names) / COHORT)
    found = []
    for name, channels in zip(names, alone, strict=True):
        if channels.any():
            since = min(_stuck_since(stream, name, k) for k in np.flatnonzero(channels).tolist())
            which = ", ".join(inputs[k] for k in np.flatnonzero(channels).tolist())
            rest = f"{len(names) - 1} other devices' do" if len(names) > COHORT else "the others' do"
            found.append(Leaver(name, since, f"stuck: {which} does not change any more, {rest}"))
    return found


def _still(x: Values) -> NDArray[np.bool_]:
    """Which inputs of windows (n, length, inputs) have been measured, and have one value throughout."""
    flat = x.reshape(-1, x.shape[2])
    return np.asarray(np.isfinite(flat).all(axis=0) & (flat.max(axis=0) == flat.min(axis=0)))


def _stuck_since(stream: Material, device: str, channel: int) -> int:
    rows = np.flatnonzero(stream.devices == device)
    rows = rows[np.argsort(stream.ends[rows], kind="stable")]
    value = stream.x[rows[-1], -1, channel]
    moving = np.flatnonzero((stream.x[rows, :, channel] != value).any(axis=1))
    return int(stream.starts[rows[moving[-1] + 1 if len(moving) else 0]])


# --- like nothing else ----------------------------------------------------------------------


class _Space:
    """All windows by their traits, in the bootstrap's spreads."""

    def __init__(
        self,
        stream: Material,
        bootstrap: Material,
        inputs: tuple[str, ...],
        far: float,
        newest: dict[str, NDArray[np.int64]],
        accepted: Mapping[str, int],
    ) -> None:
        self._stream, self._far, self._newest, self._accepted = stream, far, newest, accepted
        known = traits.traits(bootstrap.x[_evenly(len(bootstrap), KNOWN)])
        self._scale = Scale.of(known)
        self._known = self._scale.measure(known)
        self._names = traits.names(inputs, bootstrap.x)
        self._places = {device: self._place(rows) for device, rows in newest.items()}
        # How far apart known windows are from each other: each is its own nearest.
        self._usual = float(np.median(_distances(self._known, self._known, NEIGHBOURS + 1)))

    def _place(self, rows: NDArray[np.int64]) -> Traits:
        return self._scale.measure(traits.traits(self._stream.x[rows]))

    def leavers(self) -> list[Leaver]:
        """The furthest first; who has left is no neighbour to the others any more."""
        cohort = set(self._newest)
        found: list[Leaver] = []
        while len(cohort) >= COHORT:
            far = {
                device: float(np.median(_distances(self._places[device], self._around(device, cohort))))
                for device in sorted(cohort)
            }
            worst = max(far, key=lambda device: far[device])
            others = [distance for device, distance in far.items() if device != worst]
            usual = max(float(np.quantile(others, 0.75)), self._usual)
            if far[worst] <= max(self._far * usual, LEAST):
                break
            found.append(self._leaver(worst, far[worst], usual, cohort))
            cohort.remove(worst)
        # Where so many leave, it is the cohort that moves.
        return found if len(found) <= len(self._newest) / COHORT else []

    def _around(self, device: str, cohort: set[str]) -> Traits:
        """What the device's windows may be like."""
        others = [self._places[other] for other in sorted(cohort) if other != device]
        peers = np.concatenate(others)
        own = (self._stream.devices == device) & (self._stream.ends <= self._accepted.get(device, 0))
        past = np.flatnonzero(own)
        past = past[_evenly(len(past), KNOWN)]
        return np.concatenate([self._known, peers[_evenly(len(peers), KNOWN)], self._place(past)])

    def _leaver(self, device: str, distance: float, usual: float, cohort: set[str]) -> Leaver:
        doubtful = self._stream.ends > self._accepted.get(device, 0)
        rows = np.flatnonzero((self._stream.devices == device) & doubtful)
        rows = rows[np.argsort(self._stream.ends[rows], kind="stable")]
        around = self._around(device, cohort)
        places = self._place(rows)
        away = _distances(places, around) > max(self._far * usual, LEAST)
        share = np.cumsum(away[::-1])[::-1] / np.arange(len(away), 0, -1)
        since = rows[np.flatnonzero(away & (share >= LASTING))[0]] if away.any() else self._newest[device][0]
        nearest = np.median(around, axis=0)
        most = np.argsort(-np.abs(np.median(self._places[device], axis=0) - nearest))[:3]
        what = ", ".join(self._names[k] for k in most.tolist())
        reason = (
            f"like nothing known: {distance / usual:.1f} times as far from it as its cohort of "
            f"{len(cohort)} is, most in {what}"
        )
        return Leaver(device, int(self._stream.starts[since]), reason)


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _distances(points: Traits, others: Traits, neighbour: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Of each point (n, k) to its so-manieth nearest of the others (m, k): root mean square over traits."""
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :] - 2 * points @ others.T
    nearest = np.partition(squares, min(neighbour, len(others)) - 1, axis=1)
    chosen = nearest[:, min(neighbour, len(others)) - 1]
    return np.asarray(np.sqrt(np.maximum(chosen, 0.0) / points.shape[1]))

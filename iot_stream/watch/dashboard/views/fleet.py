"""Every device in a row: what it runs, when it last spoke, how well it does, what is wrong with what it
sends.

Only rows that have changed are sent again."""

import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND, wall
from iot_stream.errors import ConfigError
from iot_stream.store import Store
from iot_stream.store.inspection import Spoken
from iot_stream.store.overview import Release
from iot_stream.store.registry import Device
from iot_stream.watch.dashboard.views.curves import NOTHING, Curves
from iot_stream.watch.dashboard.views.promise import LABELS, Promises
from iot_stream.watch.promise import STUDENT, TEACHER

ENOUGH = 10  # windows by which a device is judged, at least
LATE = 5  # of a device's windows every so many-th, the newest, are held against those before
RATE_S = 60
FRESH_S = 1.0
ASKED = 50  # devices of which it is asked at once whether they meet no window
DEVICES_A_SECOND = 2000  # a fleet so many times as large is looked at so many times less often


class Row(NamedTuple):
    """`seen` (seconds): when it last said how it is, in wall time; `last`: the end of its last window, on the
    pipeline's clock. `windows` that came in the last minute. `right`: by labels or, where there are none,
    agreement with the teacher, of `judged` windows. `unmet`: its predictions, where none ends where a window
    of the service does. `silent` (seconds): since when no window of it comes, though it is online. `drift`:
    by how much less it agrees with the teacher than before. `lost`: share of its readings, None where they
    are not numbered. `held`: why it is not learnt from."""

    device: str
    cohort: str
    online: bool | None
    version: int
    pinned: bool
    behind: bool
    seen: int | None
    last: int | None
    windows: float | None
    right: float | None
    judged: int
    certain: float | None
    unmet: int
    silent: int | None
    drift: float | None
    readings: int
    lost: float | None
    quarantined: int
    held: str


class Fleet(msgspec.Struct):
    """`rows` that have changed after the `since` that was asked for; `whole`: they are all there are. `by`:
    what `right` is judged by; `now` on the pipeline's clock (seconds)."""

    columns: tuple[str, ...]
    rows: list[Row]
    revision: int
    whole: bool
    by: str
    now: float
    wall: float
    behind: bool
    devices: int


class Fleets:
    """Of one pipeline, kept from one look to the next; judged by the promise's windows."""

    def __init__(self, store: Store, name: str, promises: Promises) -> None:
        self._store, self._name, self._promises = store, name, promises
        self._unmet: dict[str, Spoken] = {}
        self._expected: dict[str, tuple[int, tuple[int, int] | None]] = {}  # by whose last window of then
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[int, Row]] = {}
        self._revision, self._first = 0, 0
        self._by = TEACHER
        self._due = float("-inf")

    def view(self, query: Mapping[str, str]) -> Fleet:
        """`since`: the revision that is known."""
        since = query.get("since", "0")
        if not since.isdecimal():
            raise ConfigError(f"since: {since!r} is no revision")
        with self._lock:
            if time.monotonic() >= self._due:
                self._look()
                wait = max(FRESH_S, len(self._rows) / DEVICES_A_SECOND)
                self._due = time.monotonic() + wait
            known = int(since) if self._first <= int(since) <= self._revision else 0
            return Fleet(
                columns=Row._fields,
                rows=[row for revision, row in self._rows.values() if revision > known],
                revision=self._revision,
                whole=not known,
                by=self._by,
                now=self._store.journal.now(self._name) / SECOND,
                wall=time.time(),
                behind=self._promises.behind,
                devices=len(self._rows),
            )

    def _look(self) -> None:
        found = self._found()
        self._revision += 1
        if self._rows.keys() - found.keys():  # some are gone: all is sent anew
            self._rows.clear()
            self._first = self._revision
        for row in found.values():
            before = self._rows.get(row.device)
            if before is None or before[1] != row:
                self._rows[row.device] = self._revision, row

    def _found(self) -> dict[str, Row]:
        registered = {each.device: each for each in self._store.registry.devices(self._name)}
        judged = self._promises.judged(partial(_judged, since=self._now() - RATE_S * SECOND))
        readings, numbered = self._promises.readings, self._promises.numbered
        lost = {d: n for d, reason, n in self._store.faults.counters(self._name) if reason == "lost"}
        quarantined = self._store.overview.quarantined_by_device(self._name)
        held = {each.device: each.reason for each in self._store.scope.holds(self._name)}
        released = newest_of(self._store.overview.releases(self._name, "stable"))
        self._by = judged.by
        self._ask({name for name, each in registered.items() if each.version}, judged)
        silent = self._silent(judged, (name for name, each in registered.items() if each.online))
        rows = {}
        for device in sorted({*registered, *readings}):
            known, n, gone = registered.get(device), readings.get(device, 0), lost.get(device, 0)
            unmet = self._unmet.get(device)
            last, windows, right, count, certain, drift = judged.devices.get(device, NOT_JUDGED)
            rows[device] = Row(
                device=device,
                cohort=known.cohort if known else "",
                online=known.online if known else None,
                version=known.version if known else 0,
                pinned=bool(known and known.pinned),
                behind=known is not None and _is_behind(known, released),
                seen=known.seen // SECOND if known else None,
                last=last,
                windows=windows,
                right=right,
                judged=count,
                certain=round(unmet.certainty, 2) if unmet else certain,
                unmet=unmet.due if unmet else 0,
                silent=silent.get(device),
                drift=drift,
                readings=n,
                lost=round(gone / (n + gone), 4) if gone else 0.0 if numbered.get(device) else None,
                quarantined=quarantined.get(device, 0),
                held=held.get(device, ""),
            )
        return rows

    def _now(self) -> int:
        """On the pipeline's clock; a recording's stands still when nothing comes."""
        return self._store.journal.now(self._name) if self._promises.clock == "stream" else wall()

    def _ask(self, predict: set[str], judged: "_Judged") -> None:
        """Of devices that predict whether those of which no window knows a prediction have made any."""
        silent = [name for name, each in judged.devices.items() if name in predict and each[4] is None]
        self._unmet = {}
        for device in silent[:ASKED] if self._promises.all_sent else ():
            spoken = self._store.inspection.spoken(self._name, self._promises.cut, device)
            if spoken.due >= ENOUGH and not spoken.met:
                self._unmet[device] = spoken

    def _silent(self, judged: "_Judged", online: Iterable[str]) -> dict[str, int]:
        """Device → since when no window of it comes (s), though the next ought to have come."""
        found: dict[str, int] = {}
        if self._promises.clock == "stream":  # which stands still when nothing comes
            return found
        now, asked = wall(), 0
        for device in online:
            last, windows = judged.devices.get(device, NOT_JUDGED)[:2]
            if windows or last is None:
                continue
            before, expected = self._expected.get(device, (None, None))
            if before != last:
                if asked == ASKED:  # others at the next look
                    continue
                asked += 1
                expected = self._store.inspection.expected(self._name, self._promises.cut, device)
                self._expected[device] = last, expected
            if expected and now > expected[1]:
                found[device] = expected[0] // SECOND
        return found


def _is_behind(known: Device, released: Mapping[str, int]) -> bool:
    """Whether it should run another version by now."""
    return known.online and not known.pinned and known.version < released.get(known.cohort, 0)


def newest_of(releases: list[Release]) -> dict[str, int]:
    """Cohort → version."""
    return {each.cohort: each.version for each in releases}


class _Judged(NamedTuple):
    """Device → end of its last window (s), windows of late a minute, share that is right, of how many,
    certainty, drift."""

    by: str
    devices: dict[str, tuple[int | None, float | None, float | None, int, float | None, float | None]]


NOT_JUDGED = (None, None, None, 0, None, None)


def _judged(curves: Curves, since: int) -> _Judged:
    """`since`: what has arrived after this (on the pipeline's clock) is of late."""
    devices, ends, said = curves.devices, curves.ends, curves.said
    n = len(curves.names)
    last = np.zeros(n, np.int64)
    np.maximum.at(last, devices, ends)
    recent = curves.arrived > since  # by their ends, one device with a fast clock would outdate all others
    student, teacher = said[STUDENT], said[TEACHER]
    by = LABELS if (curves.truth != NOTHING).any() else TEACHER
    truth = curves.truth if by == LABELS else teacher
    spoken = student != NOTHING
    known = spoken & (truth != NOTHING)
    spoke = np.bincount(devices[spoken], minlength=n)
    certain = np.bincount(devices[spoken], curves.p[spoken], n) / np.maximum(spoke, 1)
    both = spoken & (teacher != NOTHING)
    late = _late(devices, both, n)
    before = _share(devices, both & ~late, student == teacher, n)
    now = _share(devices, both & late, student == teacher, n)
    columns = (
        (last // SECOND).tolist(),
        (np.bincount(devices[recent], minlength=n) * (60 / RATE_S)).tolist(),
        _listed(_share(devices, known, student == truth, n), 3),
        np.bincount(devices[known], minlength=n).tolist(),
        _listed(np.where(spoke >= ENOUGH, certain, np.nan), 2),
        _listed(before - now, 2),
    )
    return _Judged(by, dict(zip(curves.names, zip(*columns, strict=True), strict=True)))


def _listed(values: NDArray[np.float64], digits: int) -> list[float | None]:
    """None for NaN."""
    return [None if value != value else value for value in np.round(values, digits).tolist()]


def _late(devices: NDArray[np.int32], rows: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Of each device's rows the newest so many-th."""
    chosen = np.flatnonzero(rows)
    order = chosen[np.argsort(devices[chosen], kind="stable")]
    counts = np.bincount(devices[order], minlength=n)
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(order)) - np.repeat(starts, counts)
    late = np.zeros(len(rows), bool)
    late[order] = rank >= np.repeat(counts - counts // LATE, counts)
    return late


def _share(
    devices: NDArray[np.int32], rows: NDArray[np.bool_], right: NDArray[np.bool_], n: int
) -> NDArray[np.float64]:
    """By device; NaN where there are too few rows."""
    all_ = np.bincount(devices[rows], minlength=n)
    hits = np.bincount(devices[rows & right], minlength=n)
    return np.where(all_ >= ENOUGH, hits / np.maximum(all_, 1), np.nan)

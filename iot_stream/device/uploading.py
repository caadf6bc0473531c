"""A device's windows, a sample of which goes up now and then, within a budget of bytes.

Time is that of the readings: what a device of a recording sends does not depend on how fast it is played.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from iot_stream.cut import Cut
from iot_stream.device import choosing
from iot_stream.formats.sample import Sample, encode
from iot_stream.readings import Values
from iot_stream.upload import DeviceUpload, Rest
from iot_stream.windows import Windows

DAY = 86_400 * 10**9
POOL = 512  # windows that are chosen from; of more, these at random
REMEMBERED = 256  # windows that went up


class Seen(NamedTuple):
    """A window of the first cut, and what goes with it: its windows of the other cuts, the readings at its
    end, and what the student said of it, "" for nothing."""

    start: int
    end: int
    x: Values
    beside: tuple[tuple[str, int, Values], ...] = ()
    reading: tuple[float, ...] = ()
    klass: str = ""
    p: float = 0.0


class Selection:
    """`seed` decides what is random."""

    def __init__(self, settings: DeviceUpload, seed: int) -> None:
        self._settings = settings
        self._rng = np.random.default_rng(seed)
        self._pool: list[Seen] = []
        self._tally = _Tally(settings.cuts[0])
        self._before = np.zeros((0, 0))
        self._due = self._until = 0  # ns; up to when the budget is counted
        self._credit = 0.0  # bytes; at first what a period gives

    def add(self, seen: Iterable[Seen]) -> None:
        """Windows, each newer than the ones before."""
        for each in seen:
            if not self._due:
                self._due = each.start + int(self._settings.every)
            self._tally.add(each)
            if len(self._pool) < POOL:
                self._pool.append(each)
            elif (place := int(self._rng.integers(self._tally.windows))) < POOL:
                self._pool[place] = each  # algorithm R of Vitter 1985

    def affords(self, size: int, now: int) -> bool:
        """Whether a prediction of so many bytes may go up; then they are spent. `now`: as of `due`."""
        self._earn(now)
        if self._credit < size:
            return False
        self._credit -= size
        return True

    def _earn(self, now: int) -> None:
        budget = float(self._settings.budget)
        begun = self._until or now - int(self._settings.every)
        self._credit = min(self._credit + budget * max(0, now - begun) / DAY, budget)
        self._until = max(now, self._until)

    def due(self, now: int) -> bool:
        """Whether it is time to choose; `now` by the readings (ns)."""
        return bool(self._pool) and now >= self._due

    def choose(self, now: int, version: int = 0) -> bytes | None:
        """The message that goes up: of windows that are not in it, its summary tells. None where not even one
        would fit: then they wait, and what comes is chosen from with them."""
        self._earn(now)
        self._due = now + int(self._settings.every)
        pool = self._pool
        if not pool:
            return None
        found = choosing.features(np.stack([each.x for each in pool]))
        before = self._before if len(self._before) else np.zeros((0, found.shape[1]))
        ranking = choosing.order(found, np.array([each.p for each in pool]), before, self._rng)
        messages: dict[int, bytes] = {}

        def too_large(count: int) -> bool:
            messages[count] = self._message([pool[i] for i in sorted(ranking[:count].tolist())], version)
            return len(messages[count]) > self._credit

        fits = bisect_left(range(len(pool) + 1), True, key=too_large) - 1
        if fits < 1:
            return None
        self._pool = []
        self._credit -= len(messages[fits])
        self._before = np.concatenate([before, found[ranking[:fits]]])[-REMEMBERED:]
        self._tally = _Tally(self._settings.cuts[0])
        return messages[fits]

    def _message(self, chosen: list[Seen], version: int) -> bytes:
        chosen.sort(key=lambda each: each.start)
        first, *others = self._settings.cuts
        shape = (0, first.length, len(first.inputs))
        windows = {first.id: _windows([(each.start, each.end, each.x) for each in chosen], shape)}
        for cut in others:
            found = [
                (each.start, end, x) for each in chosen for name, end, x in each.beside if name == cut.id
            ]
            windows[cut.id] = _windows(found, (0, cut.length, len(cut.inputs)))
        classes = tuple(sorted({each.klass for each in chosen if each.klass}))
        place = {klass: index for index, klass in enumerate(classes)}
        sample = Sample(
            windows,
            self._tally.rest(len(chosen)),
            version,
            classes,
            np.array([place.get(each.klass, -1) for each in chosen], np.int64),
            np.array([each.p for each in chosen]),
            self._settings.readings,
            np.array([each.reading for each in chosen], np.float32).reshape(
                len(chosen), len(self._settings.readings)
            ),
        )
        return encode(sample, self._settings.cuts)


def _windows(found: list[tuple[int, int, Values]], empty: tuple[int, int, int]) -> Windows:
    starts, ends, x = zip(*found, strict=True) if found else ((), (), ())
    return Windows(
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        np.stack(x) if found else np.zeros(empty, np.float32),
    )


class _Tally:
    """Of all windows since the last message, whether they go up or not."""

    def __init__(self, cut: Cut) -> None:
        self._inputs = cut.inputs
        self.windows = self._begin = self._end = 0
        self._classes: dict[str, int] = {}
        self._p = 0.0
        count = len(cut.inputs)
        self._known = np.zeros(count, np.int64)
        self._sum, self._squares = np.zeros(count), np.zeros(count)
        self._least, self._most = np.full(count, np.inf), np.full(count, -np.inf)

    def add(self, seen: Seen) -> None:
        if not self.windows:
            self._begin = seen.start
        self.windows, self._end = self.windows + 1, seen.end
        if seen.klass:
            self._classes[seen.klass] = self._classes.get(seen.klass, 0) + 1
            self._p += seen.p
        rows = seen.x.astype(np.float64)
        known = ~np.isnan(rows)
        self._known += known.sum(axis=0)
        self._sum += np.nansum(rows, axis=0)
        self._squares += np.nansum(rows**2, axis=0)
        self._least = np.minimum(self._least, np.where(known, rows, np.inf).min(axis=0))
        self._most = np.maximum(self._most, np.where(known, rows, -np.inf).max(axis=0))

    def rest(self, sent: int) -> Rest:
        count = np.maximum(self._known, 1)
        mean = self._sum / count
        deviation = np.sqrt(np.maximum(self._squares / count - mean**2, 0))
        told = sum(self._classes.values())
        figures = np.stack([mean, deviation, self._least, self._most], axis=1).tolist()
        inputs = {
            name: (a, b, c, d)
            for name, (a, b, c, d), known in zip(self._inputs, figures, self._known, strict=True)
            if known
        }
        p = round(self._p / told, 4) if told else 0.0
        return Rest(self._begin, self._end, self.windows, sent, dict(self._classes), p, inputs)

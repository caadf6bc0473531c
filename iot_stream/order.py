"""Puts the readings of one device in order of time, and joins channels that come apart.

Numbered blocks go on as soon as nothing is missing before them; a gap in the numbers, and
readings without numbers, wait for the lateness bound. Where several sources feed one window, a row
waits until every source has got past its time, but at most `wait` (a light sensor that is read out
once a day, say). What comes after its time has gone on is late: counted, not used.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Block, Packed, Times, Values, in_time_order


class Rows(NamedTuple):
    """In order of time: `times` (n,) ns, `values` (n, channels); `missed` (n,): how many readings, by their
    numbers, never came right before each."""

    times: Times
    values: Values
    missed: NDArray[np.int64]

    def part(self, which: slice) -> "Rows":
        return Rows(self.times[which], self.values[which], self.missed[which])


class _Source(msgspec.Struct, array_like=True):
    """One source of one device. Times in ns; `reached`: nothing up to it is still to come."""

    boot: str = ""
    former: str = ""
    expected: int = 0
    newest: int = -1
    reached: int = -1
    arrived: int = 0
    held: list[Packed] = []


class _Snapshot(msgspec.Struct, array_like=True):
    sources: dict[int, _Source]
    rows: dict[int, list[float]]
    released: int
    late: int
    lost: int
    begins: list[int] = []
    missed: int = 0


class _Ready(NamedTuple):
    """`missed`: how many readings of before it never came."""

    block: Block
    missed: int


class Sorter:
    """`channels` in the order of the rows that come out; `sources` those that carry any of them.

    `begins`: times (ns) from which on rows are of another boot of the device, where it has one source.
    """

    def __init__(self, channels: tuple[str, ...], sources: tuple[int, ...], lateness: int, wait: int) -> None:
        self.channels = channels
        self.lateness = lateness
        self.wait = wait
        self.late = 0  # readings that came after their time
        self.lost = 0  # numbers that never came within the lateness bound
        self._sources = {index: _Source() for index in sources}
        self._rows: dict[int, list[float]] = {}  # rows that wait for another source
        self._released = -1
        self.begins: list[int] = []
        self._missed = 0  # before the next row

    def push(self, block: Block, arrived: int) -> Rows:
        """Rows that are now complete; `arrived` on the pipeline's clock."""
        source = self._sources.get(block.source)
        if source is None or not len(block):
            return self._emit([])
        source.arrived = arrived
        ready = self._take(source, in_time_order(block))
        return self._emit(ready)

    def reached(self, time: int) -> list[int]:
        """Those of `begins` that rows have got to, each once."""
        passed = [begin for begin in self.begins if begin <= time]
        self.begins = self.begins[len(passed) :]
        return passed

    def idle(self, now: int) -> Rows:
        """Rows that have waited long enough, though nothing new came; `now` on the pipeline's clock."""
        ready: list[_Ready] = []
        for source in self._sources.values():
            if source.held and now - source.arrived >= self.lateness:
                ready += self._release(source, int(max(p.block().times[-1] for p in source.held)))
        return self._emit(ready)

    def _take(self, source: _Source, block: Block) -> list[_Ready]:
        ready: list[_Ready] = []
        if block.numbered and block.boot != source.boot:
            if block.boot == source.former or block.times[-1] <= source.reached:
                self.late += len(block)
                return []
            ready = self._release(source, source.newest)  # the boot before has nothing more to say
            if source.boot and len(self._sources) == 1:
                self.begins.append(source.newest + 1)
            source.boot, source.former, source.expected = block.boot, source.boot, 0
        source.newest = max(source.newest, int(block.times[-1]))
        source.held.append(block.packed())
        return ready + self._release(source, source.newest - self.lateness)

    def _release(self, source: _Source, bound: int) -> list[_Ready]:
        """What is next by number, or not newer than `bound` so that waiting for what is missing ends."""
        ready: list[_Ready] = []
        waiting: list[Block] = []
        for block in sorted((p.block() for p in source.held), key=lambda b: b.seq):
            if not block.numbered:
                split = int(np.searchsorted(block.times, bound, side="right"))
                ready += [_Ready(block.rows(slice(0, split)), 0)] if split else []
                waiting += [block.rows(slice(split, None))] if split < len(block) else []
                source.reached = max(source.reached, bound)
            elif block.seq < source.expected:
                self.late += len(block)
            elif block.seq > source.expected and (block.times[0] > bound or any(b.numbered for b in waiting)):
                waiting.append(block)
            else:
                missed = block.seq - source.expected
                if source.former or source.reached >= 0:  # else they came before anybody listened
                    self.lost += missed
                source.expected = block.seq + len(block)
                source.reached = max(source.reached, int(block.times[-1]))
                ready.append(_Ready(block, missed))
        source.held = [block.packed() for block in waiting]
        return ready

    def _emit(self, ready: list[_Ready]) -> Rows:
        if len(self._sources) == 1:
            return self._stack(ready)
        for block, _ in ready:
            self._join(block)
        reached = [source.reached for source in self._sources.values()]
        bound = max(min(reached), max(reached) - self.wait)
        for source in self._sources.values():  # a row that goes takes along what has come for it
            if source.held and source.reached < bound:
                for block, _ in self._release(source, bound):
                    self._join(block)
        times = sorted(time for time in self._rows if time <= bound)
        rows = [self._rows.pop(time) for time in times]
        self._released = max(self._released, bound)
        values = np.array(rows, np.float32).reshape(-1, len(self.channels))
        return Rows(np.array(times, np.int64), values, np.zeros(len(times), np.int64))

    def _stack(self, ready: list[_Ready]) -> Rows:
        if not ready:
            nothing = np.zeros(0, np.int64)
            return Rows(nothing, np.zeros((0, len(self.channels)), np.float32), nothing)
        first, lost = ready[0]
        if len(ready) == 1 and first.times[0] >= self._released:  # as most come
            self._released = int(first.times[-1])
            gone = np.zeros(len(first), np.int64)
            gone[0], self._missed = self._missed + lost, 0
            return Rows(first.times, self._columns(first), gone)
        times = np.concatenate([block.times for block, _ in ready])
        values = np.concatenate([self._columns(block) for block, _ in ready])
        gone = np.zeros(len(times), np.int64)
        gone[np.cumsum([0, *(len(block) for block, _ in ready[:-1])])] = [missed for _, missed in ready]
        order = np.argsort(times, kind="stable")
        before = self._missed + np.cumsum(gone[order])  # so many never came, up to each
        kept = times[order] >= self._released
        self.late += int((~kept).sum())
        self._released = max(self._released, int(times.max()))
        missed = np.diff(before[kept], prepend=0)
        self._missed = int(before[-1] - missed.sum())
        return Rows(times[order][kept], values[order][kept], missed)

    def _columns(self, block: Block) -> Values:
        if block.channels == self.channels:
            return block.values
        values = np.full((len(block), len(self.channels)), np.nan, np.float32)
        for i, name in enumerate(self.channels):
            if name in block.channels:
                values[:, i] = block.values[:, block.channels.index(name)]
        return values

    def _join(self, block: Block) -> None:
        for time, row in zip(block.times.tolist(), self._columns(block).tolist(), strict=True):
            if time <= self._released:
                self.late += 1
                continue
            known = self._rows.setdefault(time, [np.nan] * len(self.channels))
            self._rows[time] = [new if new == new else old for new, old in zip(row, known, strict=True)]

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(
            _Snapshot(
                self._sources, self._rows, self._released, self.late, self.lost, self.begins, self._missed
            )
        )

    def restore(self, payload: bytes) -> None:
        """Go on where `snapshot` was taken; sources that the configuration no longer has are forgotten."""
        state = msgspec.msgpack.decode(payload, type=_Snapshot)
        self._sources.update({i: s for i, s in state.sources.items() if i in self._sources})
        self._rows, self._released = state.rows, state.released
        self.late, self.lost, self.begins = state.late, state.lost, state.begins
        self._missed = state.missed

"""Puts the readings of one device in order of time, and joins channels that come apart.

Numbered blocks go on as soon as nothing is missing before them; a gap in the numbers, and
readings without numbers, wait for the lateness bound. Where several sources feed one window, a row
waits until every source has got past its time, but at most `wait` (a light sensor that is read out
once a day, say). What comes after its time has gone on is late: counted, not used.
"""

import msgspec
import numpy as np

from iot_stream.readings import Block, Packed, Times, Values, in_time_order


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

    def push(self, block: Block, arrived: int) -> tuple[Times, Values]:
        """Rows (n,), (n, channels) now complete, in order of time; `arrived` on the pipeline's clock."""
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

    def idle(self, now: int) -> tuple[Times, Values]:
        """Rows that have waited long enough, though nothing new came; `now` on the pipeline's clock."""
        ready = []
        for source in self._sources.values():
            if source.held and now - source.arrived >= self.lateness:
                ready += self._release(source, int(max(p.block().times[-1] for p in source.held)))
        return self._emit(ready)

    def _take(self, source: _Source, block: Block) -> list[Block]:
        ready: list[Block] = []
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

    def _release(self, source: _Source, bound: int) -> list[Block]:
        """What is next by number, or not newer than `bound` so that waiting for what is missing ends."""
        ready: list[Block] = []
        waiting: list[Block] = []
        for block in sorted((p.block() for p in source.held), key=lambda b: b.seq):
            if not block.numbered:
                split = int(np.searchsorted(block.times, bound, side="right"))
                ready += [block.rows(slice(0, split))] if split else []
                waiting += [block.rows(slice(split, None))] if split < len(block) else []
                source.reached = max(source.reached, bound)
            elif block.seq < source.expected:
                self.late += len(block)
            elif block.seq > source.expected and (block.times[0] > bound or any(b.numbered for b in waiting)):
                waiting.append(block)
            else:
                self.lost += block.seq - source.expected
                source.expected = block.seq + len(block)
                source.reached = max(source.reached, int(block.times[-1]))
                ready.append(block)
        source.held = [block.packed() for block in waiting]
        return ready

    def _emit(self, blocks: list[Block]) -> tuple[Times, Values]:
        if len(self._sources) == 1:
            return self._stack(blocks)
        for block in blocks:
            self._join(block)
        reached = [source.reached for source in self._sources.values()]
        bound = max(min(reached), max(reached) - self.wait)
        for source in self._sources.values():  # a row that goes takes along what has come for it
            if source.held and source.reached < bound:
                for block in self._release(source, bound):
                    self._join(block)
        times = sorted(time for time in self._rows if time <= bound)
        rows = [self._rows.pop(time) for time in times]
        self._released = max(self._released, bound)
        return np.array(times, np.int64), np.array(rows, np.float32).reshape(-1, len(self.channels))

    def _stack(self, blocks: list[Block]) -> tuple[Times, Values]:
        if not blocks:
            return np.zeros(0, np.int64), np.zeros((0, len(self.channels)), np.float32)
        times = np.concatenate([b.times for b in blocks])
        values = np.concatenate([self._columns(b) for b in blocks])
        order = np.argsort(times, kind="stable")
        order = order[times[order] >= self._released]
        self.late += len(times) - len(order)
        self._released = max(self._released, int(times.max()))
        return times[order], values[order]

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
            _Snapshot(self._sources, self._rows, self._released, self.late, self.lost, self.begins)
        )

    def restore(self, payload: bytes) -> None:
        """Go on where `snapshot` was taken; sources that the configuration no longer has are forgotten."""
        state = msgspec.msgpack.decode(payload, type=_Snapshot)
        self._sources.update({i: s for i, s in state.sources.items() if i in self._sources})
        self._rows, self._released = state.rows, state.released
        self.late, self.lost, self.begins = state.late, state.lost, state.begins

"""From readings to a model's input: the one function that collector and device share.

A `Windower` is a `Cut` at work on one device's readings in order of time: pure and incremental, so the
same readings give the same bytes however they were split into messages, on either side of the broker,
today or from the journal.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.cut import Cut
from iot_stream.derive import Memory
from iot_stream.errors import DataError
from iot_stream.hygiene import Judge
from iot_stream.readings import Times, Values
from iot_stream.resample import interpolated
from iot_stream.states import States

OnGrid = tuple[Times, NDArray[np.float64], NDArray[np.bool_]]
"""Points, their rows, and where one begins a new segment."""

NEVER = 2**62


def _since(times: Times, last: int) -> Times:
    """From the time before to each; np.diff takes five times as long for a few."""
    since = np.empty_like(times)
    since[:1] = times[:1] - last
    np.subtract(times[1:], times[:-1], out=since[1:])
    return since


class Windows(NamedTuple):
    """`starts`, `ends` (n,) int64 ns: times of first and last row; `x` (n, length, inputs) float32."""

    starts: Times
    ends: Times
    x: Values

    def __len__(self) -> int:  # a batch of windows, not a triple
        return len(self.starts)


class _Snapshot(msgspec.Struct, array_like=True):
    cut: str
    judge: list[Memory]
    open: int
    open_row: list[float]
    seen: list[int]
    last: int
    last_row: list[float]
    grid: int
    broken: bool
    at: int
    missed: int
    tail_times: bytes
    tail_rows: bytes
    tail_begins: bytes
    memory: list[Memory]
    held_times: bytes
    held_rows: bytes
    state_times: bytes = b""
    state_rows: bytes = b""


@dataclass
class Windower:
    """Cuts one device's readings, pushed in order of time, into windows."""

    cut: Cut
    dropped: int = 0  # readings not newer than the last, or without a required channel
    judge: Judge = field(init=False)
    _open: int = -1  # time of the reading that waits for more of its channels, −1 where none does
    _open_row: NDArray[np.float64] = field(init=False)
    _last: int = -1  # time of the last reading that counted
    _last_row: NDArray[np.float64] = field(init=False)  # and its values, for the grid
    _seen: NDArray[np.int64] = field(init=False)  # when each channel was last known, for the grid
    _grid: int = 0  # next point of the grid, in periods
    _held_times: Times = field(init=False)  # readings between which points are still to come: `linear`
    _held_rows: NDArray[np.float64] = field(init=False)
    _broken: bool = True  # the next point of the grid begins a new segment
    _at: int = -1  # place of the last row since the segment began, by the device's count
    _missed: int = 0  # readings that never came since then
    _tail_times: Times = field(init=False)
    _tail_rows: Values = field(init=False)
    _tail_begins: NDArray[np.bool_] = field(init=False)  # where a window begins
    _memory: list[Memory] = field(init=False)
    _channels: tuple[str, ...] = field(init=False)  # of a row
    _states: States = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Judge(self.cut.channels, self.cut.error_values, self.cut.limits)
        self._channels, self._states = self.cut.measured, States(self.cut.states)
        self._last_row = np.full(len(self._channels), np.nan)
        self._open_row = np.full(len(self._channels), np.nan)
        self._seen = np.zeros(len(self._channels), np.int64)
        self._memory = [{} for _ in self.cut.derive]
        self._let_go()
        self._restart()

    def push(self, times: Times, values: Values, missed: NDArray[np.int64] | None = None) -> Windows:
        """`values` (n, channels) in the cut's order of channels; returns the windows now complete.

        `missed` (n,): how many readings were lost right before each. The device has counted them, and its
        windows begin at every `hop`-th reading of its own: so do these.
        """
        came = times
        if self.cut.error_values or self.cut.limits:
            values = self.judge.judged(times, values)
        if self.cut.states:
            times, values = self._without_states(times, values)
        if self.cut.join:
            times, values = self._joined(times, values)
        times, rows = self._countable(times, values)
        if missed is not None:
            missed = self._before(times, came, missed) if self._missed or missed.any() else None
        if self.cut.period:
            resampled = self._between if self.cut.fill == "linear" else self._held
            times, rows, breaks = resampled(times, rows)
            begins = times // self.cut.period % self.cut.hop == 0  # since 1970
        else:
            breaks, begins = self._counted(times, missed)
        if not len(times):
            return self._none()
        columns = self._inputs(times, rows)
        if not breaks.any():
            return self._cut(times, columns, begins)
        edges = [0, *np.flatnonzero(breaks).tolist(), len(times)]
        parts = []
        for begin, end in pairwise(edges):
            if breaks[begin:end].any():
                self._restart()
            if end > begin:
                parts.append(self._cut(times[begin:end], columns[begin:end], begins[begin:end]))
        return Windows(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _without_states(self, times: Times, values: Values) -> tuple[Times, Values]:
        """What is measured; the states are put down, to be looked up at the times of the rows."""
        stated = [self.cut.channels.index(hold.channel) for hold in self.cut.states]
        self._states.take(times, values[:, stated].astype(np.float64))
        measured = values[:, [self.cut.channels.index(name) for name in self._channels]]
        rows = np.isfinite(measured).any(axis=1) | ~np.isfinite(values[:, stated]).any(axis=1)
        return times[rows], measured[rows]

    def _joined(self, times: Times, values: Values) -> tuple[Times, Values]:
        """Channels that come apart put together: a reading is whole when it has all channels, when one of
        them comes anew, or when `join` has passed since its first."""
        moments: list[int] = []
        rows: list[NDArray[np.float64]] = []

        def close() -> None:
            if self._open >= 0:
                moments.append(self._open)
                rows.append(self._open_row)
            self._open, self._open_row = -1, np.full(len(self._channels), np.nan)

        for time, row in zip(times.tolist(), values.astype(np.float64), strict=True):
            known = np.isfinite(row)
            if time - self._open > self.cut.join or (known & ~np.isnan(self._open_row)).any():
                close()
            if self._open < 0:
                self._open = time
            self._open_row = np.where(known, row, self._open_row)
            if not np.isnan(self._open_row).any():
                close()
        return np.array(moments, np.int64), np.array(rows, np.float32).reshape(-1, len(self._channels))

    def _countable(self, times: Times, values: Values) -> tuple[Times, NDArray[np.float64]]:
        """Readings newer than the last that counted that have what is required; infinite is missing."""
        known = np.isfinite(values)
        if known.all() and (_since(times, self._last) > 0).all():  # as most are
            return times, values.astype(np.float64) + 0.0
        needed = [self._channels.index(name) for name in self.cut.required]
        usable = known[:, needed].all(axis=1) & known.any(axis=1)
        moments = times[usable]
        newer = moments > np.maximum.accumulate(np.concatenate([[self._last], moments[:-1]]))
        rows = np.where(known, values, np.nan).astype(np.float64)[usable][newer] + 0.0  # no zero below zero
        self.dropped += len(times) - len(rows)
        return moments[newer], rows

    def _before(self, times: Times, came: Times, missed: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many readings were lost before each row of `times`, and after the row before it; `missed`: the
        same of each reading that `came`."""
        until = np.concatenate([[self._missed], self._missed + np.cumsum(missed)])
        lost = np.diff(until[np.searchsorted(came, times, side="right")], prepend=0)
        self._missed = int(until[-1] - lost.sum())
        return lost

    def _counted(
        self, times: Times, missed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """True where a row begins a new segment, and where it begins a window: at every `hop`-th of a segment
        by the device's count. To the device it is none where readings that were lost fill the gap."""
        last, breaks = self._last, self._gaps(times)
        steps = 1 if missed is None else missed + 1
        at = self._at + (np.arange(1, len(times) + 1) if missed is None else np.cumsum(steps))
        if breaks.any():
            silent = breaks & (_since(times, last) > steps * self.cut.gap)
            if last < 0:
                silent[0] = False
            at -= np.maximum.accumulate(np.where(silent, at, 0))
        if len(at):
            self._at = int(at[-1])
        return breaks, at % self.cut.hop == 0

    def _gaps(self, times: Times) -> NDArray[np.bool_]:
        """True where a reading begins a new segment; remembers the last reading."""
        if not len(times):
            return np.zeros(0, bool)
        breaks = np.zeros(len(times), bool)
        if self.cut.gap:
            breaks = _since(times, self._last) > self.cut.gap
        if self._last < 0:
            breaks[0] = True
        self._last = int(times[-1])
        return breaks

    def _between(self, times: Times, rows: NDArray[np.float64]) -> OnGrid:
        """Each channel interpolated at the multiples of the period that lie between its readings."""
        if not len(times):
            return times, rows, np.zeros(0, bool)
        new = self._gaps(times)
        edges = [0, *(np.flatnonzero(new[1:]) + 1).tolist(), len(times)]
        parts: list[OnGrid] = []
        for begin, end in pairwise(edges):
            if new[begin]:
                parts.append(self._points(closed=True))
                self._let_go()
                self._grid, self._broken = -(-int(times[begin]) // self.cut.period), True
            self._held_times = np.concatenate([self._held_times, times[begin:end]])
            self._held_rows = np.concatenate([self._held_rows, rows[begin:end]])
            parts.append(self._points(closed=False))
        found, resampled, breaks = zip(*parts, strict=True)
        return np.concatenate(found), np.concatenate(resampled), np.concatenate(breaks)

    def _points(self, *, closed: bool) -> OnGrid:
        """Points that need not wait; all, where what they lie between is `closed`."""
        period, times = self.cut.period, self._held_times
        if not len(times):
            return np.zeros(0, np.int64), np.zeros((0, len(self._channels))), np.zeros(0, bool)
        points = period * np.arange(self._grid, int(times[-1]) // period + 1)
        patience = self.cut.gap or NEVER
        rows, count, needed = interpolated(points, times, self._held_rows, patience, closed=closed)
        self._held_times, self._held_rows = times[needed:], self._held_rows[needed:]
        self._grid += count
        breaks = np.zeros(count, bool)
        breaks[:1] = self._broken
        self._broken = self._broken and not count
        return points[:count], rows, breaks

    def _let_go(self) -> None:
        self._held_times = np.zeros(0, np.int64)
        self._held_rows = np.zeros((0, len(self._channels)))

    def _held(self, times: Times, rows: NDArray[np.float64]) -> OnGrid:
        """The last reading of each channel at the multiples of the period that lie between readings."""
        period = self.cut.period
        points: list[int] = []
        out: list[NDArray[np.float64]] = []
        breaks: list[bool] = []
        for time, row in zip(times.tolist(), rows, strict=True):
            before = self._last
            if before < 0 or (self.cut.gap and time - before > self.cut.gap):
                self._grid, self._broken = -(-time // period), True
                self._last_row = np.full(len(row), np.nan)
            self._seen = np.where(np.isnan(row), self._seen, time)
            dead = time - self._seen > self.cut.gap if self.cut.gap else np.zeros(len(row), bool)
            row = np.where(np.isnan(row) & ~dead, self._last_row, row)  # a dead channel is not held for ever
            while self._grid * period <= time:
                point = self._grid * period
                points.append(point)
                out.append(row if point == time else self._last_row)
                breaks.append(self._broken)
                self._broken = False
                self._grid += 1
            self._last, self._last_row = time, row
        shape = (len(points), len(self._channels))
        return np.array(points, np.int64), np.array(out, np.float64).reshape(shape), np.array(breaks, bool)

    def _inputs(self, times: Times, rows: NDArray[np.float64]) -> Values:
        if self.cut.inputs == self._channels and not self.cut.states:
            inputs = rows.astype(np.float32)
        else:
            inputs = self._derived(times, rows)
        # One NaN, one zero: a window's bytes must not tell by which way a missing value came.
        known = np.isfinite(inputs)
        inputs = inputs + np.float32(0)
        return inputs if known.all() else np.where(known, inputs, np.float32(np.nan))

    def _derived(self, times: Times, rows: NDArray[np.float64]) -> Values:
        columns = {name: np.ascontiguousarray(rows[:, i]) for i, name in enumerate(self._channels)}
        if self.cut.states:
            held = self._states.at(times)
            columns |= {hold.channel: held[:, i] for i, hold in enumerate(self.cut.states)}
            self._states.forget(int(times[-1]))
        with np.errstate(all="ignore"):  # what cannot be computed is missing
            for derived, memory in zip(self.cut.derive, self._memory, strict=True):
                column = derived.apply(times, [columns[c] for c in derived.channels], memory)
                columns[derived.name] = np.where(np.isfinite(column), column, np.nan)
            return np.stack([columns[name] for name in self.cut.inputs], axis=1).astype(np.float32)

    def _cut(self, times: Times, rows: Values, begins: NDArray[np.bool_]) -> Windows:
        """Windows of one unbroken piece, which goes on from the tail."""
        times = np.concatenate([self._tail_times, times])
        rows = np.concatenate([self._tail_rows, rows])
        begins = np.concatenate([self._tail_begins, begins])
        length, (starts,) = self.cut.length, begins.nonzero()
        whole = starts[starts <= len(times) - length]
        keep_from = len(times) if len(whole) == len(starts) else int(starts[len(whole)])
        self._tail_times, self._tail_rows = times[keep_from:], rows[keep_from:]
        self._tail_begins = begins[keep_from:]
        if not len(whole):
            return self._none()
        index = whole[:, None] + np.arange(length)
        return Windows(times[whole], times[whole + length - 1], rows[index])

    def _restart(self) -> None:
        self._tail_times = np.zeros(0, np.int64)
        self._tail_rows = np.zeros((0, len(self.cut.inputs)), np.float32)
        self._tail_begins = np.zeros(0, bool)

    def _none(self) -> Windows:
        shape = (0, self.cut.length, len(self.cut.inputs))
        return Windows(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(shape, np.float32))

    def snapshot(self) -> bytes:
        """All that the next push depends on, as bytes."""
        return msgspec.msgpack.encode(
            _Snapshot(
                self.cut.id,
                self.judge.memory,
                self._open,
                self._open_row.tolist(),
                self._seen.tolist(),
                self._last,
                self._last_row.tolist(),
                self._grid,
                self._broken,
                self._at,
                self._missed,
                self._tail_times.tobytes(),
                self._tail_rows.tobytes(),
                self._tail_begins.tobytes(),
                self._memory,
                self._held_times.tobytes(),
                self._held_rows.tobytes(),
                self._states.times.tobytes(),
                self._states.rows.tobytes(),
            )
        )

    @classmethod
    def restore(cls, cut: Cut, payload: bytes) -> "Windower":
        """A windower that goes on where `snapshot` was taken; raises DataError for another cut's."""
        state = msgspec.msgpack.decode(payload, type=_Snapshot)
        if state.cut != cut.id:
            raise DataError("foreign_snapshot", f"taken under cut {state.cut}, not {cut.id}")
        windower = cls(cut)
        windower.judge.memory = state.judge
        windower._open, windower._open_row = state.open, np.array(state.open_row, np.float64)
        windower._seen = np.array(state.seen, np.int64)
        windower._last, windower._grid, windower._broken = state.last, state.grid, state.broken
        windower._at, windower._missed = state.at, state.missed
        windower._last_row = np.array(state.last_row, np.float64)
        windower._tail_times = np.frombuffer(state.tail_times, np.int64)
        windower._tail_rows = np.frombuffer(state.tail_rows, np.float32).reshape(-1, len(cut.inputs))
        windower._tail_begins = np.frombuffer(state.tail_begins, bool)
        windower._memory = state.memory
        windower._held_times = np.frombuffer(state.held_times, np.int64)
        windower._held_rows = np.frombuffer(state.held_rows, np.float64).reshape(-1, len(cut.measured))
        windower._states.times = np.frombuffer(state.state_times, np.int64)
        shape = len(windower._states.times), len(cut.states)
        windower._states.rows = np.frombuffer(state.state_rows, np.float64).reshape(shape)
        return windower

"""Whether readings can be true: what cannot is refused, or taken as missing; either is counted by its reason.

Messages are refused as they come (`check_size`, `clean`). Values are judged when windows are cut
(`Judge`), from the journal, which keeps what the sensor said: who mends the limits has history cut
anew. A device judges alike.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND, iso
from iot_stream.errors import DataError
from iot_stream.readings import Block, Times, Values

MAX_PAYLOAD = 4 * 1024 * 1024
EARLIEST = 946_684_800 * SECOND  # 2000-01-01: a device without a set clock starts in 1970
AHEAD = 86_400 * SECOND


def too_large(payload: bytes) -> DataError:
    return DataError(
        "too_large",
        f"{len(payload)} bytes in one message, at most {MAX_PAYLOAD}; send fewer readings at once",
    )


def check_times(block: Block, now: int) -> int:
    """The time (ns) of the newest reading; `now` is the wall clock's, 0 where there is none.

    Raises DataError("absurd_time") for times before 2000 or more than a day ahead of `now`, and
    DataError("empty").
    """
    times = block.raw_times
    if len(times) == 1:
        low = high = int(times[0])
    elif len(times):
        low, high = block.span()
    else:
        raise DataError("empty", f"no readings from {block.device}")
    if low < EARLIEST or (now and high > now + AHEAD):
        absurd = iso(low if low < EARLIEST else high)
        raise DataError("absurd_time", f"{block.device}: {absurd}; is its clock set?")
    return high


def finite(values: Values) -> Values:
    """The same with NaN, which stands for missing, in place of what is infinite."""
    bad = np.isinf(values)
    return np.where(bad, np.float32(np.nan), values) if bad.any() else values


def clean(block: Block, now: int) -> Block:
    """The block with infinite values made missing; raises as `check_times`."""
    check_times(block, now)
    values = finite(block.values)
    return block if values is block.values else block.holding(block.times, values)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a channel's values can be: from `low` to `high`; no more than `jump` from one to the next; not the
    same for longer than `stuck` (ns, 0: for ever)."""

    channel: str
    low: float | None = None
    high: float | None = None
    jump: float | None = None
    stuck: int = 0

    def fault(self) -> str:
        """Why no value could pass, or ""."""
        if self.low is not None and self.high is not None and not self.low < self.high:
            return f"low {self.low:g} is not below high {self.high:g}"
        if self.jump is not None and not self.jump > 0:
            return f"jump {self.jump:g} must be more than nothing"
        return "" if 0 <= self.stuck < 2**62 else "stuck counts from 0, in nanoseconds"


Memory = dict[str, int | float]
Counts = dict[tuple[str, str], int]  # (reason, channel) → values


class Judge:
    """At work on one device's readings in order of time; `counts` values that it took as missing."""

    def __init__(
        self, channels: tuple[str, ...], error_values: tuple[float, ...], limits: tuple[Limit, ...]
    ) -> None:
        self._channels = channels
        self._errors = np.array(error_values, np.float32)
        self._limits = [(channels.index(limit.channel), limit) for limit in limits]
        self.memory: list[Memory] = [{} for _ in limits]
        self.counts: Counts = {}

    def judged(self, times: Times, values: Values) -> Values:
        """`values` (n, channels) with NaN for what cannot be true."""
        values = values.copy()
        if len(self._errors):
            for column, name in enumerate(self._channels):
                self._strike(values, column, np.isin(values[:, column], self._errors), "error_value", name)
        for (column, limit), memory in zip(self._limits, self.memory, strict=True):
            x = values[:, column]
            low = -np.inf if limit.low is None else limit.low
            high = np.inf if limit.high is None else limit.high
            self._strike(values, column, (x < low) | (x > high), "out_of_range", limit.channel)
            if limit.jump is not None:
                self._strike(values, column, _jumps(x, limit.jump, memory), "jump", limit.channel)
            if limit.stuck:
                self._strike(values, column, _stuck(times, x, limit.stuck, memory), "stuck", limit.channel)
        return values

    def _strike(self, values: Values, column: int, bad: NDArray[np.bool_], reason: str, channel: str) -> None:
        if bad.any():
            values[bad, column] = np.nan
            key = (reason, channel)
            self.counts[key] = self.counts.get(key, 0) + int(bad.sum())


def _jumps(x: Values, most: float, memory: Memory) -> NDArray[np.bool_]:
    """Where a value is too far from the last good one; a second one beside it makes the new level good."""
    bad = np.zeros(len(x), bool)
    good, doubtful = memory.get("good", np.nan), memory.get("doubtful", np.nan)
    for i, value in enumerate(x.tolist()):
        if value != value:
            continue
        bad[i] = (
            abs(value - good) > most and not abs(value - doubtful) <= most
        )  # NaN is near nothing, and not far
        good, doubtful = (good, value) if bad[i] else (value, np.nan)
    memory.update(good=good, doubtful=doubtful)
    return bad


def _stuck(times: Times, x: Values, longest: int, memory: Memory) -> NDArray[np.bool_]:
    """Where a value has been the same for longer than that."""
    bad = np.zeros(len(x), bool)
    same, since = memory.get("same", np.nan), int(memory.get("since", 0))
    for i, (time, value) in enumerate(zip(times.tolist(), x.tolist(), strict=True)):
        if value != value:
            continue
        if value != same:
            same, since = value, time
        bad[i] = time - since > longest
    memory.update(same=same, since=since)
    return bad

"""What a device says: blocks of readings, and labels."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.errors import DataError

Times = NDArray[np.int64]
Values = NDArray[np.float32]

SAMPLED = 1 << 20
"""Source of readings that came with a sample: of a device that does not send all."""

_NAME = re.compile(r"[^/+#\x00-\x1f\x7f]+")
_UNFIT = re.compile(r"[/+#\x00-\x1f\x7f]")
_ESCAPED = re.compile(r"%(2F|2B|23|[01][0-9A-F]|7F)")


def check_device_name(name: str) -> str:
    """`name`, if it can stand as one level of a topic; raises DataError("device_name")."""
    if not _NAME.fullmatch(name):
        raise DataError("device_name", f"{name[:80]!r}: no '/', '+', '#', control character, and not empty")
    if (size := len(name.encode("utf-8", "replace"))) > 128:
        raise DataError("device_name", f"{name[:80]!r}: {size} bytes, at most 128; give it a shorter name")
    return name


@lru_cache(100_000)
def device_name(text: str) -> str:
    """What a device calls itself, as one level of a topic: "kitchen/window" becomes "kitchen%2Fwindow".

    A name that is written so already stays: on iot-stream's own topics it is, and people write it either way.
    Raises DataError("device_name").
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise DataError("device_name", f"{text[:80]!r} is no Unicode text")
    return check_device_name(_UNFIT.sub(lambda found: f"%{ord(found[0]):02X}", text))


def spoken_name(name: str) -> str:
    """What a device of that name calls itself: the other way round."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)


class Block(msgspec.Struct, eq=False, gc=False):
    """Consecutive readings of one device, as one message brought them; not to be changed.

    `times` (n,) int64 nanoseconds, not decreasing; `values` (n, channels) float32, NaN where a
    channel is missing. Readings are numbered from `seq` within `boot`; a source without numbers
    has boot "" and seq -1, and is told apart by its times.

    A block is made of arrays, or of lists, that of values row by row: a small array costs ten times
    as much to make as a list, and most messages hold one reading.
    """

    device: str
    channels: tuple[str, ...]
    raw_times: Times | list[int]
    raw_values: Values | list[float | None]
    boot: str = ""
    seq: int = -1
    source: int = 0
    arrival_stamped: bool = False

    @property
    def times(self) -> Times:
        if isinstance(self.raw_times, list):
            self.raw_times = np.array(self.raw_times, np.int64)
        return self.raw_times

    @property
    def values(self) -> Values:
        if isinstance(self.raw_values, list):
            with np.errstate(over="ignore"):  # becomes infinite, which hygiene marks as missing
                self.raw_values = np.array(self.raw_values, np.float32).reshape(len(self), len(self.channels))
        return self.raw_values

    def __len__(self) -> int:
        return len(self.raw_times)

    @property
    def numbered(self) -> bool:
        return self.seq >= 0

    def span(self) -> tuple[int, int]:
        """The least and the greatest time (ns) of its readings, of which there is at least one."""
        times = self.raw_times
        if isinstance(times, list):
            return min(times), max(times)
        return int(times.min()), int(times.max())

    def renamed(self, device: str) -> "Block":
        """The same readings, of a device of that name."""
        return Block(
            device, self.channels, self.raw_times, self.raw_values,
            self.boot, self.seq, self.source, self.arrival_stamped,
        )  # fmt: skip

    def of_source(self, source: int) -> "Block":
        """The same readings, as if that source had brought them."""
        return Block(
            self.device, self.channels, self.raw_times, self.raw_values,
            self.boot, self.seq, source, self.arrival_stamped,
        )  # fmt: skip

    def holding(self, times: Times, values: Values) -> "Block":
        """Other readings in their place."""
        return Block(
            self.device, self.channels, times, values, self.boot, self.seq, self.source, self.arrival_stamped
        )

    def rows(self, part: slice) -> "Block":
        """Some of the readings of an unnumbered block."""
        return self.holding(self.times[part], self.values[part])

    def packed(self) -> "Packed":
        return Packed(
            self.device,
            self.channels,
            self.times.tobytes(),
            self.values.tobytes(),
            self.boot,
            self.seq,
            self.source,
            self.arrival_stamped,
        )


class Packed(msgspec.Struct, frozen=True, array_like=True):
    """A block as bytes: what the journal and a cutter's snapshot keep."""

    device: str
    channels: tuple[str, ...]
    times: bytes
    values: bytes
    boot: str
    seq: int
    source: int
    arrival_stamped: bool

    def block(self) -> Block:
        times = np.frombuffer(self.times, np.int64)
        values = np.frombuffer(self.values, np.float32).reshape(len(times), len(self.channels))
        return Block(
            self.device, self.channels, times, values, self.boot, self.seq, self.source, self.arrival_stamped
        )


def joined(blocks: list[Block]) -> Iterator[Block]:
    """Blocks of one device, those that follow each other without a gap as one."""
    run: list[Block] = []
    for block in blocks:
        if run and not _follows(run[-1], block):
            yield _one(run)
            run = []
        run.append(block)
    if run:
        yield _one(run)


def _follows(before: Block, block: Block) -> bool:
    number = before.seq + len(before) if before.numbered else -1
    return (block.source, block.channels, block.boot, block.seq, block.arrival_stamped) == (
        before.source,
        before.channels,
        before.boot,
        number,
        before.arrival_stamped,
    )


def _one(run: list[Block]) -> Block:
    if len(run) == 1:
        return run[0]
    return run[0].holding(np.concatenate([b.times for b in run]), np.concatenate([b.values for b in run]))


def in_time_order(block: Block) -> Block:
    """The block with its readings sorted by time (stable)."""
    if len(block) < 2 or bool(np.all(block.times[1:] >= block.times[:-1])):
        return block
    order = np.argsort(block.times, kind="stable")
    return block.holding(block.times[order], block.values[order])


class Label(msgspec.Struct, frozen=True):
    """Ground truth: between `start` and `end` (inclusive, nanoseconds) the class was `value`."""

    device: str
    start: int
    end: int
    value: int

    @classmethod
    def at(cls, device: str, time: int, value: int) -> Self:
        return cls(device, time, time, value)

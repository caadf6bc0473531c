"""What a device says: blocks of readings, and labels."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.errors import DataError

Times = NDArray[np.int64]
Values = NDArray[np.float32]

_NAME = re.compile(r"[^/+#\x00-\x1f\x7f]+")
_UNFIT = re.compile(r"[/+#\x00-\x1f\x7f]|%(?=[0-9A-F]{2})")  # a % that looks like ours becomes one too


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

    Raises DataError("device_name").
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise DataError("device_name", f"{text[:80]!r} is no Unicode text")
    return check_device_name(_UNFIT.sub(lambda found: f"%{ord(found[0]):02X}", text))


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive readings of one device, as one message brought them.

    `times` (n,) int64 nanoseconds, not decreasing; `values` (n, channels) float32, NaN where a
    channel is missing. Readings are numbered from `seq` within `boot`; a source without numbers
    has boot "" and seq -1, and is told apart by its times.
    """

    device: str
    channels: tuple[str, ...]
    times: Times
    values: Values
    boot: str = ""
    seq: int = -1
    source: int = 0
    arrival_stamped: bool = False

    def __len__(self) -> int:
        return len(self.times)

    @property
    def numbered(self) -> bool:
        return self.seq >= 0

    def rows(self, part: slice) -> Self:
        """Some of the readings of an unnumbered block."""
        return replace(self, times=self.times[part], values=self.values[part])

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


def in_time_order(block: Block) -> Block:
    """The block with its readings sorted by time (stable)."""
    if len(block) < 2 or bool(np.all(block.times[1:] >= block.times[:-1])):
        return block
    order = np.argsort(block.times, kind="stable")
    return replace(block, times=block.times[order], values=block.values[order])


class Label(msgspec.Struct, frozen=True):
    """Ground truth: between `start` and `end` (inclusive, nanoseconds) the class was `value`."""

    device: str
    start: int
    end: int
    value: int

    @classmethod
    def at(cls, device: str, time: int, value: int) -> Self:
        return cls(device, time, time, value)

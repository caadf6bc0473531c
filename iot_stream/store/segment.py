"""Blocks that came together, as the journal keeps them: many in one row, for a row a block costs more than
all else that the collector does for it.

`Heads` say whose readings they are and how many; times and values are apart, so that who counts reads none.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.columns import Columns
from iot_stream.hygiene import finite
from iot_stream.readings import Block

DEVICE, CHANNELS, BOOT, SOURCE, STAMPED, READINGS = range(6)

Name = TypeVar("Name", bound=Hashable)


class Head(NamedTuple):
    device: str
    channels: tuple[str, ...]
    boot: str
    source: int
    seq: int
    first: int
    readings: int


class Heads(msgspec.Struct, frozen=True, array_like=True):
    """`table` int32 (blocks, 6): places in `devices`, `channels` and `boots`, source, arrival-stamped or not,
    number of readings; `numbers` int64 (blocks,); `firsts` int64 (blocks,): time of the first reading."""

    devices: list[str]
    channels: list[tuple[str, ...]]
    boots: list[str]
    table: bytes
    numbers: bytes
    firsts: bytes

    def rows(self) -> NDArray[np.int32]:
        return np.frombuffer(self.table, np.int32).reshape(-1, 6)

    def counts(self) -> dict[str, int]:
        """Device → its readings."""
        rows = self.rows()
        sums = np.bincount(rows[:, DEVICE], rows[:, READINGS], len(self.devices))
        return dict(zip(self.devices, sums.astype(np.int64).tolist(), strict=True))

    def numbered(self, sources: Sequence[int]) -> dict[str, int]:
        """Device → its readings that have numbers, or are of sources whose messages have."""
        rows = self.rows()
        told = rows[(np.frombuffer(self.numbers, np.int64) >= 0) | np.isin(rows[:, SOURCE], sources)]
        sums = np.bincount(told[:, DEVICE], told[:, READINGS], len(self.devices))
        return dict(zip(self.devices, sums.astype(np.int64).tolist(), strict=True))

    def __iter__(self) -> Iterator[Head]:
        numbers, firsts = np.frombuffer(self.numbers, np.int64), np.frombuffer(self.firsts, np.int64)
        for row, seq, first in zip(self.rows().tolist(), numbers.tolist(), firsts.tolist(), strict=True):
            device, channels, boot, source, _, readings = row
            yield Head(
                self.devices[device], self.channels[channels], self.boots[boot], source, seq, first, readings
            )


def pack(blocks: Columns) -> tuple[bytes, bytes]:
    """Heads and readings of blocks, infinite values made missing. Readings are all times, then all values."""
    devices, device = _numbered(blocks.devices)
    channels, names = _numbered(blocks.channels)
    boots, boot = _numbered(blocks.boots)
    table = np.empty((len(blocks), 6), np.int32)
    columns: tuple[Sequence[int], ...] = (
        device, names, boot, blocks.sources, blocks.stamped, blocks.counts,
    )  # fmt: skip
    for place, column in enumerate(columns):
        same = column.count(column[0]) == len(column)  # mostly: a list is made an array number by number
        table[:, place] = column[0] if same else column
    seqs = np.array(blocks.seqs, np.int64)
    heads = Heads(devices, channels, boots, table.tobytes(), seqs.tobytes(), blocks.firsts.tobytes())
    return msgspec.msgpack.encode(heads), blocks.times.tobytes() + finite(blocks.values).tobytes()


def _numbered(names: list[Name]) -> tuple[list[Name], list[int]]:
    """The different names, and of each the place among them."""
    different = list(dict.fromkeys(names))
    if len(different) == 1:
        return different, [0] * len(names)
    places = {name: i for i, name in enumerate(different)}
    return different, [places[name] for name in names]


def heads_of(packed: bytes) -> Heads:
    return msgspec.msgpack.decode(packed, type=Heads)


def unpack(packed: bytes, readings: bytes) -> Iterable[Block]:
    """The blocks of each device, in order; what follows each other without a gap comes as one."""
    heads = heads_of(packed)
    table, numbers = heads.rows(), np.frombuffer(heads.numbers, np.int64)
    count = table[:, READINGS].astype(np.int64)
    width = np.array([len(names) for names in heads.channels])[table[:, CHANNELS]]
    times = np.frombuffer(readings, np.int64, int(count.sum()))
    values = np.frombuffer(readings, np.float32, offset=times.nbytes)
    order = np.argsort(table[:, DEVICE], kind="stable")
    if bool(np.any(order[1:] < order[:-1])):
        times = times[_places(count, order)]
        values = values[_places(count * width, order)]
        table, numbers, count, width = table[order], numbers[order], count[order], width[order]
    # Same device, channels, boot, source and stamp; and the next number, or no number at all.
    alike = np.all(table[1:, :READINGS] == table[:-1, :READINGS], axis=1)
    follows = np.where(numbers[1:] < 0, numbers[:-1] < 0, numbers[1:] == numbers[:-1] + count[:-1])
    begins = np.flatnonzero(np.concatenate(([True], ~(alike & follows))))
    row = np.concatenate(([0], np.cumsum(count)))
    place = np.concatenate(([0], np.cumsum(count * width)))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(table)], strict=True):
        device, channels, boot, source, stamped, _ = table[begin].tolist()
        names = heads.channels[channels]
        yield Block(
            heads.devices[device],
            names,
            times[row[begin] : row[end]],
            values[place[begin] : place[end]].reshape(-1, len(names)),
            heads.boots[boot],
            int(numbers[begin]),
            source,
            bool(stamped),
        )


def of_device(heads: Heads, readings: bytes, device: str) -> Iterator[Block]:
    """The blocks of one device as they came; less than `unpack` where the others are not wanted."""
    table, numbers = heads.rows(), np.frombuffer(heads.numbers, np.int64)
    count = table[:, READINGS].astype(np.int64)
    size = count * np.array([len(names) for names in heads.channels])[table[:, CHANNELS]]
    row, place = np.cumsum(count) - count, np.cumsum(size) - size
    values_begin = 8 * int(count.sum())  # bytes: behind all times
    for number in np.flatnonzero(table[:, DEVICE] == heads.devices.index(device)).tolist():
        _, channels, boot, source, stamped, readings_ = table[number].tolist()
        names = heads.channels[channels]
        times = np.frombuffer(readings, np.int64, readings_, 8 * int(row[number]))
        values = np.frombuffer(
            readings, np.float32, int(size[number]), values_begin + 4 * int(place[number])
        ).reshape(-1, len(names))
        yield Block(
            device, names, times, values, heads.boots[boot], int(numbers[number]), source, bool(stamped)
        )


def _places(count: NDArray[np.int64], order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Where the items of blocks of `count` items each lie, when the blocks are put in `order`."""
    starts = (np.cumsum(count) - count)[order]
    lengths = count[order]
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))

"""Blocks that came together, as the journal keeps them: many in one row, for a row a block costs more than
all else that the collector does for it.

`Heads` say whose readings they are and how many; times and values are apart, so that who counts reads none.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.hygiene import finite
from iot_stream.readings import Block

DEVICE, CHANNELS, BOOT, SOURCE, STAMPED, READINGS = range(6)


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

    def __iter__(self) -> Iterator[Head]:
        numbers, firsts = np.frombuffer(self.numbers, np.int64), np.frombuffer(self.firsts, np.int64)
        for row, seq, first in zip(self.rows().tolist(), numbers.tolist(), firsts.tolist(), strict=True):
            device, channels, boot, source, _, readings = row
            yield Head(
                self.devices[device], self.channels[channels], self.boots[boot], source, seq, first, readings
            )


def pack(blocks: Sequence[Block]) -> tuple[bytes, bytes]:
    """Heads and readings of blocks, infinite values made missing."""
    devices = {name: i for i, name in enumerate(dict.fromkeys(block.device for block in blocks))}
    channels = {names: i for i, names in enumerate(dict.fromkeys(block.channels for block in blocks))}
    boots = {boot: i for i, boot in enumerate(dict.fromkeys(block.boot for block in blocks))}
    times = [block.raw_times for block in blocks]
    table = np.array(
        [
            [devices[block.device] for block in blocks],
            [channels[block.channels] for block in blocks],
            [boots[block.boot] for block in blocks],
            [block.source for block in blocks],
            [block.arrival_stamped for block in blocks],
            [len(each) for each in times],
        ],
        np.int32,
    ).T
    heads = Heads(
        list(devices),
        list(channels),
        list(boots),
        table.tobytes(),
        np.array([block.seq for block in blocks], np.int64).tobytes(),
        np.array([each[0] for each in times], np.int64).tobytes(),
    )
    return msgspec.msgpack.encode(heads), _readings(blocks)


def _readings(blocks: Sequence[Block]) -> bytes:
    """All times, then all values."""
    values = [block.raw_values for block in blocks]
    if all(isinstance(each, list) for each in values):
        with np.errstate(over="ignore"):
            flat = np.array(list(chain.from_iterable(values)), np.float32)
        times = np.array(list(chain.from_iterable([block.raw_times for block in blocks])), np.int64)
    else:
        flat = np.concatenate([block.values.ravel() for block in blocks])
        times = np.concatenate([block.times for block in blocks])
    return times.tobytes() + finite(flat).tobytes()


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


def _places(count: NDArray[np.int64], order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Where the items of blocks of `count` items each lie, when the blocks are put in `order`."""
    starts = (np.cumsum(count) - count)[order]
    lengths = count[order]
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))

"""Many messages of telemetry at once, for half of what each costs by itself.

Their channels are decoded as fields of a struct: a dict for each message costs as much as all the rest of it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from iot_stream.columns import Columns, floats
from iot_stream.readings import Times, Values
from iot_stream.topics import Telemetry

MAX_TIME = 2**63 - 1
MOST = 64  # channels of all messages; with more of them, each is read by itself
Column = list[float | None]
_TIMES = attrgetter("times")
_UNFIT = re.compile(r'[\\"\x00-\x1f]')  # msgspec's fields may not have them


class TelemetryTogether:
    """Reads messages that have no channels but those that it has learnt."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._known: frozenset[str] = frozenset()
        self._names: tuple[str, ...] = ()
        self._decode = _decoder(())

    def learn(self, channels: Iterable[str]) -> None:
        if self._known.issuperset(channels):
            return
        names = self._known.union(name for name in channels if not _UNFIT.search(name))
        if len(self._names) < len(names) <= MOST:
            self._known, self._names = names, tuple(sorted(names))
            self._decode = _decoder(self._names)

    def read(self, payloads: Sequence[bytes], devices: list[str]) -> Columns | None:
        """A block of each; None where one of them must be looked at by itself."""
        try:
            messages = [self._decode(payload) for payload in payloads]
        except ValueError:
            return None
        firsts = [message.time for message in messages]
        if min(firsts) < 0 or max(firsts) > MAX_TIME or any(map(_TIMES, messages)):
            return None
        tables: list[tuple[Any, ...]] = [astuple(message.channels) for message in messages]
        names = [self._names] * len(tables)
        if UNSET in chain.from_iterable(tables):
            come = [[column is not UNSET for column in table] for table in tables]
            names = [tuple(compress(self._names, each)) for each in come]
            tables = [tuple(compress(table, each)) for table, each in zip(tables, come, strict=True)]
        if not all(tables):
            return None
        counts = [len(table[0]) for table in tables]
        if not all(counts):
            return None
        try:
            values = _by_rows(tables)
            if max(counts) == 1:
                times = np.array(firsts, np.int64)
            else:
                times = _evenly(firsts, [message.step for message in messages], counts)
        except ValueError:
            return None
        return Columns(
            devices,
            names,
            [message.boot for message in messages],
            [message.seq if message.boot else -1 for message in messages],
            [self._index] * len(messages),
            [False] * len(messages),
            counts,
            times,
            values,
        )


def _decoder(names: tuple[str, ...]) -> Callable[[bytes], Any]:
    """Of messages whose `channels` are a struct of these, `UNSET` where a message has none."""
    fields = [
        (f"channel_{i}", Column | UnsetType, msgspec.field(name=name, default=UNSET))
        for i, name in enumerate(names)
    ]
    channels = msgspec.defstruct("Channels", fields, forbid_unknown_fields=True, gc=False)
    message = msgspec.defstruct("Message", [("channels", channels)], bases=(Telemetry,), gc=False)
    return msgspec.json.Decoder(message).decode


def _by_rows(tables: list[tuple[Column, ...]]) -> Values:
    """Values of each message row by row, one message after the other; raises ValueError where its columns are
    not of equal length."""
    columns = list(chain.from_iterable(tables))
    (size, *other_sizes), (width, *other_widths) = set(map(len, columns)), set(map(len, tables))
    if other_sizes or other_widths:
        return floats([v for table in tables for row in zip(*table, strict=True) for v in row])
    values = floats(list(chain.from_iterable(columns)))
    return values if size == 1 else values.reshape(-1, width, size).swapaxes(1, 2).ravel()


def _evenly(firsts: list[int], steps: list[int], counts: list[int]) -> Times:
    """`counts` times each, one after the other; raises ValueError where that cannot be."""
    lasts = [first + step * (count - 1) for first, step, count in zip(firsts, steps, counts, strict=True)]
    if min(counts) < 1 or min(steps) < 0 or max(lasts) > MAX_TIME:
        raise ValueError
    before = np.cumsum(counts) - counts
    place = np.arange(sum(counts)) - np.repeat(before, counts)
    return np.asarray(np.repeat(np.array(firsts, np.int64), counts) + place * np.repeat(steps, counts))

"""The rival persistence: the last word on a device, repeated."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Times


class Word(NamedTuple):
    """That a device's class was `value` at `end`, heard at `came` (ns)."""

    came: int
    end: int
    device: str
    value: int


def repeated(
    devices: NDArray[np.str_], ends: Times, arrived: Times, words: Iterable[Word], before: int = -1
) -> NDArray[np.int64]:
    """For windows (n,): the newest word on an earlier moment of the device that had come when the window
    did; `before` where there was none."""
    said = np.full(len(ends), before, np.int64)
    by_device: dict[str, list[Word]] = {}
    for word in words:
        by_device.setdefault(word.device, []).append(word)
    for device, known in by_device.items():
        known.sort()
        mine = np.flatnonzero(devices == device)
        mine = mine[np.argsort(arrived[mine], kind="stable")]
        newest, spoken, heard = -1, before, 0
        for row in mine.tolist():
            while heard < len(known) and known[heard].came <= arrived[row] and known[heard].end < ends[row]:
                if known[heard].end > newest:
                    newest, spoken = known[heard].end, known[heard].value
                heard += 1
            said[row] = spoken
    return said

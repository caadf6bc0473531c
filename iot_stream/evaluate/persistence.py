"""The rival persistence: the last word on a device, repeated."""

from bisect import bisect_left, bisect_right
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
    did, `before` where there was none. Of words on one moment the last to come holds, then the last given."""
    said = np.full(len(ends), before, np.int64)
    by_device: dict[str, list[Word]] = {}
    for word in sorted(words, key=lambda word: word.came):
        by_device.setdefault(word.device, []).append(word)
    for device, known in by_device.items():
        mine = np.flatnonzero(devices == device)
        mine = mine[np.argsort(arrived[mine], kind="stable")]
        heard, moments, values = 0, list[int](), list[int]()
        for row in mine.tolist():
            while heard < len(known) and known[heard].came <= arrived[row]:
                place = bisect_right(moments, known[heard].end)
                moments.insert(place, known[heard].end)
                values.insert(place, known[heard].value)
                heard += 1
            earlier = bisect_left(moments, ends[row])
            said[row] = values[earlier - 1] if earlier else before
    return said

"""What of a pipeline's readings is in the journal already, so that a redelivery is told from news without
asking the disk for each message.

Numbers that were heard are kept as ranges, of the newest boots of each device; readings without numbers are
told apart by their times, among the newest. The journal itself is the truth: this follows it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import islice

import msgspec

from iot_stream.store.segment import Head

BOOTS = 16  # of a device's source, of which numbers are remembered
RANGES = 1000  # of one boot; beyond, the oldest gap counts as heard
RECENT = 20_000  # unnumbered blocks, of all devices; a broker brings again what was in flight only

Row = tuple[str, tuple[str, ...], str, int, int, int, int]  # a `Head`, or as one
Ranges = list[int]  # begin, end, begin, end, … ascending; an end is not heard itself


class Device(msgspec.Struct, array_like=True):
    """A source of a device: how many readings of it are in the journal, by boot which numbers came, and how
    many readings are in the journal no longer."""

    readings: int = 0
    boots: dict[str, Ranges] = {}
    forgotten: int = 0

    def news(self, boot: str, seq: int, readings: int) -> bool:
        """Whether any of these numbers is new; then they are heard."""
        ranges = self.boots.get(boot)
        if ranges is None:
            ranges = self.boots[boot] = [seq, seq + readings]
            if len(self.boots) > BOOTS:
                del self.boots[next(iter(self.boots))]
            return True
        return _insert(ranges, seq, seq + readings)


def _insert(ranges: Ranges, begin: int, end: int) -> bool:
    place = bisect_right(ranges, begin)
    if place % 2 and end <= ranges[place]:
        return False
    low, high = bisect_left(ranges, begin), bisect_right(ranges, end)
    ranges[low:high] = [begin] * (low % 2 == 0) + [end] * (high % 2 == 0)
    if len(ranges) > 2 * RANGES:
        del ranges[1:3]
    return True


class Known:
    """`position`: the newest segment that is taken into account."""

    def __init__(self, position: int, devices: dict[tuple[str, int], Device]) -> None:
        self.position = position
        self.devices = devices
        self.changed: set[tuple[str, int]] = set()
        self._recent: dict[tuple[object, ...], None] = {}

    def news(self, heads: Iterable[Row]) -> list[bool]:
        """Whether each block is not in the journal yet; then it counts as being there. Rows as `Head`."""
        found, changed, devices = [], set(), self.devices
        for device, channels, boot, source, seq, first, readings in heads:
            key = device, source
            changed.add(key)
            known = devices.get(key)
            if known is None:
                known = devices[key] = Device()
            if seq < 0:
                fresh = self._unheard(device, source, channels, first, readings)
            elif (ranges := known.boots.get(boot)) and ranges[-1] == seq:  # the next, as nearly all are
                ranges[-1] = seq + readings
                fresh = True
            else:
                fresh = known.news(boot, seq, readings)
            if fresh:
                known.readings += readings
            found.append(fresh)
        self.changed |= changed
        return found

    def _unheard(self, *key: object) -> bool:
        if key in self._recent:
            return False
        self._recent[key] = None
        if len(self._recent) > 2 * RECENT:
            for old in list(islice(self._recent, RECENT)):
                del self._recent[old]
        return True

    def remind(self, heads: Iterable[Head]) -> None:
        """Of unnumbered blocks that are counted already."""
        for head in heads:
            if head.seq < 0:
                self._unheard(head.device, head.source, head.channels, head.first, head.readings)

    def forget(self, heads: Iterable[Head]) -> None:
        """They are no longer in the journal; that they came is still known."""
        for head in heads:
            key = (head.device, head.source)
            self.changed.add(key)
            self.devices[key].readings -= head.readings
            self.devices[key].forgotten += head.readings

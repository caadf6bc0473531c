"""Bytes up and down, per device and day."""

import time
from collections.abc import Mapping

import msgspec

from iot_stream.clock import SECOND, wall
from iot_stream.store import Store
from iot_stream.store.totals import BYTES

DAY = 86_400 * SECOND
SEGMENTS = 200  # of the journal, by which the present rate is told
FRESH_S = 5.0


class Way(msgspec.Struct):
    """Bytes that one device sends or gets in a day; `note` says how that is known."""

    per_day: int
    note: str


class Traffic:
    def __init__(self, store: Store, pipeline: str) -> None:
        self._store, self._pipeline = store, pipeline
        self._rate: float | None = None
        self._looked = float("-inf")

    def up(self, readings: Mapping[str, int]) -> Way | None:
        """At the present rate; `readings` so far of each device."""
        if time.monotonic() - self._looked >= FRESH_S:
            self._rate = self._store.overview.readings_per_second(self._pipeline, SEGMENTS)
            self._looked = time.monotonic()
        total, all_ = self._store.totals.of(self._pipeline).get(BYTES, 0), sum(readings.values())
        if not (self._rate and total and all_):
            return None
        per_reading = total / all_
        per_day = per_reading * self._rate * 86_400 / len(readings)
        return Way(round(per_day), f"{per_reading:.0f} bytes a reading, at the present rate")

    def down(self, devices: int) -> Way | None:
        """In the last 24 hours; of cohorts the mean."""
        if not devices:
            return None
        sizes: dict[str, int] = {}
        releases = self._store.overview.released_since(self._pipeline, wall() - DAY)
        for cohort, size in releases:
            sizes[cohort] = sizes.get(cohort, 0) + size
        if not sizes:
            return Way(0, "no release in the last 24 hours")
        releases_ = "1 release" if len(releases) == 1 else f"{len(releases)} releases"
        return Way(round(sum(sizes.values()) / len(sizes)), f"{releases_} in the last 24 hours")

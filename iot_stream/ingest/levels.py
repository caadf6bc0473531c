"""What topics say of devices beside their names: a level `{line}` of a source's topic is a tag of theirs."""

from collections.abc import Mapping, Sequence

from iot_stream.store import Transaction
from iot_stream.store.cohorts import Cohorts

OF_MESSAGES = {"device", "node", "group", "kind", "channel"}
"""Levels that name the device, or what a message is."""


class Levels:
    """Remembers what it has heard, and writes what is new."""

    def __init__(self, cohorts: Cohorts) -> None:
        self._cohorts = cohorts
        self._known: dict[tuple[str, str], Mapping[str, str]] = {}
        self._fresh: dict[tuple[str, str], dict[str, str]] = {}

    def hear(self, pipeline: str, device: str, places: Mapping[str, str]) -> None:
        """`places`: what the source's topic has in braces."""
        key = pipeline, device
        if len(places) < 2 or self._known.get(key) == places:
            return
        self._known[key] = places
        if tags := {name: value for name, value in places.items() if name not in OF_MESSAGES}:
            self._fresh[key] = tags

    def hear_all(self, pipeline: str, devices: Sequence[str], places: Sequence[Mapping[str, str]]) -> None:
        """Of one source: its topics have the same levels."""
        if len(places[0]) > 1:
            for device, levels in zip(devices, places, strict=True):
                self.hear(pipeline, device, levels)

    def write(self, tx: Transaction) -> None:
        """Within the transaction of what the devices said."""
        for (pipeline, device), tags in self._fresh.items():
            self._cohorts.tag(tx, pipeline, device, tags)
        self._fresh.clear()

    def take_back(self) -> None:
        """The transaction failed: nothing of it is remembered."""
        self._known.clear()
        self._fresh.clear()

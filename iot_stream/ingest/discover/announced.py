"""What devices announce to Home Assistant: their sensors' units, and sensors that were silent."""

from collections.abc import Sequence
from typing import NamedTuple

from iot_stream.errors import DataError
from iot_stream.formats.homeassistant import Sensor, sensors
from iot_stream.formats.source import Source
from iot_stream.ingest.discover.heard import Topic
from iot_stream.topics import match


class Announced(NamedTuple):
    """`topics` are those of the announcements."""

    sensors: list[Sensor]
    topics: set[str]

    def units(self, source: Source, topics: Sequence[Topic]) -> dict[str, str]:
        """Unit by where the source has a value."""
        names = {topic.name for topic in topics}
        return {
            place: sensor.unit
            for sensor in self.sensors
            if sensor.topic in names and sensor.unit
            for place in _places(sensor, source)
        }

    def silent(self, heard: Sequence[Topic]) -> list[Sensor]:
        """Sensors on topics of which nothing was heard."""
        names = {topic.name for topic in heard}
        return [sensor for sensor in self.sensors if sensor.topic not in names]


def announced(heard: Sequence[Topic], prefix: str = "homeassistant") -> Announced:
    found: dict[tuple[str, str, str], Sensor] = {}
    topics = set()
    for topic in heard:
        if not (topic.name.startswith(f"{prefix}/") and topic.levels[-1] == "config"):
            continue
        for payload in topic.payloads:
            try:
                told = sensors(topic.name, payload, prefix)
            except DataError:
                continue
            topics.add(topic.name)
            found |= {(each.topic, each.path, each.name): each for each in told}
    return Announced(list(found.values()), topics)


def _places(sensor: Sensor, source: Source) -> list[str]:
    """Where a source of any dialect may have the value: $.a.b, a.b, or what {channel} stands for."""
    levels = match(source.topic, sensor.topic) or {}
    return [sensor.path, sensor.path.removeprefix("$."), levels.get("channel", sensor.path)]

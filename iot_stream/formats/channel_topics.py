"""One topic a channel, its value as text: ESPHome, Home Assistant's statestream, and whoever does so too.

See esphome.io, "MQTT Client Component": <prefix>/<type>/<name>/state; and home-assistant.io, "MQTT
Statestream": <base_topic>/<domain>/<entity>/state.
"""

import numpy as np

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.source import Source
from iot_stream.formats.values import number
from iot_stream.readings import Block

LONGEST = 1024  # bytes of a value


@format_named("topic_per_channel")
@format_named("esphome", "{device}/sensor/{channel}/state")
class ChannelTopics:
    """A number or a state on a topic with {channel}; `channels`: channel → what {channel} is in its topic; by
    default all that are numbers or states, under the names that the topics have. The time is of arrival."""

    def __init__(self, source: Source, index: int) -> None:
        if source.topic and not {"{channel}", "{channel...}"} & set(source.topic.split("/")):
            raise ConfigError(f"topic: {source.topic!r} has no level {{channel}}, which names the channel")
        self._index, self._device = index, source.device
        self._words = source.values
        self._names: dict[str, list[str]] = {}
        for name, place in source.channels.items():
            if not place:
                raise ConfigError(f"channels: {name}: what stands for {{channel}} in its topic?")
            self._names.setdefault(place, []).append(name)

    def decode(self, heard: Heard) -> list[Block]:
        device, place = self._device or heard.device, heard.places.get("channel", "")
        if not place:
            raise DataError("unknown_channel", f"{device}: the topic names no channel")
        names = self._names.get(place, []) if self._names else [place]
        if not names:
            return []
        try:
            value = number(text_of(heard.payload, place), self._words)
        except DataError as error:
            if error.reason == "wrong_type" and not self._names:
                return []  # text, which nobody asked for
            raise DataError(error.reason, f"{device}: {place}: {error.detail}") from error
        if value != value:  # unavailable, unknown
            return []
        times, row = np.array([heard.arrived], np.int64), np.full((1, len(names)), value, np.float32)
        return [Block(device, tuple(names), times, row, source=self._index, arrival_stamped=True)]


@format_named("statestream", "homeassistant/sensor/{channel}/state", names_device=True)
class Statestream(ChannelTopics):
    """States of Home Assistant's entities, all of one device, `device` (home); `channels`: channel → entity,
    as living_room_temperature; by default all that are numbers or states."""

    def __init__(self, source: Source, index: int) -> None:
        super().__init__(source, index)
        if not source.device and "{device}" not in source.topic:
            self._device = "home"


def text_of(payload: bytes, what: str) -> str:
    """Text without the quotes that it has as JSON; raises DataError."""
    if len(payload) > LONGEST:
        raise DataError("wrong_type", f"{what}: {len(payload)} bytes are no number, and no state")
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise DataError("malformed", f"{what}: {error}") from error
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def encode(value: float) -> bytes:
    """A value as the payload of its channel's topic; decoding gives the same float32."""
    return str(np.float32(value)).encode()

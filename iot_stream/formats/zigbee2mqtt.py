"""Zigbee2MQTT: a JSON object of the properties that a device exposes, on a topic of its friendly name.

See zigbee2mqtt.io, "MQTT Topics and Messages". What the bridge says of itself, availability and commands are
passed over. Where `output: attribute` is set, each property has a topic of its own: format topic_per_channel
with the topic zigbee2mqtt/{device}/{channel} reads those.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from iot_stream.errors import DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.json_paths import parse_json, time_zone
from iot_stream.formats.source import Source
from iot_stream.formats.trees import if_number, inner_path, one_reading, wanted
from iot_stream.readings import Block

MOST = 4096  # properties of a message
NOT_READINGS = frozenset(("availability", "set", "get"))


@format_named("zigbee2mqtt", "zigbee2mqtt/{device...}")
class Zigbee2MqttDecoder:
    """Properties of a device; `channels`: channel → its key, `outer.inner` or $.outer.inner; by default all
    that are numbers or states. The time is `last_seen` where Zigbee2MQTT is set to send it, or of arrival."""

    def __init__(self, source: Source, index: int) -> None:
        self._index, self._device = index, source.device
        self._words, self._zone = source.values, source.zone
        self._paths = {name: inner_path(text) for name, text in source.channels.items()}
        time_zone(source.zone)

    def decode(self, heard: Heard) -> list[Block]:
        if not heard.payload or not _speaks_of_readings(heard):  # no payload: the device was removed
            return []
        device = self._device or heard.device
        message = parse_json(heard.payload, f"message of {device}")
        if not isinstance(message, dict):
            raise DataError("wrong_type", f"{device}: no JSON object of properties")
        if self._paths:
            values = wanted(device, message, self._paths, self._words)
        else:
            values = self._all(device, message)
        # A button, which says `action` only, gives nothing.
        return one_reading(device, values, message.get("last_seen"), self._zone, heard.arrived, self._index)

    def _all(self, device: str, message: dict[str, Any]) -> dict[str, float]:
        if len(message) > MOST:
            raise DataError("too_large", f"{device}: {len(message)} properties, at most {MOST}")
        values = {
            name: if_number(value, self._words) for name, value in message.items() if name != "last_seen"
        }
        return {name: value for name, value in values.items() if value == value}


def _speaks_of_readings(heard: Heard) -> bool:
    *names, last = heard.device.split("/")
    if (names or [last])[0] == "bridge" or (names and last in NOT_READINGS):
        return False
    if len(names) > 1 and names[-1] in ("set", "get"):  # …/set/brightness
        return False
    # of a button: the action as text, for Home Assistant
    return not (names and last == "action" and not heard.payload.lstrip().startswith(b"{"))


def encode(values: Mapping[str, float], time: int) -> bytes:
    """One message; decoding gives the same float32, and the time to the millisecond."""
    properties = {name: float(str(np.float32(v))) for name, v in values.items() if np.isfinite(v)}
    return msgspec.json.encode(properties | {"last_seen": time // 10**6})

"""Tasmota: what its sensors measure, as JSON by sensor, every TelePeriod.

See tasmota.github.io/docs, "MQTT" and the page of each sensor. `Time` is local and without a zone unless the
device is set otherwise, so that `zone` should be the device's; left at its default, the time is read as UTC.
Temperatures are as the device says them: in °F where its TempUnit is F (SetOption8).
"""

from typing import Any

from iot_stream.errors import DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.json_paths import parse_json, time_zone
from iot_stream.formats.source import Source
from iot_stream.formats.trees import inner_path, numbers, one_reading, wanted
from iot_stream.readings import Block


@format_named("tasmota", "tele/{device}/SENSOR")
class TasmotaDecoder:
    """Sensors of a device; `channels`: channel → DS18B20.Temperature or $.DS18B20.Temperature; by default all
    numbers, under such names. With the topic tele/{device}/+, STATE too can be read, if a channel asks."""

    def __init__(self, source: Source, index: int) -> None:
        self._index, self._device = index, source.device
        self._words, self._zone = source.values, source.zone
        self._paths = {name: inner_path(text) for name, text in source.channels.items()}
        time_zone(source.zone)

    def decode(self, heard: Heard) -> list[Block]:
        if heard.payload in (b"Online", b"Offline", b""):  # LWT
            return []
        device = self._device or heard.device
        message = parse_json(heard.payload, f"message of {device}")
        if not isinstance(message, dict):
            raise DataError("wrong_type", f"{device}: no JSON object of sensors")
        if self._paths:
            values = wanted(device, message, self._paths, self._words)
        else:
            values = _measured(device, message)
        # STATE, INFO1 and their like give nothing.
        return one_reading(device, values, message.get("Time"), self._zone, heard.arrived, self._index)


def _measured(device: str, message: dict[str, Any]) -> dict[str, float]:
    if "Uptime" in message or any(name.startswith("Info") for name in message):  # STATE, INFO1 to INFO3
        return {}
    return numbers(device, {name: told for name, told in message.items() if name not in ("Time", "Epoch")})

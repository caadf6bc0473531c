"""Shelly, of every generation.

Gen1 (shelly-api-docs.shelly.cloud/gen1, "MQTT") has a topic for each value, as text:
shellies/<device>/sensor/temperature. Gen2 and later (…/gen2, "Notifications" and "MQTT") notify of components
as JSON on <device>/events/rpc, where `rpc_ntf` is set, and say a component's whole status on
<device>/status/switch:0, where `status_ntf` is. Topics for the latter two: {device}/events/rpc and
{device}/status/{channel...}; or {device}/{channel...} for both. One of both is enough.
"""

from typing import Any

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.channel_topics import text_of
from iot_stream.formats.json_paths import Path, parse_json
from iot_stream.formats.source import Source
from iot_stream.formats.trees import if_number, numbers, one_reading
from iot_stream.formats.values import number
from iot_stream.readings import Block

NOT_READINGS = frozenset(("online", "announce", "info", "command", "settings", "rpc", "log"))  # last levels
NOT_MEASURED = (".id", ".minute_ts")
NOTIFICATIONS = ("NotifyStatus", "NotifyFullStatus")


@format_named("shelly", "shellies/{device}/{channel...}", names_device=True)
class ShellyDecoder:
    """Values of a device; `channels`: channel → sensor/temperature or relay/0/power (Gen1), switch:0.apower
    or switch:0.temperature.tC (Gen2 and later); by default all numbers, under such names."""

    def __init__(self, source: Source, index: int) -> None:
        self._index, self._device = index, source.device
        self._words = source.values
        self._wanted: dict[str, tuple[str, Path]] = {}
        for name, text in source.channels.items():
            component, _, inner = text.partition(".")
            if not component or text.startswith("$"):
                raise ConfigError(f"channels: {name}: {text!r}: write sensor/temperature or switch:0.apower")
            self._wanted[name] = component, Path(f"$.{inner}" if inner or "." in text else "$")

    def decode(self, heard: Heard) -> list[Block]:
        place = heard.places.get("channel", "").removeprefix("status/")
        own = bool(place) and not place.endswith("events/rpc")  # of one component
        asked = any(component == place for component, _ in self._wanted.values())
        if own and not asked and (self._wanted or place.rpartition("/")[2] in NOT_READINGS):
            return []
        device, moment = self._device or heard.device, None
        if own:
            status: dict[str, Any] = {place: _status(heard.payload, f"{place} of {device}")}
        else:
            message = parse_json(heard.payload, f"notification of {device}")
            if not isinstance(message, dict):
                raise DataError("wrong_type", f"{device}: a notification is no JSON object")
            told = message.get("params")
            if message.get("method") not in NOTIFICATIONS or not isinstance(told, dict):
                return []
            status = told
            device = device or message.get("src", "")
            moment = told.get("ts")  # null until the clock is set
        if not isinstance(device, str) or not device:
            raise DataError("device_name", "neither the topic nor the message names a device")
        values = self._values(device, status) if self._wanted else self._all(device, status)
        return one_reading(device, values, moment, "UTC", heard.arrived, self._index)

    def _values(self, device: str, status: dict[str, Any]) -> dict[str, float]:
        values = {}
        for name, (component, path) in self._wanted.items():
            try:
                values[name] = number(path.find(status.get(component)), self._words)
            except DataError as error:
                raise DataError(error.reason, f"{device}: {component}: {error.detail}") from error
        return values

    def _all(self, device: str, status: dict[str, Any]) -> dict[str, float]:
        """A Gen1 value, or the numbers of numbered components without those that measure nothing."""
        if len(status) == 1 and isinstance(told := next(iter(status.values())), str):
            return {name: if_number(told, self._words) for name in status}
        values = numbers(device, {name: told for name, told in status.items() if _numbered(name)})
        return {name: value for name, value in values.items() if not name.endswith(NOT_MEASURED)}


def _numbered(component: str) -> bool:
    """switch:0 and light/0/status, but not wifi."""
    return ":" in component or "/" in component


def _status(payload: bytes, what: str) -> Any:
    """Of a component as JSON (Gen2, and Gen1 in places), or a value as text (Gen1)."""
    if payload.lstrip().startswith(b"{"):
        return parse_json(payload, what)
    return text_of(payload, what)

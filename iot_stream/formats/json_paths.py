"""Any JSON, by paths to its fields: one reading a message, or a list of readings.

A path is `$.a.b`, `$["a b"]`, `$.a[0]`; with `readings: $.list`, the other paths start at each item.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import format_named
from iot_stream.formats.source import Source
from iot_stream.readings import Block

_EPOCH = re.compile(r"\d{9,19}(\.\d+)?")  # as text
_SCALES = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (9.2e18, 1))  # numbers below are s, ms, µs, ns
_STEP = re.compile(r"\.([^.\[\]]+)|\[\"([^\"]+)\"\]|\[(\d+)\]")


class Path:
    """A compiled path; `find` gives the value there, or None if the path leads nowhere."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.steps: list[str | int] = []
        position = 1
        while text.startswith("$") and position < len(text):
            match = _STEP.match(text, position)
            if not match:
                break
            self.steps.append(int(match[3]) if match[3] else match[1] or match[2])
            position = match.end()
        if not text.startswith("$") or position != len(text):
            raise ConfigError(f'not a path: {text!r}; write $.field, $.outer.inner, $.list[0] or $["a name"]')

    def find(self, value: Any) -> Any:
        for step in self.steps:
            if isinstance(step, int):
                value = value[step] if isinstance(value, list) and step < len(value) else None
            else:
                value = value.get(step) if isinstance(value, dict) else None
            if value is None:
                return None
        return value


def parse_time(value: object, zone: str) -> int:
    """Nanoseconds from ISO 8601 text, or a number of s, ms, µs or ns since 1970, told by its size.

    The number may come as text, as it does from a CSV file (eight digits and fewer are a date).
    A naive time is read in `zone`. Raises DataError("absurd_time").
    """
    try:
        if isinstance(value, str) and _EPOCH.fullmatch(value):
            value = float(value) if "." in value else int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            scale = next(scale for below, scale in _SCALES if abs(value) < below)
            whole = int(value)  # apart, so that no digit is lost that the number has
            return _in_range(whole * scale + round((value - whole) * scale))
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]  # a TypeError is caught below
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=time_zone(zone))
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return _in_range((since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000)
    except (ValueError, TypeError, OverflowError, StopIteration) as error:
        raise DataError("absurd_time", f"not a time: {shown(value)}") from error


def time_zone(name: str) -> tzinfo:
    """The zone of that name; UTC needs no database. Raises ConfigError."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # half a megabyte that a device seldom needs

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"no time zone {name!r}; write one like Europe/Berlin") from error


def shown(value: object) -> str:
    """A value in an error message: never long, never deep."""
    if isinstance(value, str | float | bool | None):
        return repr(value)[:60]
    return str(value) if isinstance(value, int) and abs(value) < 2**64 else f"a {type(value).__name__}"


def _in_range(time: int) -> int:
    if not 0 <= time < 2**63:
        raise ValueError
    return time


def parse_json(payload: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise DataError("malformed", f"{what}: {error}") from error


class JsonDecoder:
    def __init__(self, source: Source, index: int) -> None:
        if not source.channels:
            raise ConfigError(
                "channels: format json needs a path for each channel, {temperature: $.temperature}"
            )
        self._index = index
        self._names = tuple(source.channels)
        self._paths = [Path(path) for path in source.channels.values()]
        self._time = Path(source.time) if source.time else None
        self._readings = Path(source.readings) if source.readings else None
        self._boot = Path(source.boot) if source.boot else None
        self._seq = Path(source.seq) if source.seq else None
        self._zone = source.zone
        time_zone(source.zone)

    def decode(self, device: str, payload: bytes, arrived: int) -> list[Block]:
        message = parse_json(payload, f"message of {device}")
        items = self._readings.find(message) if self._readings else [message]
        if not isinstance(items, list):
            place = self._readings.text if self._readings else "$"
            raise DataError("wrong_type", f"{device}: no list of readings at {place}")
        rows = [[self._number(device, path, item) for path in self._paths] for item in items]
        if not any(value == value for row in rows for value in row):
            raise DataError("unknown_channel", f"{device}: none of {', '.join(self._names)} in the message")
        times = [self._moment(item, arrived) for item in items]
        boot, seq = self._number_of(message, items)
        return [
            Block(
                device,
                self._names,
                np.array(times, np.int64),
                np.array(rows, np.float32).reshape(len(rows), len(self._names)),
                boot,
                seq,
                self._index,
                self._time is None,
            )
        ]

    def _moment(self, item: Any, arrived: int) -> int:
        if self._time is None:
            return arrived
        return parse_time(self._time.find(item), self._zone)

    def _number(self, device: str, path: Path, item: Any) -> float:
        value = path.find(item)
        if value is None:
            return np.nan
        if isinstance(value, int | float):
            return float(value) if abs(value) < 3.4e38 else np.nan
        raise DataError("wrong_type", f"{device}: {path.text} is {shown(value)}, not a number")

    def _number_of(self, message: Any, items: list[Any]) -> tuple[str, int]:
        """Boot and sequence number, from the message or its first reading; neither counts alone."""
        if self._seq is None or self._boot is None:
            return "", -1
        for place in (message, items[0]):
            boot, seq = self._boot.find(place), self._seq.find(place)
            if isinstance(boot, str | int) and boot != "" and type(seq) is int and 0 <= seq < 2**62:
                return str(boot)[:64], seq
        return "", -1


@format_named("json")
def json(source: Source, index: int) -> JsonDecoder:
    return JsonDecoder(source, index)

"""Any JSON, by paths to its fields: one reading a message, a list of readings, or a list for each channel.

A path is `$.a.b`, `$["a b"]`, `$.a[0]`; with `readings: $.list`, the other paths start at each item. With
`device: $.id` each reading says whose it is, so that one message may speak of many devices.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.source import Source
from iot_stream.formats.values import number, shown
from iot_stream.readings import Block, spoken_name

_EPOCH = re.compile(r"\d{9,19}(\.\d+)?")  # as text
_SCALES = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (9.2e18, 1))  # numbers below are s, ms, µs, ns
MOST_ROWS = 100_000  # in a message: more would take seconds, and hold up all others
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


def _in_range(time: int) -> int:
    if not 0 <= time < 2**63:
        raise ValueError
    return time


def parse_json(payload: bytes, what: str) -> Any:
    """Raises DataError("malformed")."""
    try:
        return msgspec.json.decode(payload)
    except (ValueError, RecursionError) as error:
        raise DataError("malformed", f"{what}: {fault(payload, error)}") from error


def fault(payload: bytes, error: Exception) -> str:
    """What is wrong with a payload that is no JSON."""
    if re.search(rb"[:,\[]\s*-?(NaN|nan|Infinity|inf)\b", payload):
        return f"{error}; JSON has neither NaN nor Infinity: write null"
    return str(error)


class Fields:
    """Readings by paths in a message that is parsed already: what JSON and CBOR share."""

    def __init__(self, source: Source, index: int) -> None:
        if not source.channels:
            raise ConfigError(f"channels: format {source.format} needs the paths of channels, {{co2: $.co2}}")
        self._index = index
        self._names = tuple(source.channels)
        self._paths = [Path(path) for path in source.channels.values()]
        self._where = ", ".join(source.channels.values())
        self._device = Path(source.device) if source.device.startswith("$") else None
        self._constant = "" if self._device else source.device
        self._meant = frozenset(map(spoken_name, source.devices))  # empty: all
        self._time = Path(source.time) if source.time else None
        self._step = int(source.step or 0)
        self._readings = Path(source.readings) if source.readings else None
        self._boot = Path(source.boot) if source.boot else None
        self._seq = Path(source.seq) if source.seq else None
        self._words, self._zone = source.values, source.zone
        time_zone(source.zone)

    def blocks(self, heard: Heard, message: Any) -> list[Block]:
        """A block for each device that the message speaks of, in the order in which it does."""
        items = self._readings.find(message) if self._readings else [message]
        if not isinstance(items, list):
            place = self._readings.text if self._readings else "$"
            raise DataError("wrong_type", f"{heard.device}: no list of readings at {place}")
        if len(items) > MOST_ROWS:
            raise DataError("too_large", f"{heard.device}: more than {MOST_ROWS:,} readings in one message")
        whose: dict[str, list[Any]] = {}
        for item in items:
            whose.setdefault(self._name(heard, message, item), []).append(item)
        if not whose:
            raise DataError("empty", f"no readings from {heard.device}")
        return [
            self._block(device, heard, message, own)
            for device, own in whose.items()
            if not self._meant or spoken_name(device) in self._meant
        ]

    def _name(self, heard: Heard, message: Any, item: Any) -> str:
        if self._device is None:
            return self._constant or heard.device
        name = self._device.find(item)
        name = self._device.find(message) if name is None else name
        if not isinstance(name, str | int) or name == "":
            raise DataError("device_name", f"{shown(name)} at {self._device.text} names no device")
        return str(name)

    def _block(self, device: str, heard: Heard, message: Any, items: list[Any]) -> Block:
        rows: list[list[float]] = []
        times: list[int] = []
        for item in items:
            found = self._rows(device, item)
            rows += found
            if len(rows) > MOST_ROWS:
                raise DataError("too_large", f"{device}: more than {MOST_ROWS:,} readings in one message")
            if self._time:
                times += self._moments(device, self._time, item, len(found))
        if not any(value == value for row in rows for value in row):
            raise DataError("unknown_channel", f"{device}: no value at {self._where}; is the path right?")
        if self._time is None:  # the newest reading is of now
            times = [heard.arrived - self._step * before for before in reversed(range(len(rows)))]
        if min(times) < 0:
            raise DataError("absurd_time", f"{device}: {len(times)} readings reach back before 1970")
        boot, seq = self._number_of(message, items)
        values = np.array(rows, np.float32).reshape(len(rows), len(self._names))
        stamped = self._time is None
        return Block(device, self._names, np.array(times, np.int64), values, boot, seq, self._index, stamped)

    def _rows(self, device: str, item: Any) -> list[list[float]]:
        """One row, or as many as the channels' lists are long."""
        found = [path.find(item) for path in self._paths]
        lengths = {len(each) for each in found if isinstance(each, list)}
        if not lengths:
            return [[self._number(device, *pair) for pair in zip(self._paths, found, strict=True)]]
        if len(lengths) > 1 or any(each is not None and not isinstance(each, list) for each in found):
            raise DataError("malformed", f"{device}: {', '.join(self._names)} are not lists of one length")
        count = lengths.pop()
        if count > MOST_ROWS:
            raise DataError("too_large", f"{device}: more than {MOST_ROWS:,} readings in one message")
        columns = [each if isinstance(each, list) else [None] * count for each in found]
        pairs = list(zip(self._paths, columns, strict=True))
        return [[self._number(device, path, column[row]) for path, column in pairs] for row in range(count)]

    def _moments(self, device: str, path: Path, item: Any, count: int) -> list[int]:
        """Times of an item's rows by what its time says."""
        told = path.find(item)
        if told is None:
            raise DataError("absurd_time", f"{device}: no value at {path.text}, which is to be its time")
        if isinstance(told, list):
            if len(told) != count:
                raise DataError("malformed", f"{device}: {len(told)} times, {count} values")
            return [parse_time(each, self._zone) for each in told]
        first = parse_time(told, self._zone)
        if count > 1 and not self._step:
            raise DataError("absurd_time", f"{device}: one time for {count} readings; say `step`")
        if first + self._step * count >= 2**63:
            raise DataError("absurd_time", f"{device}: times beyond 2262")
        return [first + self._step * row for row in range(count)]

    def _number(self, device: str, path: Path, value: object) -> float:
        try:
            return number(value, self._words)
        except DataError as error:
            raise DataError(error.reason, f"{device}: {path.text}: {error.detail}") from error

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
class JsonDecoder:
    """Paths to the fields of a JSON message."""

    def __init__(self, source: Source, index: int) -> None:
        self._fields = Fields(source, index)

    def decode(self, heard: Heard) -> list[Block]:
        return self._fields.blocks(heard, parse_json(heard.payload, f"message of {heard.device}"))

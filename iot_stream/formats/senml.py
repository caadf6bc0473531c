"""Sensor Measurement Lists, SenML (RFC 8428): `senml` in JSON (section 5), `senml_cbor` in CBOR (section 6).

A record's name (base name and name, section 4.5.1) says both whose it is and what is measured. It is parted
at its last "/" or ":", as urn:dev:ow:10e2073a01080063:temp into the device urn:dev:ow:10e2073a01080063 and
the channel temp. A name that cannot be parted is the device's, and the channel is then called by the unit, or
"value" where there is none: names without "/" and ":", names that end in one, and those that name a device as
a whole: urn:dev:kind:id (RFC 9039), urn:uuid:…, IPv6 and MAC addresses.

Where `device` or the topic says whose the readings are, the channel is the record's own name, `n`, as it is;
a record without one is named by the rule above.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.errors import DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.cbor import need_cbor2, parse_cbor
from iot_stream.formats.source import Source
from iot_stream.formats.values import number, shown
from iot_stream.readings import Block, Times, Values

VERSION = 10
ABSOLUTE = 2**28 * SECOND  # section 4.5.3: earlier times are relative to now
LATEST = 2**63  # ns
LONGEST = 256  # letters of a name or a unit
MOST = 2**22  # values of one device in a message, those missing included
LABELS = {
    "-1": "bver", "-2": "bn", "-3": "bt", "-4": "bu", "-5": "bv", "-6": "bs", "0": "n", "1": "u", "2": "v",
    "3": "vs", "4": "vb", "5": "s", "6": "t", "7": "ut", "8": "vd",
}  # fmt: skip
_CBOR_LABELS = {label: int(digits) for digits, label in LABELS.items()}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")
_WHOLE = re.compile(
    r"urn:dev:[^:/]+:[^:/]+|urn:uuid:[^:/]+|([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}"
    r"|([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|[0-9A-Fa-f:]*::[0-9A-Fa-f:]*"
)
_PARTED = re.compile(r"(.+)[:/]([^:/]*)")
_JSON = msgspec.json.Decoder(float_hook=Decimal)  # as text has it: a double has no nanoseconds


class Measured(NamedTuple):
    """A record with the base values that hold for it. `time` in ns, from now on if below ABSOLUTE."""

    base: str
    name: str
    unit: str
    time: int
    value: Any


@format_named("senml", names_device=True)
class SenmlDecoder:
    """A pack in JSON; `channels`: channel → its name, alone or in full; by default all that are numbers. Sums
    stand for values where a record has none; text counts as far as `values` tells or it is a known state."""

    def __init__(self, source: Source, index: int) -> None:
        self._index, self._device = index, source.device
        self._words = source.values
        self._wanted: dict[str, list[str]] = {}
        for channel, place in source.channels.items():
            self._wanted.setdefault(place or channel, []).append(channel)

    def decode(self, heard: Heard) -> list[Block]:
        what = f"pack of {self._device or heard.device}"
        rows: dict[tuple[str, bool], _Rows] = {}
        pack = self._records(heard.payload, what)
        for measured in _resolved(pack, what):
            device, channel = self._place(measured, heard)
            value = self._value(measured, channel)
            if value is None:
                continue
            relative = measured.time < ABSOLUTE
            time = measured.time + (heard.arrived if relative else 0)
            if not 0 <= time < LATEST:
                raise DataError("absurd_time", f"{what}: a time before 1970 or beyond 2262")
            own = rows.setdefault((device, relative), _Rows(device))
            for name in self._names(measured, channel):
                own.add(time, name, measured.unit, value)
        if not rows:
            wanted = ", ".join(self._wanted) or "numbers"
            raise DataError("unknown_channel", f"{what}: none of {wanted} among {len(pack)} records")
        return [own.block(self._index, relative) for (_, relative), own in rows.items()]

    def units(self, payload: bytes) -> dict[str, str]:
        """Channel → unit, where a pack tells it; raises DataError."""
        pack = _resolved(self._records(payload, "pack"), "pack")
        told = {parted(each.base + each.name, each.unit)[1]: each.unit for each in pack}
        return told | {each.name: each.unit for each in pack if each.name}

    def _records(self, payload: bytes, what: str) -> list[dict[str, Any]]:
        try:
            pack = _JSON.decode(payload)
        except (ValueError, RecursionError, ArithmeticError) as error:
            raise DataError("malformed", f"{what}: {error}") from error
        return _pack(pack, what)

    def _place(self, measured: Measured, heard: Heard) -> tuple[str, str]:
        device, channel = parted(measured.base + measured.name, measured.unit)
        told = self._device or heard.device
        return (told, measured.name or channel) if told else (device, channel)

    def _names(self, measured: Measured, channel: str) -> list[str]:
        """The channels that take the value."""
        if not self._wanted:
            return [channel]
        return self._wanted.get(channel) or self._wanted.get(measured.base + measured.name) or []

    def _value(self, measured: Measured, channel: str) -> float | None:
        if not self._names(measured, channel):
            return None
        try:
            return number(measured.value, self._words)
        except DataError as error:
            if not self._wanted:
                return None  # text or bytes that nobody asked for
            raise DataError(error.reason, f"{channel}: {error.detail}") from error


@format_named("senml_cbor", names_device=True)
class SenmlCborDecoder(SenmlDecoder):
    """A pack in CBOR, of at most 128 KiB; else as `senml`."""

    def __init__(self, source: Source, index: int) -> None:
        need_cbor2(source.format)
        super().__init__(source, index)

    def _records(self, payload: bytes, what: str) -> list[dict[str, Any]]:
        pack = _pack(parse_cbor(payload, what), what)
        return [{LABELS.get(label, label): value for label, value in record.items()} for record in pack]


def parted(name: str, unit: str) -> tuple[str, str]:
    """Device and channel that a name stands for."""
    match = None if _WHOLE.fullmatch(name) else _PARTED.fullmatch(name)
    return (match[1], match[2] or unit or "value") if match else (name, unit or "value")


def _pack(pack: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(pack, list) or not all(isinstance(record, dict) for record in pack):
        raise DataError("wrong_type", f"{what}: no list of records")
    if not pack:
        raise DataError("empty", f"{what}: no records")
    return pack


def _resolved(pack: list[dict[str, Any]], what: str) -> list[Measured]:
    """Section 4.6, but for times, which stay relative where they are. Raises DataError."""
    base: dict[str, Any] = {}
    resolved = []
    for i, record in enumerate(pack):
        try:
            _check(record)
            base |= {label: read(record, label) for label, read in _BASE.items() if label in record}
            if any(label in record for label in _REGULAR):
                resolved.append(_measured(record, base))
        except DataError as error:
            raise DataError(error.reason, f"{what}: record {i + 1}: {error.detail}") from error
    return resolved


_VALUES = ("v", "vs", "vb", "vd")
_REGULAR = ("n", "u", "t", "ut", "s", *_VALUES)


def _check(record: dict[str, Any]) -> None:
    """That there is nothing in it which must be understood and is not (section 4.4)."""
    version = record.get("bver", VERSION)
    if not _is_number(version):
        raise DataError("wrong_type", f"bver: {shown(version)} is no version")
    if version > VERSION:
        raise DataError("unsupported", f"version {shown(version)}; {VERSION} is the latest known")
    for label in record:
        if isinstance(label, str) and label.endswith("_"):
            raise DataError("unsupported", f"a field {shown(label)} that must be understood")


def _measured(record: dict[str, Any], base: Mapping[str, Any]) -> Measured:
    prefix, name = base.get("bn", ""), _text(record, "n")
    if not _NAME.fullmatch(prefix + name):
        raise DataError("device_name", f"{shown(prefix + name)}: only A-Z a-z 0-9 - : . / _, first no mark")
    unit = _text(record, "u") or base.get("bu", "")
    return Measured(prefix, name, unit, base.get("bt", 0) + _time(record, "t"), _value(record, base))


def _value(record: Mapping[str, Any], base: Mapping[str, Any]) -> Any:
    """What the record says, as it is; numbers with their base (section 4.5.4)."""
    told = [label for label in _VALUES if label in record]
    if len(told) > 1:
        raise DataError("malformed", f"{' and '.join(told)} in one record")
    if told and told[0] != "v":
        return _of_its_type(told[0], record[told[0]])
    if told:
        return _number(record, "v") + base.get("bv", 0)
    if "s" in record:
        return _number(record, "s") + base.get("bs", 0)
    if "bv" in base:
        return base["bv"]
    if "bs" in base:
        return base["bs"]
    raise DataError("malformed", "neither a value nor a sum")


def _of_its_type(label: str, value: Any) -> Any:
    kinds: Any = {"vs": str, "vb": bool, "vd": str | bytes}[label]
    if not isinstance(value, kinds):
        raise DataError("wrong_type", f"{label}: {shown(value)}")
    return value if label != "vd" else b""  # data, though base64 may look like a number


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _number(fields: Mapping[str, Any], label: str) -> float:
    value = fields.get(label, 0)
    if not _is_number(value):
        raise DataError("wrong_type", f"{label}: {shown(value)} is no number")
    return number(float(value) if isinstance(value, Decimal) else value)


def _text(fields: Mapping[str, Any], label: str) -> str:
    value = fields.get(label, "")
    if not isinstance(value, str):
        raise DataError("wrong_type", f"{label}: {shown(value)} is no text")
    if len(value) > LONGEST:
        raise DataError("too_large", f"{label}: {len(value)} letters, at most {LONGEST}")
    return value


def _time(fields: Mapping[str, Any], label: str) -> int:
    """Nanoseconds: whole numbers, so that base and time add up to what their digits say."""
    value = fields.get(label, 0)
    if not _is_number(value):
        raise DataError("wrong_type", f"{label}: {shown(value)} is no number")
    try:
        if isinstance(value, float):
            value = Decimal(repr(value))
        if abs(value) < LATEST // SECOND:
            nanoseconds: int = round(value * SECOND)
            return nanoseconds
    except ArithmeticError as error:  # NaN, or a million digits
        raise DataError("absurd_time", f"{label}: {shown(value)} is no time") from error
    raise DataError("absurd_time", f"{label}: a time beyond 2262")


_BASE = {"bn": _text, "bt": _time, "bu": _text, "bv": _number, "bs": _number}  # read once, where they stand


class _Rows:
    """Values of one device: a row for each time, a column for each channel."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._channels: dict[str, int] = {}
        self._times: dict[int, int] = {}
        self._cells: dict[tuple[int, int], tuple[str, float]] = {}

    def add(self, time: int, channel: str, unit: str, value: float) -> None:
        row = self._times.setdefault(time, len(self._times))
        column = self._channels.setdefault(channel, len(self._channels))
        before, _ = self._cells.get((row, column), (unit, 0.0))
        if before != unit:
            raise DataError(
                "malformed", f"{self._device}: {channel} in {before or '1'} and in {unit or '1'} at one time"
            )
        self._cells[row, column] = unit, value

    def block(self, index: int, stamped: bool) -> Block:
        shape = len(self._times), len(self._channels)
        if shape[0] * shape[1] > MOST:
            raise DataError("too_large", f"{self._device}: {shape[1]} channels at {shape[0]} times")
        values = np.full(shape, np.nan, np.float32)
        for cell, (_, value) in self._cells.items():
            values[cell] = value
        times = np.array(list(self._times), np.int64)
        return Block(self._device, tuple(self._channels), times, values, "", -1, index, stamped)


def encode(device: str, channels: tuple[str, ...], times: Times, values: Values) -> bytes:
    """A pack in JSON; decoding gives the same readings, without those that have no value.

    `device` and `channels` are of the letters that SenML allows; times are from July 1978 on.
    """
    return msgspec.json.encode(_written(device, channels, times, values))


def encode_cbor(device: str, channels: tuple[str, ...], times: Times, values: Values) -> bytes:
    """As `encode`, in CBOR."""
    import cbor2

    pack = _written(device, channels, times, values)
    return cbor2.dumps([{_CBOR_LABELS[label]: value for label, value in record.items()} for record in pack])


def _written(
    device: str, channels: tuple[str, ...], times: Times, values: Values
) -> list[dict[str, str | float]]:
    """Base times are whole seconds, so that times are small, and exact to the nanosecond."""
    pack: list[dict[str, str | float]] = [{"bn": device + (":" if device.startswith("urn:") else "/")}]
    second = 0
    for time, row in zip(times.tolist(), np.asarray(values, np.float32), strict=True):
        for channel, value in zip(channels, row, strict=True):
            if not np.isfinite(value):
                continue
            record: dict[str, str | float] = {"n": channel, "v": float(str(value))}
            if time // SECOND != second:
                second = time // SECOND
                record["bt"] = second
            if time % SECOND:
                record["t"] = time % SECOND / SECOND
            pack.append(record)
    return pack

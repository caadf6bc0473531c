"""Payloads of Sparkplug B: metrics in Google's protocol buffers, and the STATE of a host in JSON.

See the Eclipse Sparkplug specification 3.0, chapter 6. Only the fields that are used here are described;
others are skipped.
"""

from collections.abc import Iterable
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

import msgspec

from iot_stream.errors import ConfigError, DataError

MOST = 100_000  # metrics in a message, and in all births together
LONGEST = 1024  # bytes of a name
BIRTH_NUMBER, REBIRTH = "bdSeq", "Node Control/Rebirth"
DOUBTFUL = (0, 500)  # qualities: bad, stale
UNITS = frozenset(("engunit", "unit", "units", "engineering unit", "engineering units"))  # properties


class Datatype(IntEnum):
    """Of those that are numbers, or text that may be one (chapter 6, "Data Types")."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    TEXT = 14


Value = int | float | str | None
SIGNED: dict[int, int] = {Datatype.INT8: 8, Datatype.INT16: 16, Datatype.INT32: 32, Datatype.INT64: 64}
FIELDS: dict[int, str] = {
    Datatype.INT64: "long_value",
    Datatype.UINT64: "long_value",
    Datatype.FLOAT: "float_value",
    Datatype.DOUBLE: "double_value",
    Datatype.BOOLEAN: "boolean_value",
    Datatype.STRING: "string_value",
    Datatype.TEXT: "string_value",
}  # and int_value for all others


class Metric(NamedTuple):
    """`value` None: null. `time` in ms since 1970, 0: the message's. Name and datatype may be left out where
    a birth told them of the alias."""

    name: str = ""
    value: Value = None
    datatype: int = 0
    alias: int | None = None
    time: int = 0
    historical: bool = False


class Message(NamedTuple):
    metrics: list[Metric]
    time: int = 0
    seq: int | None = None

    @property
    def birth_number(self) -> int | None:
        """bdSeq, which ties a death to a birth."""
        found = [metric.value for metric in self.metrics if metric.name == BIRTH_NUMBER]
        return int(found[0]) if found and isinstance(found[0], int) else None


# --- decoding


def parse(payload: bytes, what: str) -> Message:
    """Raises DataError. Signed values are as they came, see `signed`."""
    classes = schema()
    try:
        told = classes["Payload"].FromString(payload)
        if len(told.metrics) > MOST:
            raise DataError("too_large", f"{what}: {len(told.metrics)} metrics, at most {MOST}")
        metrics = [_metric(each, what) for each in told.metrics]
    except classes["DecodeError"] as error:
        raise DataError("malformed", f"{what}: {error}") from error
    if told.seq > 255:
        raise DataError("malformed", f"{what}: number {told.seq}, of 0 to 255")
    return Message(metrics, told.timestamp, told.seq if told.HasField("seq") else None)


def _metric(payload: bytes, what: str) -> Metric:
    told = schema()["Metric"].FromString(payload)
    kind = told.WhichOneof("value")
    value = None if kind is None or told.is_null or _doubtful(told) else getattr(told, kind)
    if not isinstance(told.name, str) or isinstance(value, bytes):  # protobuf leaves text as bytes then
        raise DataError("malformed", f"{what}: text that is no UTF-8")
    if len(told.name) > LONGEST:
        raise DataError("too_large", f"{what}: a name of {len(told.name)} characters, at most {LONGEST}")
    alias = told.alias if told.HasField("alias") else None
    return Metric(told.name, value, told.datatype, alias, told.timestamp, told.is_historical)


def _doubtful(metric: Any) -> bool:
    """Whether the property Quality says that the value is bad or stale (chapter 6, "Quality Codes")."""
    if not metric.properties:
        return False
    told = schema()["PropertySet"].FromString(metric.properties)
    for key, value in zip(told.keys, told.values, strict=False):
        if key == "Quality":
            quality = schema()["PropertyValue"].FromString(value)
            return quality.HasField("int_value") and quality.int_value in DOUBTFUL
    return False


def units(payload: bytes, what: str) -> dict[str, str]:
    """Metric → unit, where the properties of a birth's metrics tell it; raises DataError."""
    classes, found = schema(), {}
    parse(payload, what)
    try:
        for each in classes["Payload"].FromString(payload).metrics:
            metric = classes["Metric"].FromString(each)
            told = classes["PropertySet"].FromString(metric.properties)
            for key, value in zip(told.keys, told.values, strict=False):
                unit = classes["PropertyValue"].FromString(value).string_value
                if str(key).lower() in UNITS and metric.name and isinstance(unit, str):
                    found[metric.name] = unit
    except classes["DecodeError"] as error:
        raise DataError("malformed", f"{what}: {error}") from error
    return found


def signed(datatype: int, value: Value) -> Value:
    """A value as its datatype has it: negative ones come in two's complement, of 32 bits or of their own."""
    bits = SIGNED.get(datatype)
    if not bits or not isinstance(value, int) or isinstance(value, bool):
        return value
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


@cache
def schema() -> dict[str, Any]:
    """The classes of the messages; raises ConfigError where protobuf is missing."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError as error:
        raise ConfigError("format sparkplug needs protobuf: pip install 'iot-stream[formats]'") from error

    proto = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    for name, fields in _SCHEMA.items():
        described = file.message_type.add(name=name)
        if name == "Metric":
            described.oneof_decl.add(name="value")
        for text in fields.split():
            key, place, kind = text.split(":")
            made = described.field.add(name=key, number=int(place), label=proto.LABEL_OPTIONAL)
            made.type = getattr(proto, "TYPE_" + kind.removesuffix("*").upper())
            if kind.endswith("*"):
                made.label = proto.LABEL_REPEATED
            if name == "Metric" and key.endswith("_value"):
                made.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"sparkplug.{name}"))
        for name in _SCHEMA
    }
    return {**classes, "DecodeError": message.DecodeError}


# Messages within messages are described as bytes, and read one by one: millions of empty ones, which a few
# megabytes can hold, are counted before each takes a hundred bytes.
_SCHEMA = {
    "Payload": "timestamp:1:uint64 metrics:2:bytes* seq:3:uint64",
    "Metric": (
        "name:1:string alias:2:uint64 timestamp:3:uint64 datatype:4:uint32 is_historical:5:bool"
        " is_null:7:bool properties:9:bytes int_value:10:uint32 long_value:11:uint64 float_value:12:float"
        " double_value:13:double boolean_value:14:bool string_value:15:string"
    ),
    "PropertySet": "keys:1:string* values:2:bytes*",
    "PropertyValue": "int_value:3:uint32 string_value:8:string",
}


# --- encoding, for simulators and tests


def nbirth(metrics: Iterable[Metric], time: int, birth_number: int = 0) -> bytes:
    """A node's birth at `time` (ms), message number 0; bdSeq and Rebirth come before `metrics`."""
    own = (Metric(BIRTH_NUMBER, birth_number, Datatype.INT64), Metric(REBIRTH, False, Datatype.BOOLEAN))
    return _encode((*own, *metrics), time, 0)


def dbirth(metrics: Iterable[Metric], time: int, seq: int) -> bytes:
    """A device's birth; aliases must differ from those of the node and its other devices."""
    return _encode(metrics, time, seq)


def ndata(metrics: Iterable[Metric], time: int, seq: int) -> bytes:
    """What changed; of metrics with an alias, name and datatype are left out, as a birth has told them."""
    return _encode((m if m.alias is None else m._replace(name="") for m in metrics), time, seq)


ddata = ndata


def ndeath(birth_number: int, time: int = 0) -> bytes:
    """The node's will."""
    return _encode([Metric(BIRTH_NUMBER, birth_number, Datatype.UINT64)], time, None)


def ddeath(time: int, seq: int) -> bytes:
    return _encode([], time, seq)


def rebirth(time: int) -> bytes:
    """The command that makes a node send all births again , for the topic of NCMD."""
    return _encode([Metric(REBIRTH, True, Datatype.BOOLEAN)], time, None)


class State(msgspec.Struct):
    """Whether a host is there, and since when (ms)."""

    online: bool
    timestamp: int


def state(host: str, online: bool, at_ms: int, namespace: str = "spBv1.0") -> tuple[str, bytes]:
    """Topic and payload by which a primary host says whether it is there (chapter 6, "STATE").

    To be sent with QoS 1 and retained: offline as the will, online after connecting, both of the same time.
    """
    if not host or {"/", "+", "#"} & set(host):
        raise ConfigError(f"host: {host!r} must not be empty, and have no '/', '+', '#'")
    return f"{namespace}/STATE/{host}", msgspec.json.encode(State(online, at_ms))


def _encode(metrics: Iterable[Metric], time: int, seq: int | None) -> bytes:
    message = schema()["Payload"](seq=seq)
    if time:
        message.timestamp = time
    for metric in metrics:
        made = schema()["Metric"](alias=metric.alias)
        made.timestamp = metric.time or time
        if metric.name:
            made.name, made.datatype = metric.name, metric.datatype
        if metric.historical:
            made.is_historical = True
        if metric.value is None:
            made.is_null = True
        else:
            kind = FIELDS.get(Datatype(metric.datatype), "int_value")
            value = metric.value
            if metric.datatype in SIGNED:
                value = int(value) % (2**64 if kind == "long_value" else 2**32)
            setattr(made, kind, value)
        message.metrics.append(made.SerializeToString())
    return bytes(message.SerializeToString())

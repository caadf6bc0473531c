"""Sparkplug B: metrics of edge nodes and their devices, announced by a birth and then told by alias.

See the Eclipse Sparkplug specification 3.0: chapters 4 (topics), 5 (operational behavior: births, deaths,
order of messages, rebirth) and 6 (payloads, in Google's protocol buffers). Only the fields that are used here
are described; others are skipped.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.source import Source
from iot_stream.formats.values import number
from iot_stream.readings import Block

TOPIC = "spBv1.0/{group}/{type}/{node...}"
MOST = 100_000  # metrics in a message, and in all births together
MOST_OF_NODE = 10_000  # metrics in the births of a node and its devices
LONGEST = 1024  # bytes of a name
NO_ALIAS = -1
PAUSE = 5 * SECOND  # between asking a node twice: whose numbers are never right must not be born all the time
MILLISECOND = 10**6
BIRTH_NUMBER, REBIRTH = "bdSeq", "Node Control/Rebirth"
NOT_READINGS = ("Node Control/", "Device Control/")
DOUBTFUL = (0, 500)  # qualities: bad, stale
UNITS = frozenset(
    ("engunit", "unit", "units", "engineering unit", "engineering units")
)  # names of properties
TYPES = frozenset(("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"))


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
TEXTS: frozenset[int] = frozenset((Datatype.STRING, Datatype.TEXT))
NUMBERS: frozenset[int] = frozenset(Datatype) - TEXTS
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


# --- payloads


def parse(payload: bytes, what: str) -> Message:
    """Raises DataError. Signed values are as they came, see `signed`."""
    schema = _schema()
    try:
        told = schema["Payload"].FromString(payload)
        if len(told.metrics) > MOST:
            raise DataError("too_large", f"{what}: {len(told.metrics)} metrics, at most {MOST}")
        metrics = [_metric(each, what) for each in told.metrics]
    except schema["DecodeError"] as error:
        raise DataError("malformed", f"{what}: {error}") from error
    if told.seq > 255:
        raise DataError("malformed", f"{what}: number {told.seq}, of 0 to 255")
    return Message(metrics, told.timestamp, told.seq if told.HasField("seq") else None)


def _metric(payload: bytes, what: str) -> Metric:
    told = _schema()["Metric"].FromString(payload)
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
    told = _schema()["PropertySet"].FromString(metric.properties)
    for key, value in zip(told.keys, told.values, strict=False):
        if key == "Quality":
            quality = _schema()["PropertyValue"].FromString(value)
            return quality.HasField("int_value") and quality.int_value in DOUBTFUL
    return False


def units(payload: bytes, what: str) -> dict[str, str]:
    """Metric → unit, where the properties of a birth's metrics tell it; raises DataError."""
    schema, found = _schema(), {}
    parse(payload, what)
    try:
        for each in schema["Payload"].FromString(payload).metrics:
            metric = schema["Metric"].FromString(each)
            told = schema["PropertySet"].FromString(metric.properties)
            for key, value in zip(told.keys, told.values, strict=False):
                unit = schema["PropertyValue"].FromString(value).string_value
                if str(key).lower() in UNITS and metric.name and isinstance(unit, str):
                    found[metric.name] = unit
    except schema["DecodeError"] as error:
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
def _schema() -> dict[str, Any]:
    """The classes of the messages; raises ConfigError."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError as error:
        raise ConfigError("format sparkplug needs protobuf: pip install iot-stream[formats]") from error

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


# --- decoding


class _Birth(msgspec.Struct, array_like=True):
    """What a node or a device announced: name → datatype, alias → name."""

    types: dict[str, int] = {}
    aliases: dict[int, str] = {}

    @property
    def size(self) -> int:
        return max(len(self.types), len(self.aliases))


class _Kept(msgspec.Struct, array_like=True):
    """A node in a snapshot: only what births announced, so that it seldom changes. After a restart numbers
    begin anew, and whether a rebirth was asked for is forgotten: it may not have been sent."""

    name: str
    birth_number: int | None
    births: dict[str, _Birth]


@dataclass(slots=True)
class _Node:
    """`seq` −1: none yet; `stamp` is the time of the message with it. `births`: by device, the node's own "".
    `asked`: for a rebirth, when (ns) and whether since the last one."""

    seq: int = -1
    stamp: int = 0
    birth_number: int | None = None
    births: dict[str, _Birth] = field(default_factory=dict)
    asked: bool = False
    asked_at: int | None = None

    @property
    def size(self) -> int:
        return 1 + sum(1 + birth.size for birth in self.births.values())


@format_named("sparkplug", TOPIC, names_device=True)
class SparkplugDecoder:
    """Metrics of nodes and devices, named group/node and group/node/device; `channels`: channel → metric, as
    Inputs/A; by default all that are numbers. Nodes whose births were missed are asked for a rebirth."""

    def __init__(self, source: Source, index: int) -> None:
        namespace, *levels = (source.topic or TOPIC).split("/")
        group = levels[0] if levels else ""
        if levels[1:] != ["{type}", "{node...}"] or (group != "{group}" and set(group) & set("{}+")):
            raise ConfigError(f"topic: {source.topic!r} is not {TOPIC}, or so with a name for {{group}}")
        if source.device:
            raise ConfigError("device: format sparkplug has its devices' names from the topic")
        self._index, self._words = index, source.values
        self._namespace, self._group = namespace, "" if group == "{group}" else group
        self._channels: dict[str, list[str]] = {}
        for name, metric in source.channels.items():
            if not metric:
                raise ConfigError(f"channels: {name}: which metric? As Inputs/A")
            self._channels.setdefault(metric, []).append(name)
        self._nodes: dict[str, _Node] = {}
        self._size = 0  # of all nodes
        self._snapshot = b""  # as it was last made; empty where births or deaths have come since
        self._lost: dict[str, int] = {}
        self._asks: list[tuple[str, bytes]] = []
        _schema()

    def decode(self, heard: Heard) -> list[Block]:
        kind, group = heard.places.get("type", ""), self._group or heard.places.get("group", "")
        if kind not in TYPES or group == "STATE":  # commands, and STATE of a host with slashes
            return []
        edge, _, device = heard.places.get("node", "").partition("/")
        name, whose = f"{group}/{edge}", f"{group}/{edge}/{device}" if device else f"{group}/{edge}"
        _check_name(whose, has_device=kind.startswith("D"))
        message = parse(heard.payload, f"{kind} of {whose}")
        node = self._nodes.get(name)
        if kind == "NDEATH":
            self._die(name, node, message)
            return []
        if node and message.time and (message.seq, message.time) == (node.seq, node.stamp):
            return []  # comes a second time
        if kind == "NBIRTH":
            born = _Node(-1 if message.seq is None else message.seq, message.time, message.birth_number)
            born.asked_at = node.asked_at if node else None
            self._put(name, born)
            node = born
        else:
            node = node or self._put(name, _Node())
            if not self._follows(name, node, message):
                self._ask(name, node, heard.arrived)
        if kind.endswith("DEATH"):
            self._bury(node, device)
            return []
        if kind.endswith("BIRTH"):
            self._bear(whose, node, device, _birth(message))
        rows, unknown = self._rows(whose, message, node.births.get(device, _Birth()), heard.arrived)
        if unknown and not kind.endswith("BIRTH"):
            self._ask(name, node, heard.arrived)
            if not rows:
                raise DataError(
                    "no_birth", f"{whose}: {unknown} metrics that no birth announced; a rebirth was asked for"
                )
        return self._blocks(whose, rows)

    # --- births, deaths and numbers

    def _die(self, name: str, node: _Node | None, message: Message) -> None:
        """Forget the node, unless an older session's will comes late. When it was asked for a rebirth stays
        known: a node that dies again and again is not to be asked each time."""
        if node and len({message.birth_number, node.birth_number} - {None}) < 2:
            self._snapshot = b""
            self._size -= self._nodes.pop(name).size
            if node.asked_at is not None:
                self._put(name, _Node(asked_at=node.asked_at))

    def _put(self, name: str, node: _Node) -> _Node:
        """Under its name, in place of what it was."""
        self._snapshot = b""
        if name in self._nodes:
            self._size -= self._nodes.pop(name).size
        if self._size + node.size > MOST:
            raise DataError("too_large", f"{name}: more than {MOST} metrics of all nodes")
        self._nodes[name] = node
        self._size += node.size
        return node

    def _bear(self, whose: str, node: _Node, device: str, birth: _Birth) -> None:
        self._bury(node, device)
        metrics = sum(each.size for each in node.births.values()) + birth.size
        if metrics > MOST_OF_NODE or self._size + 1 + birth.size > MOST:
            most = f"{MOST_OF_NODE} metrics of a node, or {MOST} of all"
            raise DataError("too_large", f"birth of {whose}: more than {most}")
        node.births[device] = birth
        self._size += 1 + birth.size

    def _bury(self, node: _Node, device: str) -> None:
        dead = node.births.pop(device, None)
        self._size -= 1 + dead.size if dead else 0
        self._snapshot = b""

    def _follows(self, name: str, node: _Node, message: Message) -> bool:
        """Whether no message is missing before it (0 follows 255); counts those that are. One that others
        have overtaken is no sign of more."""
        if message.seq is None:
            return True
        before, missing = (node.seq - message.seq) % 256, (message.seq - node.seq - 1) % 256
        if node.seq >= 0 and before < 128 and 0 < message.time <= node.stamp:
            return True
        unknown, node.seq, node.stamp = node.seq < 0, message.seq, message.time
        if unknown or not missing:
            return True
        self._lost[name] = self._lost.get(name, 0) + missing
        return False

    def _ask(self, name: str, node: _Node, now: int) -> None:
        if node.asked or (node.asked_at is not None and abs(now - node.asked_at) < PAUSE):
            return
        node.asked, node.asked_at = True, now
        group, _, edge = name.partition("/")
        self._asks.append((f"{self._namespace}/{group}/NCMD/{edge}", rebirth(now // MILLISECOND)))

    # --- readings

    def _rows(
        self, whose: str, message: Message, birth: _Birth, arrived: int
    ) -> tuple[dict[tuple[int, bool], dict[str, float]], int]:
        """(time, whether of arrival) → channel → value, and the number of metrics that say too little."""
        rows: dict[tuple[int, bool], dict[str, float]] = {}
        unknown = 0
        for metric in message.metrics:
            name = metric.name or birth.aliases.get(NO_ALIAS if metric.alias is None else metric.alias, "")
            if name and not self._wants(name):
                continue
            datatype = metric.datatype or birth.types.get(name, 0)
            if not name or not datatype:
                unknown += 1
                continue
            value = self._value(whose, name, datatype, metric.value)
            if value is None:
                continue
            time = (metric.time or message.time) * MILLISECOND
            if time >= 2**63:
                raise DataError("absurd_time", f"{whose}: {name} is of {time // MILLISECOND} ms since 1970")
            row = rows.setdefault((time or arrived, not time), {})
            for channel in self._channels.get(name, (name,)):
                row[channel] = value
        return rows, unknown

    def _wants(self, name: str) -> bool:
        if self._channels:
            return name in self._channels
        return name != BIRTH_NUMBER and not name.startswith(NOT_READINGS)

    def _value(self, whose: str, name: str, datatype: int, value: Value) -> float | None:
        """None: no reading, and nobody asked for it."""
        if datatype not in NUMBERS and datatype not in TEXTS:
            if self._channels:
                raise DataError(
                    "wrong_type", f"{whose}: {name} is of datatype {datatype}, which is no number"
                )
            return None
        try:
            found = number(signed(datatype, value), self._words)
        except DataError as error:
            if datatype in TEXTS and not self._channels:
                return None
            raise DataError(error.reason, f"{whose}: {name}: {error.detail}") from error
        return None if found != found and datatype in TEXTS and not self._channels else found

    def _blocks(self, whose: str, rows: dict[tuple[int, bool], dict[str, float]]) -> list[Block]:
        """One for each set of channels that have times in common: a birth tells each metric's last change."""
        sets: dict[tuple[bool, tuple[str, ...]], tuple[list[int], list[list[float]]]] = {}
        for (time, of_arrival), row in rows.items():
            times, values = sets.setdefault((of_arrival, tuple(row)), ([], []))
            times.append(time)
            values.append(list(row.values()))
        if len(sets) > MOST_OF_NODE:
            raise DataError("too_large", f"{whose}: more than {MOST_OF_NODE} metrics at times of their own")
        return [
            Block(
                whose,
                channels,
                np.array(times, np.int64),
                np.array(values, np.float32),
                source=self._index,
                arrival_stamped=of_arrival,
            )
            for (of_arrival, channels), (times, values) in sets.items()
        ]

    # --- the conversation

    def snapshot(self) -> bytes:
        self._snapshot = self._snapshot or msgspec.msgpack.encode(
            [_Kept(name, node.birth_number, node.births) for name, node in self._nodes.items()]
        )
        return self._snapshot

    def restore(self, snapshot: bytes) -> None:
        self._nodes, self._lost, self._asks, self._snapshot = {}, {}, [], b""
        try:
            for kept in msgspec.msgpack.decode(snapshot, type=list[_Kept]) if snapshot else []:
                self._nodes[kept.name] = _Node(birth_number=kept.birth_number, births=kept.births)
        except (ValueError, RecursionError):
            self._nodes = {}
        self._size = sum(node.size for node in self._nodes.values())

    def lost(self) -> dict[str, int]:
        lost, self._lost = self._lost, {}
        return lost

    def asks(self) -> list[tuple[str, bytes]]:
        asks, self._asks = self._asks, []
        return asks


def _check_name(whose: str, *, has_device: bool) -> None:
    """Raises DataError unless all levels are named, and as many as the message's type has."""
    levels = whose.split("/")
    if not all(levels) or len(levels) != 2 + has_device or len(whose.encode("utf-8", "replace")) > LONGEST:
        raise DataError("device_name", f"{whose[:80]!r} is not group/node, or group/node/device of a device")
    if any("\ud800" <= letter <= "\udfff" for letter in whose):
        raise DataError("device_name", f"{whose[:80]!r} is no Unicode text")


def _birth(message: Message) -> _Birth:
    named = [metric for metric in message.metrics if metric.name]
    return _Birth(
        {metric.name: metric.datatype for metric in named},
        {metric.alias: metric.name for metric in named if metric.alias is not None},
    )


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


def state(host: str, online: bool, at_ms: int) -> tuple[str, bytes]:
    """Topic and payload by which a primary host says whether it is there (chapter 6, "STATE").

    To be sent with QoS 1 and retained: offline as the will, online after connecting, both of the same time.
    """
    if not host or {"/", "+", "#"} & set(host):
        raise ConfigError(f"the host's name {host!r} must not be empty, and have no '/', '+', '#'")
    return f"spBv1.0/STATE/{host}", msgspec.json.encode({"online": online, "timestamp": at_ms})


def _encode(metrics: Iterable[Metric], time: int, seq: int | None) -> bytes:
    message = _schema()["Payload"](seq=seq)
    if time:
        message.timestamp = time
    for metric in metrics:
        made = _schema()["Metric"](alias=metric.alias)
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

"""Sparkplug B: metrics of edge nodes and their devices, announced by a birth and then told by alias.

See the Eclipse Sparkplug specification 3.0: chapters 4 (topics) and 5 (operational behavior: births, deaths,
order of messages, rebirth).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.source import Source
from iot_stream.formats.sparkplug_payload import (
    BIRTH_NUMBER,
    LONGEST,
    MOST,
    Datatype,
    Message,
    Value,
    parse,
    rebirth,
    schema,
    signed,
    state,
)
from iot_stream.formats.values import number
from iot_stream.readings import Block

TOPIC = "spBv1.0/{group}/{type}/{node...}"
MOST_OF_NODE = 10_000  # metrics in the births of a node and its devices
NO_ALIAS = -1
PAUSE = 5 * SECOND  # between asking a node twice: whose numbers are never right must not be born all the time
MILLISECOND = 10**6
NOT_READINGS = ("Node Control/", "Device Control/")
TYPES = frozenset(("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"))
TEXTS: frozenset[int] = frozenset((Datatype.STRING, Datatype.TEXT))
NUMBERS: frozenset[int] = frozenset(Datatype) - TEXTS


class _Birth(msgspec.Struct, array_like=True):
    """What a node or a device announced: name → datatype, alias → name."""

    types: dict[str, int] = {}
    aliases: dict[int, str] = {}

    @property
    def size(self) -> int:
        return max(len(self.types), len(self.aliases))


class _Kept(msgspec.Struct, array_like=True):
    """A node in a snapshot: only what births announced, so that it seldom changes. After a restart numbers
    are not known, so that a rebirth is asked for: what changed meanwhile is told by nothing else. Whether one
    was asked for before is forgotten: it may not have been sent."""

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
    Inputs/A; by default all that are numbers. A node of which a birth or a message may have been missed is
    asked for a rebirth."""

    def __init__(self, source: Source, index: int) -> None:
        namespace, *levels = (source.topic or TOPIC).split("/")
        group = levels[0] if levels else ""
        if levels[1:] != ["{type}", "{node...}"] or (group != "{group}" and set(group) & set("{}+")):
            raise ConfigError(f"topic: {source.topic!r} is not {TOPIC}, or so with a name for {{group}}")
        if source.device:
            raise ConfigError("device: format sparkplug has its devices' names from the topic")
        if source.host:
            state(source.host, True, 0)
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
        self._heard: dict[str, int] = {}
        self._deaths: dict[str, bool] = {}
        self._asks: list[tuple[str, bytes]] = []
        schema()

    def decode(self, heard: Heard) -> list[Block]:
        kind, whose = heard.places.get("type", ""), self.speaker(heard.places)
        group, edge, device = (*whose.split("/", 2), "")[:3]
        if kind not in TYPES or group == "STATE":  # commands, and STATE of a host with slashes
            return []
        name = f"{group}/{edge}"
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
            self._deaths[whose] = True
            return []
        if kind.endswith("BIRTH"):
            self._deaths[whose] = False
            self._bear(whose, node, device, _birth(message))
        rows, unknown = self._rows(whose, message, node.births.get(device, _Birth()), heard.arrived)
        if unknown and not kind.endswith("BIRTH"):
            self._ask(name, node, heard.arrived)
            if not rows:
                raise DataError(
                    "no_birth", f"{whose}: {unknown} metrics that no birth announced; a rebirth was asked for"
                )
        return self._blocks(whose, rows)

    def speaker(self, places: Mapping[str, str]) -> str:
        return f"{self._group or places.get('group', '')}/{places.get('node', '')}"

    # --- births, deaths and numbers

    def _die(self, name: str, node: _Node | None, message: Message) -> None:
        """Forget the node, unless an older session's will comes late. When it was asked for a rebirth stays
        known: a node that dies again and again is not to be asked each time."""
        if node and len({message.birth_number, node.birth_number} - {None}) < 2:
            self._snapshot = b""
            self._deaths[name] = True
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
        """Whether it is known that no message is missing before it (0 follows 255); counts those that are.
        One that others have overtaken is no sign of more."""
        if message.seq is None:
            return True
        self._heard[name] = self._heard.get(name, 0) + 1
        known = node.seq >= 0
        before, missing = (node.seq - message.seq) % 256, (message.seq - node.seq - 1) % 256
        if known and before < 128 and 0 < message.time <= node.stamp:
            return True
        node.seq, node.stamp = message.seq, message.time
        if known and missing:
            self._lost[name] = self._lost.get(name, 0) + missing
        return known and not missing

    def _ask(self, name: str, node: _Node, now: int) -> None:
        if node.asked or (node.asked_at is not None and abs(now - node.asked_at) < PAUSE):
            return
        node.asked, node.asked_at = True, now
        group, _, edge = name.partition("/")
        self._asks.append((self._command(group, edge), rebirth(now // MILLISECOND)))

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

    def spoken_by(self, device: str) -> tuple[str, str]:
        group, _, rest = device.replace("%2F", "/").partition("/")  # what else a name may have, no level has
        edge = rest.partition("/")[0]
        if not (group and edge) or self._group not in ("", group):
            whose = f"{self._group or 'group'}/node"
            raise ConfigError(f"device: {device!r} is not {whose}, or {whose}/device, as Sparkplug names it")
        return f"{self._namespace}/{group}/+/{edge}/#", self._command(group, edge)

    def _command(self, group: str, edge: str) -> str:
        return f"{self._namespace}/{group}/NCMD/{edge}"

    def snapshot(self) -> bytes:
        self._snapshot = self._snapshot or msgspec.msgpack.encode(
            [_Kept(name, node.birth_number, node.births) for name, node in self._nodes.items()]
        )
        return self._snapshot

    def restore(self, snapshot: bytes) -> None:
        self._nodes, self._snapshot = {}, b""
        self._lost, self._heard, self._deaths, self._asks = {}, {}, {}, []
        try:
            for kept in msgspec.msgpack.decode(snapshot, type=list[_Kept]) if snapshot else []:
                self._nodes[kept.name] = _Node(birth_number=kept.birth_number, births=kept.births)
        except (ValueError, RecursionError):
            self._nodes = {}
        self._size = sum(node.size for node in self._nodes.values())

    def lost(self) -> dict[str, int]:
        lost, self._lost = self._lost, {}
        return lost

    def heard(self) -> dict[str, int]:
        heard, self._heard = self._heard, {}
        return heard

    def deaths(self) -> dict[str, bool]:
        deaths, self._deaths = self._deaths, {}
        return deaths

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

"""Dialects that are told by their topics, or by a payload that no other has; decoders find the channels."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from iot_stream import topics as table
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats.cbor import parse_cbor
from iot_stream.formats.senml import SenmlCborDecoder, SenmlDecoder
from iot_stream.formats.shelly import NOTIFICATIONS
from iot_stream.formats.source import Source
from iot_stream.formats.sparkplug import TYPES
from iot_stream.formats.sparkplug_payload import units
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.libraries import can_read
from iot_stream.ingest.discover.names import zone_note
from iot_stream.ingest.discover.proof import Guess
from iot_stream.ingest.discover.templates import alike, without_device

COMPONENTS = frozenset((
    "sensor", "binary_sensor", "text_sensor", "number", "switch", "light", "fan", "cover", "climate",
    "lock", "select", "input_number", "input_boolean", "person", "device_tracker", "weather", "sun",
))  # fmt: skip
ATTRIBUTES = ("unit_of_measurement", "friendly_name", "last_changed", "last_updated", "device_class")
BRIDGE = ("state", "info", "devices", "groups", "logging", "health")


def telemetry(topics: Sequence[Topic]) -> Iterator[Guess]:
    """iot-stream's own."""
    own = [topic for topic in topics if any(_is_telemetry(payload) for payload in topic.payloads)]
    usual = [topic for topic in own if table.TELEMETRY.levels(topic.name)]
    roots: dict[str, list[Topic]] = defaultdict(list)
    for topic in usual:
        roots["/".join(topic.levels[:2])].append(topic)
    for root, each in roots.items():
        yield Guess(Source(topic=f"{root}/device/{{device}}/telemetry"), each)
    for group in alike(topic for topic in own if topic not in usual):
        yield Guess(Source(topic=group.template), group.topics, part=group.part)


def _is_telemetry(payload: bytes) -> bool:
    try:
        table.decode(table.Telemetry, payload)
    except ValueError:
        return False
    return True


def sparkplug(topics: Sequence[Topic]) -> Iterator[Guess]:
    spaces = {topic.levels[0] for topic in topics if len(topic.levels) > 3 and topic.levels[2] in TYPES}
    for space in sorted(spaces):
        own = [topic for topic in topics if topic.levels[0] == space and _is_sparkplug(topic.levels)]
        found: dict[str, str] = {}
        for topic in own:
            for payload in topic.payloads if topic.levels[2].endswith("BIRTH") else ():
                try:
                    found |= units(payload, topic.name)
                except (DataError, ConfigError):
                    continue
        yield Guess(
            Source(format="sparkplug", topic=f"{space}/{{group}}/{{type}}/{{node...}}"), own, units=found
        )


def _is_sparkplug(levels: Sequence[str]) -> bool:
    return len(levels) > 2 and (levels[2] in TYPES | {"NCMD", "DCMD"} or levels[1] == "STATE")


def zigbee2mqtt(topics: Sequence[Topic]) -> Iterator[Guess]:
    bridges = (topic.name.rpartition("/bridge/") for topic in topics)
    bases = {"zigbee2mqtt"} | {base for base, _, told in bridges if base and told in BRIDGE}
    for base in sorted(bases):
        own = [topic for topic in topics if topic.name.startswith(f"{base}/")]
        said = [told for topic in own for told in topic.objects()]
        arrived = own[0].kept[0].arrived if own and own[0].kept else 0
        note = zone_note((told.get("last_seen"), arrived) for told in said)
        source = Source(format="zigbee2mqtt", topic=f"{base}/{{device...}}")
        yield Guess(source, own, notes=(note,) if note else ())


def tasmota(topics: Sequence[Topic]) -> Iterator[Guess]:
    sensors = [t for t in topics if t.levels[-1] == "SENSOR" and any("Time" in each for each in t.objects())]
    for group in alike(sensors):
        roots = {topic.name.removesuffix("/SENSOR") for topic in group.topics}
        beside = [topic for topic in topics if topic.name.rpartition("/")[0] in roots]
        said = [
            (told, kept.arrived)
            for topic in group.topics
            for told, kept in zip(topic.objects(), topic.kept, strict=False)
        ]
        note = zone_note((told.get("Time"), arrived) for told, arrived in said)
        scale = {str(told["TempUnit"]) for told, _ in said if "TempUnit" in told}
        notes = [note, *(f"temperatures are in °{unit}" for unit in sorted(scale) if unit != "C")]
        yield Guess(
            Source(format="tasmota", topic=group.template),
            beside,
            notes=tuple(each for each in notes if each),
        )


def shelly(topics: Sequence[Topic]) -> Iterator[Guess]:
    """Of the first generation under shellies/; later ones by their notifications, or their status."""
    first = [topic for topic in topics if topic.levels[0] == "shellies" and len(topic.levels) > 2]
    if first:
        yield Guess(Source(format="shelly", topic="shellies/{device}/{channel...}"), first)
    leads: dict[str, set[str]] = defaultdict(set)
    for topic in topics:
        name, _, end = topic.name.partition("/events/rpc")
        if name != topic.name and not end and any(e.get("method") in NOTIFICATIONS for e in topic.objects()):
            lead, _, device = name.rpartition("/")
            leads[lead].add(device)
    for lead, devices in sorted(leads.items()):
        start = f"{lead}/" if lead else ""
        heads = tuple(f"{start}{device}/" for device in devices)
        own = [topic for topic in topics if topic.name.startswith(heads)]
        told = any("/status/" in topic.name and ":" in topic.levels[-1] for topic in own)
        end = "status/{channel...}" if told else "events/rpc"
        yield Guess(Source(format="shelly", topic=f"{start}{{device}}/{end}"), own)


def statestream(topics: Sequence[Topic]) -> Iterator[Guess]:
    """Of Home Assistant: beside an entity's state there are its attributes."""
    names = {topic.name: topic for topic in topics}
    bases: dict[str, list[str]] = defaultdict(list)
    for topic in topics:
        entity, _, last = topic.name.rpartition("/")
        if last == "state" and len(topic.levels) > 3 and topic.levels[-3] in COMPONENTS:
            beside = any(f"{entity}/{attribute}" in names for attribute in ATTRIBUTES)
            if beside or topic.levels[:-3] == ["homeassistant"]:
                bases[entity.rpartition("/")[0]].append(entity)
    for base, entities in sorted(bases.items()):
        found = {}
        for entity in entities:
            for told in (
                names[f"{entity}/unit_of_measurement"].parsed()
                if f"{entity}/unit_of_measurement" in names
                else ()
            ):
                found[entity.rpartition("/")[2]] = str(told)
        own = [topic for topic in topics if topic.name.rpartition("/")[0] in entities]
        yield Guess(Source(format="statestream", topic=f"{base}/{{channel}}/state"), own, units=found)


def esphome(topics: Sequence[Topic]) -> Iterator[Guess]:
    groups: dict[tuple[str, str], list[Topic]] = defaultdict(list)
    for topic in topics:
        levels = topic.levels
        if len(levels) > 3 and levels[-1] == "state" and levels[-3] in COMPONENTS:
            groups["/".join(levels[:-4]), levels[-3]].append(topic)
    for (lead, kind), own in sorted(groups.items()):
        nodes = {"/".join(topic.levels[:-3]) for topic in own}
        beside = [
            t for t in topics if t.name.rpartition("/")[0] in nodes and t.levels[-1] in ("status", "debug")
        ]
        template = "/".join([*([lead] if lead else []), "{device}", kind, "{channel}", "state"])
        yield Guess(Source(format="esphome", topic=template), [*own, *beside])


def senml(topics: Sequence[Topic]) -> Iterator[Guess]:
    readers = {"senml": Topic.parsed} | ({"senml_cbor": _cbor} if can_read("CBOR") else {})
    for name, read in readers.items():
        packs = {topic.name: [pack for pack in read(topic) if _is_pack(pack)] for topic in topics}
        for group in alike(topic for topic in topics if packs[topic.name]):
            own = [pack for topic in group.topics for pack in packs[topic.name]]
            based = all(any("bn" in record or "-2" in record for record in pack) for pack in own)
            template = without_device(group.template) if based else group.template
            if based and len(group.topics) == 1:
                template = group.topics[0].name
            source = Source(format=name, topic=template)
            yield Guess(source, group.topics, units=_units(source, group.topics))


def _cbor(topic: Topic) -> list[Any]:
    found = []
    for payload in topic.payloads:
        try:
            found.append(parse_cbor(payload, ""))
        except DataError:
            continue
    return found


def _is_pack(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        return False
    names, values = {"bn", "n", "-2", "0"}, {"v", "vs", "vb", "vd", "s", "bv", "2", "3", "4", "5", "-5"}
    keys = {key for record in value for key in record}
    return bool(keys & names and keys & values)


def _units(source: Source, topics: Sequence[Topic]) -> dict[str, str]:
    decode = (SenmlDecoder if source.format == "senml" else SenmlCborDecoder)(source, 0)
    found: dict[str, str] = {}
    for topic in topics:
        for payload in topic.payloads:
            try:
                found |= decode.units(payload)
            except DataError:
                continue
    return found

"""Metrics of Sparkplug that tell classes, and nodes whose births were missed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from iot_stream.errors import DataError
from iot_stream.formats.sparkplug import NOT_READINGS, TEXTS
from iot_stream.formats.sparkplug_payload import Datatype, parse
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.names import measures_nothing
from iot_stream.ingest.discover.verdicts import as_word, few, is_class

ON_OR_OFF = ("false", "true")
DATA = {"NDATA": "NBIRTH", "DDATA": "DBIRTH"}


def classes(topics: Sequence[Topic]) -> dict[str, tuple[str, ...]]:
    """Metric → its words, of those that are on or off, or texts that come again; raises ConfigError."""
    types: dict[str, int] = {}
    names: dict[tuple[str, int | None], str] = {}  # (node, alias), which a birth tells
    said: dict[str, list[str]] = defaultdict(list)
    messages = sorted(
        ((kept.order, topic, kept.payload) for topic in topics for kept in topic.kept),
        key=lambda each: each[0],
    )
    for _, topic, payload in messages:
        if topic.levels[2] not in (*DATA, *DATA.values()):
            continue
        try:
            told = parse(payload, topic.name)
        except DataError:
            continue
        node = "/".join((topic.levels[1], *topic.levels[3:4]))
        for metric in told.metrics:
            if metric.name and metric.alias is not None:
                names[node, metric.alias] = metric.name
            name = metric.name or names.get((node, metric.alias), "")
            types[name] = metric.datatype or types.get(name, 0)
            if name and types[name] in TEXTS | {Datatype.BOOLEAN} and is_class(metric.value):
                said[name].append(as_word(metric.value))
    found: dict[str, tuple[str, ...]] = {}
    for name, words in said.items():
        if name.startswith(NOT_READINGS) or measures_nothing(name):
            continue
        if types[name] == Datatype.BOOLEAN:
            found[name] = ON_OR_OFF
        elif len(set(words)) > 1 and few(words):
            found[name] = tuple(sorted(set(words)))
    return found


def unborn(topics: Iterable[Topic]) -> list[str]:
    """Topics of commands to nodes that sent data, theirs or a device's, whose birth was not heard."""
    heard = {topic.name: topic.levels for topic in topics if len(topic.levels) in (4, 5)}
    nodes = []
    for space, group, kind, *whose in heard.values():
        if kind in DATA and "/".join((space, group, DATA[kind], *whose)) not in heard:
            nodes.append(f"{space}/{group}/NCMD/{whose[0]}")
    return sorted(set(nodes))

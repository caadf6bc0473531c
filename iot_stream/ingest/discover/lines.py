"""Text: lines of columns (CSV), and single values on a topic each."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from io import StringIO

import numpy as np

from iot_stream.formats.source import Source
from iot_stream.formats.trees import if_number
from iot_stream.formats.values import UNKNOWN
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.names import DEVICES, QUANTITIES, TIMES, is_moment, plain, zone_note
from iot_stream.ingest.discover.proof import Guess
from iot_stream.ingest.discover.templates import alike, device_level, varying
from iot_stream.units import Duration

WIDEST = 200  # columns
LONGEST = 200  # letters of a value

_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
Table = list[list[str]]


def csv_lines(topics: Sequence[Topic]) -> Iterator[Guess]:
    tables = {topic.name: table for topic in topics if (table := _table(topic))}
    widths: dict[tuple[str, ...], list[Topic]] = defaultdict(list)
    for topic in topics:
        if topic.name in tables:
            head = tables[topic.name][0]
            widths[tuple(head) if _is_header(head) else (str(len(head)),)].append(topic)
    for own in widths.values():
        for group in alike(own):
            rows = [row for topic in group.topics for row in tables[topic.name]]
            yield _guess(group.template, group.part, group.topics, rows)


def _guess(template: str, part: str, topics: list[Topic], rows: Table) -> Guess:
    head = [name.strip() for name in rows[0]] if _is_header(rows[0]) else []
    body = [row for row in rows if not _is_header(row)]
    places = head or [str(i) for i in range(len(rows[0]))]
    columns = {place: [row[i].strip() for row in body] for i, place in reversed(list(enumerate(places)))}
    told = {place for place, values in columns.items() if values and all(map(is_moment, values))}
    time = next(
        (p for p in places if p in told and (not head or plain(p) in TIMES or ":" in columns[p][0])), ""
    )
    named = [place for place in places if place != time and _are_names(columns[place])]
    device = next((place for place in named if not head or plain(place) in DEVICES), "")
    channels: dict[str, str] = {}
    if not head:
        numbers = [
            p for p in places if p not in (time, device) and all(_counts(value) for value in columns[p])
        ]
        channels = {f"c{place}": place for place in numbers}
    source = Source(
        topic=template,
        format="csv",
        time=time,
        device=device,
        channels=channels,
        step=None if time else _step(topics),
    )
    notes = [zone_note((text, topics[0].kept[-1].arrived) for text in columns[time][-1:])] if time else []
    if source.step:
        notes.append("step is estimated from how often messages came; check it")
    if not head:
        notes.append("there is no header: give the columns names that say what they are")
    return Guess(source, topics, tuple(note for note in notes if note), part=part)


def _table(topic: Topic) -> Table:
    """The rows of all messages if they are lines of several columns, of one width, with numbers in them."""
    found: Table = []
    for text in topic.texts():
        first = text.lstrip("\ufeff").lstrip().partition("\n")[0]
        if first[:1] in ("{", "[", "<", '"'):
            return []
        delimiter = next((mark for mark in "\t;" if mark in first), ",")
        try:
            found += csv.reader(
                StringIO(text.lstrip("\ufeff")), delimiter=delimiter, skipinitialspace=True, strict=True
            )
        except csv.Error:
            return []
    found = [row for row in found if any(field.strip() for field in row)]
    width = len(found[0]) if found else 0
    same = 1 < width <= WIDEST and all(len(row) == width for row in found)
    if all(_DECIMAL_COMMA.fullmatch(text.strip()) for text in topic.texts()):
        return []
    numbers = any(if_number(field, {}) == if_number(field, {}) for row in found for field in row)
    return found if same and numbers else []


def _is_header(row: Sequence[str]) -> bool:
    return all(field.strip() and not _counts(field) and not is_moment(field.strip()) for field in row)


def _counts(field: str) -> bool:
    value = if_number(field, {})
    return value == value or field.strip().lower() in UNKNOWN


def _are_names(values: list[str]) -> bool:
    return bool(values) and all(value and not _counts(value) and not is_moment(value) for value in values)


def _step(topics: Sequence[Topic]) -> Duration | None:
    """The time between messages, shared among their lines."""
    gaps: list[float] = []
    for topic in topics:
        live = [kept for kept in topic.kept if not kept.retained]
        lines = max((len(kept.payload.strip().splitlines()) for kept in live), default=1)
        if lines > 1:
            gaps += (np.diff([kept.arrived for kept in live]) / lines).tolist()
    gap = float(np.median(gaps)) if gaps else 0
    return Duration(float(f"{gap:.3g}")) if gap >= 1 else None


def values(topics: Sequence[Topic]) -> Iterator[Guess]:
    """A number or a state a message: one topic a channel."""
    groups: dict[tuple[str, int], list[Topic]] = defaultdict(list)
    for topic in topics:
        texts = [text.strip().strip('"') for text in topic.texts() if len(text) < LONGEST]
        if all(map(_counts, texts)) and any(text.lower() not in UNKNOWN for text in texts):
            groups[topic.levels[0] if len(topic.levels) > 2 else "", len(topic.levels)].append(topic)
    for (_, count), own in sorted(groups.items()):
        for template, device, each in _templates(own, count):
            yield Guess(Source(format="topic_per_channel", topic=template, device=device), each)


def _templates(topics: list[Topic], count: int) -> Iterator[tuple[str, str, list[Topic]]]:
    """Template, the device's name where the topic has no level for it, and the topics."""
    if count == 1:
        yield "{channel}", "broker", topics
        return
    if count == 2:
        for first in sorted({topic.levels[0] for topic in topics}):
            yield f"{first}/{{channel}}", first, [topic for topic in topics if topic.levels[0] == first]
        return
    levels, differ = topics[0].levels, varying(topics)
    fixed = [i for i, level in enumerate(levels) if level.lower() in QUANTITIES]
    channel = differ[-1] if differ else fixed[-1] if fixed else device_level(levels)
    if len(differ) == 1 and fixed and fixed[-1] not in differ:
        channel = fixed[-1]
    others = [i for i in differ if i != channel]
    device = others[0] if others else (channel or 2) - 1
    if channel == 0:
        channel, device = 1, 0
    if len(others) > 1:
        yield "/".join([*levels[:device], "{device}", "{channel...}"]), "", topics
        return
    places = {channel: "{channel}", device: "{device}"}
    yield "/".join(places.get(i, level) for i, level in enumerate(levels)), "", topics

"""JSON and CBOR by their fields: where the readings are, their time, whose they are, and what is a number."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.errors import DataError
from iot_stream.formats.cbor import parse_cbor
from iot_stream.formats.json_paths import Path, parse_json, parse_time
from iot_stream.formats.source import Source
from iot_stream.formats.trees import if_number
from iot_stream.formats.values import UNKNOWN
from iot_stream.ingest.discover.heard import Kept, Topic
from iot_stream.ingest.discover.libraries import can_read
from iot_stream.ingest.discover.names import (
    DEVICES,
    ENDS,
    LABELS,
    TIMES,
    channel_names,
    is_moment,
    is_range,
    measures_nothing,
    pieces,
    zone_note,
)
from iot_stream.ingest.discover.proof import Guess
from iot_stream.ingest.discover.templates import alike, without_device
from iot_stream.units import Duration

DEEPEST = 4
MOST_ITEMS = 400  # that are looked at
MOST_FIELDS = 300
FEW = 5  # words that are states rather than texts
SHARED = 0.1  # of a sensor's messages with the time of the one before are too many
VECTOR = 4  # numbers in one list that are rather x, y, z than readings one after the other

Fields = dict[str, list[Any]]  # path → values


class Shape(NamedTuple):
    """What messages of one kind look like; alike ones are read by one source."""

    format: str
    readings: str
    time: str
    columns: bool
    device: str
    channels: frozenset[str]


class Looked(NamedTuple):
    topic: Topic
    shape: Shape
    fields: Fields
    messages: list[tuple[Any, Kept]]


class _Run(NamedTuple):
    """Messages of a device with one time, one after the other; `differing` are unlike the one before."""

    time: Any
    messages: int
    differing: int


def fields(topics: Sequence[Topic]) -> Iterator[Guess]:
    looked = [each for topic in topics for each in _look(topic)]
    for group in _grouped(looked):
        by_name = {each.topic.name: each for each in group}
        for found in alike(each.topic for each in group):
            yield _guess(found.template, found.part, [by_name[topic.name] for topic in found.topics])


def _look(topic: Topic) -> Iterator[Looked]:
    parsers = {"json": parse_json} | ({"cbor": parse_cbor} if can_read("CBOR") else {})
    for name, parse in parsers.items():
        messages = []
        for kept in topic.kept:
            try:
                message = parse(kept.payload, "")
            except DataError:
                continue
            if isinstance(message, dict | list):
                messages.append((message, kept))
        if messages and (found := _shape(name, [message for message, _ in messages])):
            yield Looked(topic, *found, messages)
            return


def _shape(name: str, messages: list[Any]) -> tuple[Shape, Fields] | None:
    readings = _readings(messages)
    items = [
        item
        for message in messages
        for item in (Path(readings).find(message) if readings else [message]) or []
    ]
    found: Fields = {}
    for item in items[:MOST_ITEMS]:
        for path, value in leafs(item, "$", DEEPEST):
            if path in found or len(found) < MOST_FIELDS:
                found.setdefault(path, []).append(value)
    lists = {path for path, values in found.items() if all(isinstance(value, list) for value in values)}
    time = time_of(found)
    labels = [path for path in by_names(found, LABELS) if len(set(map(str, found[path]))) > 1]
    whose = [*by_names(found, DEVICES), *labels]
    device = next((path for path in whose if names_devices(found[path])), "")
    times = moments(found)
    numbers = [
        path
        for path, values in found.items()
        if path not in (time, device)
        and path not in times
        and path not in lists
        and all(map(_counts, values))
        and any(map(_known, values))
    ]
    columns = bool(lists - {time}) and not any(not measures_nothing(path, found) for path in numbers)
    if columns:
        long = Counter(len(found[path][0]) for path in lists - {time}).most_common(1)[0][0]
        chosen = [path for path in lists - {time} if len(found[path][0]) == long]
    else:
        chosen = [path for path in numbers if not measures_nothing(path, found)]
    if not chosen:
        return None
    return Shape(name, readings, time, columns, device, frozenset(chosen)), found


def _readings(messages: list[Any]) -> str:
    """The path of a list of objects, if what is measured is in it alone."""
    if all(isinstance(message, list) for message in messages):
        return "$"
    for path, value in _lists(messages[0], "$", 3):
        if value and all(isinstance(item, dict) for item in value):
            outside = {p for p, told in leafs(messages[0], "$", DEEPEST) if isinstance(told, float)}
            inside = {
                p for item in value for p, told in leafs(item, "$", DEEPEST) if _known(told) and _counts(told)
            }
            if any(not measures_nothing(p) for p in inside) and all(measures_nothing(p) for p in outside):
                return path
    return ""


def _lists(value: Any, path: str, deeper: int) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(value, list):
        yield path, value
    elif isinstance(value, dict) and deeper:
        for key, inner in value.items():
            if step := _step(key):
                yield from _lists(inner, path + step, deeper - 1)


def leafs(value: Any, path: str, deeper: int) -> Iterator[tuple[str, Any]]:
    """Fields by path; lists of numbers or times whole, but for short ones, number by number."""
    if isinstance(value, dict):
        for key, inner in value.items() if deeper else ():
            if step := _step(key):
                yield from leafs(inner, path + step, deeper - 1)
    elif isinstance(value, list):
        if value and all(isinstance(each, int | float | str | None) for each in value):
            yield path, value
    elif path != "$":
        yield path, value


def _step(key: object) -> str:
    """How a path writes a key; empty where none can."""
    if (
        not isinstance(key, str)
        or not key
        or len(key) > 100
        or '"' in key
        or not key.isprintable()
        or is_range(key)
    ):
        return ""
    return f'["{key}"]' if set(key) & set(".[] ") else f".{key}"


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and value.strip().lower() in UNKNOWN)


def _counts(value: Any) -> bool:
    """Whether a value is a number or a state, or says that it is not known."""
    number = if_number(value, {})
    return number == number or not _known(value)


def by_names(found: Iterable[str], names: Sequence[str]) -> list[str]:
    """Paths whose last name is one of these, in their order, the outermost first."""
    named = [(names.index(last), path) for path in found if (last := pieces(path)[-1]) in names]
    return [path for _, path in sorted(named, key=lambda pair: (pair[0], len(pair[1])))]


def end_of(found: Fields) -> str:
    """Where the end of what a message tells is; empty where it tells none."""
    return next((path for path in by_names(found, ENDS) if all(map(_moments, found[path]))), "")


def moments(found: Fields) -> set[str]:
    """Paths that by their names and values tell times: nothing is measured there."""
    return {path for path in by_names(found, TIMES + ENDS) if all(map(_moments, found[path]))}


def time_of(found: Fields) -> str:
    for path in by_names(found, TIMES):
        if all(map(_moments, found[path])):
            return path
    texts = (path for path, values in found.items() if all(isinstance(v, str) and ":" in v for v in values))
    return next((path for path in texts if all(_moments(value) for value in found[path])), "")


def _moments(value: Any) -> bool:
    return all(map(is_moment, value)) if isinstance(value, list) else is_moment(value)


def names_devices(values: list[Any]) -> bool:
    """Few texts, or few whole numbers, not one that counts messages."""
    if not all(
        isinstance(value, str | int) and not isinstance(value, bool) and value != "" for value in values
    ):
        return False
    return len(set(values)) <= max(1, len(values) // 2) or all(isinstance(value, str) for value in values)


def _grouped(looked: list[Looked]) -> list[list[Looked]]:
    """Topics whose messages have most of their channels in common, and all else."""
    groups: list[list[Looked]] = []
    having: dict[tuple[object, ...], list[list[Looked]]] = defaultdict(list)  # a channel of the first in it
    for each in looked:
        keys = [_kind(each, channel) for channel in sorted(each.shape.channels)]
        near = (group for key in keys for group in having[key] if _similar(group[0], each))
        if group := next(near, None):
            group.append(each)
        else:
            groups.append([each])
            for key in keys:
                having[key].append(groups[-1])
    return groups


def _kind(looked: Looked, channel: str) -> tuple[object, ...]:
    return (*looked.shape._replace(channels=frozenset((channel,))), len(looked.topic.levels))


def _similar(one: Looked, other: Looked) -> bool:
    a, b = one.shape.channels, other.shape.channels
    return 2 * len(a & b) >= min(len(a), len(b))


def _guess(template: str, part: str, group: list[Looked]) -> Guess:
    shape, notes = group[0].shape, []
    if coarse := _coarse_times(group, shape):
        shape = shape._replace(time="")
        notes.append(f"{coarse}, and `time` is left out, so that none is taken for a duplicate")
    places = sorted(set().union(*(each.shape.channels for each in group)), key=list(_merged(group)).index)
    named = {each.topic.name: set(map(str, each.fields.get(shape.device, ()))) for each in group}
    device = shape.device
    if len(group) > 1 and device and all(len(own) < 2 for own in named.values()):
        device = ""  # the topics tell them apart already
    source = Source(
        topic=_without_device(template, group) if device else template,
        format=shape.format,
        device=device,
        channels=_channels(places, part, shape, group),
        time=shape.time,
        readings=shape.readings,
    )
    fields = _merged(group)
    if {"$.boot", "$.seq"} <= fields.keys():
        source = msgspec.structs.replace(source, boot="$.boot", seq="$.seq")
    rows = _rows(group, shape)
    timed = shape.time and (shape.readings or _is_list(fields[shape.time]))
    if rows > 1 and not timed and (step := _estimated(group, shape, rows)):
        source = msgspec.structs.replace(source, step=step)
        notes.append("step is estimated from how often messages came; check it")
    notes.append(zone_note(_told(group, shape)))
    left = [path for path in fields if path not in {*places, shape.time, device, source.boot, source.seq}]
    return Guess(
        source,
        [each.topic for each in group],
        tuple(note for note in notes if note),
        left_out=tuple(f"{path} ({_shown(fields[path])})" for path in left),
    )


def _coarse_times(group: list[Looked], shape: Shape) -> str:
    """What is wrong with times that many messages of a device share, though they differ; empty for others.

    A time tells readings apart: all but the first of those that share one would be dropped.
    """
    if not shape.time or shape.readings:
        return ""
    runs = [run for each in group for run in _runs(each, shape)]
    shared, messages = sum(run.differing for run in runs), sum(run.messages for run in runs)
    if shared < 2 or shared < SHARED * messages:
        return ""
    whole = all(parse_time(run.time, "UTC") % SECOND == 0 for run in runs)
    usual = round(float(np.median([run.messages for run in runs])))
    many = f"{usual} messages share each time" if usual > 1 else f"{shared} messages share another's time"
    return f"{many}: its times are {'whole seconds' if whole else 'coarser than its rate'}"


def _runs(looked: Looked, shape: Shape) -> Iterator[_Run]:
    time, device = Path(shape.time), Path(shape.device) if shape.device else None
    told: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for message, _ in looked.messages:
        moment = time.find(message)
        if is_moment(moment):
            told[str(device.find(message)) if device else ""].append((moment, message))
    for own in told.values():
        for moment, run in groupby(own, key=itemgetter(0)):
            messages = [message for _, message in run]
            yield _Run(moment, len(messages), sum(a != b for a, b in pairwise(messages)))


def _channels(places: list[str], part: str, shape: Shape, group: list[Looked]) -> dict[str, str]:
    """Short lists that stand alone are told number by number: a vector has no time in it."""
    if shape.columns and len(places) == 1 and not shape.time:
        sizes = {len(value) for each in group for value in each.fields.get(places[0], ())}
        if len(sizes) == 1 and 1 < (size := sizes.pop()) <= VECTOR:
            places = [f"{places[0]}[{i}]" for i in range(size)]
    return channel_names(places, part)


def _without_device(template: str, group: list[Looked]) -> str:
    return group[0].topic.name if len(group) == 1 else without_device(template)


def _merged(group: list[Looked]) -> Fields:
    merged: Fields = {}
    for each in group:
        for path, values in each.fields.items():
            merged.setdefault(path, []).extend(values)
    return merged


def _is_list(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], list)


def _rows(group: list[Looked], shape: Shape) -> int:
    """Readings in the longest message."""
    if shape.columns:
        chosen = (value for each in group for path in shape.channels for value in each.fields.get(path, ()))
        return max((len(value) for value in chosen), default=1)
    if shape.readings:
        path = Path(shape.readings)
        return max(len(path.find(message) or ()) for each in group for message, _ in each.messages)
    return 1


def _estimated(group: list[Looked], shape: Shape, rows: int) -> Duration | None:
    """The time between messages, shared among their readings; None where there is but one."""
    gaps: list[int] = []
    for each in group:
        moments = sorted(
            _moment(message, kept, shape) for message, kept in each.messages if not kept.retained
        )
        gaps += np.diff(moments).tolist()
    gap = float(np.median(gaps)) / rows if gaps else 0
    return Duration(float(f"{gap:.3g}")) if gap >= 1 else None


def _moment(message: Any, kept: Kept, shape: Shape) -> int:
    told = Path(shape.time).find(message) if shape.time and not shape.readings else None
    return parse_time(told, "UTC") if is_moment(told) else kept.arrived


def _told(group: list[Looked], shape: Shape) -> Iterator[tuple[object, int]]:
    if not shape.time:
        return
    for each in group:
        for value in each.fields.get(shape.time, ())[-1:]:
            for text in value[-1:] if isinstance(value, list) else [value]:
                yield text, each.topic.kept[-1].arrived


def _shown(values: list[Any]) -> str:
    """The last value, or the few words that there are."""
    words = sorted({value for value in values if isinstance(value, str)})
    few = 1 < len(words) <= FEW and len(words) < len(values)
    text = f"{', '.join(words)}: name them in `values`" if few else str(values[-1])
    return text if len(text) < 80 else f"{text[:27]}…"

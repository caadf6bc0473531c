"""Alike topics as one template: which level names the device."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.names import QUANTITIES, WORDS

DEVICE, REST = "{device}", "{device...}"


class Alike(NamedTuple):
    """`part`: the topics' last level, where others stand beside it, as in plant/p1/acc and plant/p1/gyro."""

    template: str
    topics: list[Topic]
    part: str = ""


def alike(topics: Iterable[Topic]) -> list[Alike]:
    """Topics whose messages are alike, by template. Each template has {device}, or {device...} at its end."""
    by_count: dict[int, list[Topic]] = defaultdict(list)
    for topic in topics:
        by_count[len(topic.levels)].append(topic)
    return [
        each for count in sorted(by_count) for roots in _by_root(by_count[count]) for each in _parted(roots)
    ]


def without_device(template: str) -> str:
    """The template for messages that name their device themselves."""
    return template.replace(DEVICE, "+") if DEVICE in template else template


def varying(topics: Sequence[Topic]) -> list[int]:
    """The levels in which topics of as many levels differ."""
    return [
        i
        for i, level in enumerate(zip(*(topic.levels for topic in topics), strict=True))
        if len(set(level)) > 1
    ]


def device_level(levels: Sequence[str]) -> int:
    """The level of a single topic that most likely names the device: the last that is no word for a kind of
    message."""
    names = [i for i, level in enumerate(levels) if level.lower() not in WORDS | QUANTITIES.keys()]
    return names[-1] if names else len(levels) - 1


def _by_root(topics: list[Topic]) -> list[list[Topic]]:
    """Those of a common first level together; and those that differ in nothing else."""
    by_first: dict[str, list[Topic]] = defaultdict(list)
    by_rest: dict[tuple[str, ...], list[Topic]] = defaultdict(list)
    for topic in topics:
        by_first[topic.levels[0]].append(topic)
    groups = []
    for own in by_first.values():
        if len(own) > 1:
            groups.append(own)
        else:
            by_rest[tuple(own[0].levels[1:])].append(own[0])
    return groups + list(by_rest.values())


def _parted(topics: list[Topic]) -> list[Alike]:
    levels, differ = topics[0].levels, varying(topics)
    if not differ:
        return [Alike(_with(levels, {device_level(levels): DEVICE}), topics)]
    last = differ[-1]
    ends = {topic.levels[last] for topic in topics}
    quantities = last > 0 and all(end.lower() in QUANTITIES for end in ends)
    if len(differ) == 1 and not quantities:
        return [Alike(_with(levels, {last: DEVICE}), topics)]
    unique = [i for i in differ if len({topic.levels[i] for topic in topics}) == len(topics)]
    if unique and not quantities:
        plus = dict.fromkeys(differ, "+")
        return [Alike(_with(levels, {**plus, unique[0]: DEVICE}), topics)]
    parts = [[topic for topic in topics if topic.levels[last] == end] for end in sorted(ends)]
    if last == len(levels) - 1 and all(quantities or len(part) > 1 for part in parts):
        return [
            each._replace(part=each.part or part[0].levels[last])
            for part in parts
            for each in _parted_once(part)
        ]
    return [Alike("/".join([*levels[: differ[0]], REST]), topics)]


def _parted_once(topics: list[Topic]) -> list[Alike]:
    """Of one last level."""
    levels, differ = topics[0].levels, varying(topics)
    if not differ:
        return [Alike(_with(levels, {device_level(levels[:-1]): DEVICE}), topics)]
    unique = [i for i in differ if len({topic.levels[i] for topic in topics}) == len(topics)]
    if unique:
        return [Alike(_with(levels, {**dict.fromkeys(differ, "+"), unique[0]: DEVICE}), topics)]
    return [Alike("/".join([*levels[: differ[0]], REST]), topics)]


def _with(levels: Sequence[str], places: dict[int, str]) -> str:
    return "/".join(places.get(i, level) for i, level in enumerate(levels))

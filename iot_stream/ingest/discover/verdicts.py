"""Topics that tell classes, not measures: whoever speaks there may teach, or label."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple, TypeGuard

import msgspec
import numpy as np

from iot_stream import topics as table
from iot_stream.errors import DataError
from iot_stream.formats import Heard, decoder
from iot_stream.formats.source import Source
from iot_stream.formats.trees import if_number
from iot_stream.formats.values import STATES, UNKNOWN
from iot_stream.ingest.discover.fields import (
    DEEPEST,
    FEW,
    Fields,
    by_names,
    end_of,
    leafs,
    moments,
    names_devices,
    time_of,
)
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.names import DEVICES, measures_nothing
from iot_stream.ingest.discover.proof import Guess
from iot_stream.ingest.discover.templates import DEVICE, alike, without_device
from iot_stream.readings import spoken_name

LONGEST = 40  # letters of a class
OF_PRESENCE = frozenset(("online", "offline", "connected", "disconnected"))  # says how the device is


class _Told(NamedTuple):
    """Where classes are; alike ones are of one teacher. `value` is empty where the payload is the class."""

    value: str
    time: str = ""
    device: str = ""
    until: str = ""


def verdicts(topics: Sequence[Topic]) -> Iterator[Guess]:
    """Of topics that tell nothing but classes."""
    return _guesses(topics, beside_numbers=False)


def taught(topics: Sequence[Topic]) -> Iterator[Guess]:
    """Of topics of which somebody knows that they teach: numbers may stand beside the classes."""
    return _guesses(topics, beside_numbers=True)


def placed(guess: Guess, devices: Iterable[str]) -> Guess:
    """The same with {device} where the name of one of these sensors stands: one topic alone does not say."""
    if len(guess.topics) > 1 or guess.source.device:
        return guess
    levels, known = guess.topics[0].levels, set(map(spoken_name, devices))
    named = [i for i, level in enumerate(levels) if level in known]
    if len(named) != 1:
        return guess
    template = "/".join(DEVICE if i == named[0] else level for i, level in enumerate(levels))
    return next(_guesses(guess.topics, beside_numbers=True, template=template), guess)


def _guesses(topics: Sequence[Topic], *, beside_numbers: bool, template: str = "") -> Iterator[Guess]:
    """`template`: of all of them, where it is known."""
    groups: dict[_Told, list[Topic]] = defaultdict(list)
    said: dict[str, list[str]] = {}
    for topic in topics:
        if found := _classes(topic, beside_numbers):
            told, said[topic.name] = found
            groups[told].append(topic)
    for told, own in groups.items():
        for each in alike(own):
            words = [word for topic in each.topics for word in said[topic.name]]
            source = _source(told, template or each.template, each.topics)
            if source and (beside_numbers or few(words)):
                yield _guess(source, each.topics, words)._replace(until=told.until)


def between_changes(source: Source, topics: Sequence[Topic]) -> int:
    """The usual time (ns) for which a word that `source` reads on `topics` stays; 0 where too few changes
    were heard to tell."""
    decode, stays = decoder(source, 0), list[int]()
    for topic in topics:
        said: dict[str, list[tuple[float, int]]] = defaultdict(list)  # device → words, and when they came
        places = table.match(source.topic, topic.name)
        for kept in topic.kept if places is not None else ():
            if kept.retained:
                continue
            with suppress(DataError):
                for block in decode.decode(Heard(kept.payload, kept.arrived, places or {})):
                    word = float(block.values[-1, 0])
                    if word == word:
                        said[block.device].append((word, kept.arrived))
        for own in said.values():
            changes = [later for (word, _), (other, later) in pairwise(own) if word != other]
            stays += [later - earlier for earlier, later in pairwise(changes)]
    return int(np.median(stays)) if stays else 0


def lateness(source: Source, topics: Sequence[Topic]) -> int:
    """How long (ns) after its time a word of `source` came at most; 0 where that cannot be told."""
    decode, late = decoder(source, 0), [0]
    for topic in topics if source.time else ():
        places = table.match(source.topic, topic.name)
        for kept in topic.kept if places is not None else ():
            if kept.retained:
                continue
            with suppress(DataError):
                blocks = decode.decode(Heard(kept.payload, kept.arrived, places or {}))
                late += [kept.arrived - int(block.times[-1]) for block in blocks]
    return max(late)


def few(words: Sequence[str]) -> bool:
    """Whether they come again: what is said but once may be any text."""
    return len(set(words)) <= FEW and len(set(words)) < len(words)


def _guess(source: Source, topics: Sequence[Topic], words: Sequence[str]) -> Guess:
    classes = tuple(sorted(set(words), key=lambda word: (STATES.get(word.lower(), 0), word)))
    if all(word.lower() in STATES for word in classes):  # of which only one may have been heard
        numbered = {word: STATES[word.lower()] for word in classes}
    else:
        numbered = {word: float(i) for i, word in enumerate(classes)}
    return Guess(msgspec.structs.replace(source, values=numbered), topics, sure=False, classes=classes)


def _source(told: _Told, template: str, topics: Sequence[Topic]) -> Source | None:
    if told.value:
        if told.device:
            template = topics[0].name if len(topics) == 1 else without_device(template)
        channels = {"teacher": told.value}
        return Source(topic=template, format="json", device=told.device, time=told.time, channels=channels)
    levels = template.split("/")
    fixed = [i for i, level in enumerate(levels) if level != "+" and not level.startswith("{")]
    if not fixed:
        return None
    last = fixed[-1]
    topic = "/".join([*levels[:last], "{channel}", *levels[last + 1 :]])
    return Source(topic=topic, format="topic_per_channel", channels={"teacher": levels[last]})


def _classes(topic: Topic, beside_numbers: bool) -> tuple[_Told, list[str]] | None:
    """Where a topic has its classes, and all that it said; None where it measures, or tells of a device."""
    messages = topic.objects()
    if not messages:
        texts = [text.strip().strip('"') for text in topic.texts()]
        texts = [text for text in texts if text.lower() not in UNKNOWN]
        fits = texts and all(map(is_class, texts)) and not measures_nothing(topic.levels[-1])
        return (_Told(""), texts) if fits else None
    if len(messages) < len(list(topic.payloads)):
        return None
    found: Fields = {}
    for message in messages:
        for path, value in leafs(message, "$", DEEPEST):
            found.setdefault(path, []).append(value)
    time = time_of(found)
    device = next((path for path in by_names(found, DEVICES) if names_devices(found[path])), "")
    told = {
        path: [value for value in values if value is not None]
        for path, values in found.items()
        if path not in {time, device, *moments(found)} and not measures_nothing(path, found)
    }
    named = {path: values for path, values in told.items() if values and all(map(is_class, values))}
    if not named or (len(named) < len(told) and not beside_numbers):
        return None
    value = max(named, key=lambda path: len(set(named[path])) > 1)  # rather what changes
    return _Told(value, time, device, end_of(found)), [as_word(each) for each in named[value]]


def is_class(value: Any) -> TypeGuard[str | bool]:
    if isinstance(value, bool):
        return True
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= LONGEST:
        return False
    number = if_number(value, {})
    return value.lower() in STATES or (number != number and value.lower() not in UNKNOWN | OF_PRESENCE)


def as_word(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()

"""Who tells the classes on a broker: what teaches, whom, and what no student may see then."""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import click
import msgspec

from iot_stream.cli.first.asking import Ask
from iot_stream.errors import ConfigError
from iot_stream.formats.sparkplug import TYPES
from iot_stream.formats.values import STATES
from iot_stream.ingest.discover import (
    Findings,
    Speaker,
    as_zigbee2mqtt,
    beside,
    recognise,
    speaker_by,
    speaker_on,
)
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.printing import NAMED, scalar, told
from iot_stream.ingest.discover.verdicts import between_changes, taught
from iot_stream.readings import spoken_name
from iot_stream.topics import match

_GENERAL = ("", "value", "val", "state", "status", "payload", "data")  # says not what is told


class Tellers(NamedTuple):
    """Who teaches, who labels, and what else speaks: what students may see."""

    teaching: Speaker | None
    labelling: Speaker | None
    sensors: Findings

    @property
    def classes(self) -> tuple[str, ...]:
        """What they tell apart, as far as it was heard."""
        told = [each for each in (self.teaching, self.labelling) if each]
        named = [found for each in told if (found := class_names(each.classes))]
        return next(iter([*named, *(found for each in told if (found := _state_names(each)))]), ())

    @property
    def stay(self) -> int:
        """For how long (ns) a word stays; 0: not known."""
        speaker = self.teaching or self.labelling
        return between_changes(speaker.source, speaker.topics) if speaker and speaker.classes else 0


def tellers(findings: Findings, heard: Sequence[Topic], teacher: str, labels: str, ask: Ask) -> Tellers:
    """Of what options and answers name: topics, or a metric of Sparkplug that teaches; raises ConfigError."""
    teacher = _named_teacher(findings, teacher, ask)
    of_metric = speaker_by(teacher, findings) if teacher else None
    teaching = of_metric
    if teacher and not of_metric:
        _check_words_alone("--teacher", teacher)
        teaching = as_zigbee2mqtt(speaker_on(teacher, findings, heard), heard)
    if labels:
        _check_words_alone("--labels", labels)
    labelling = speaker_on(labels, findings, heard) if labels else None
    for speaker in (teaching, labelling):
        if speaker and not speaker.topics and not names_level(speaker.source.topic):
            raise ConfigError(
                f"nothing was heard on {speaker.source.topic}, which has to speak while init listens: "
                "--seconds says for how long; or write its topic with {device} where the device's name stands"
            )
    sensors = _without((teaching, labelling), findings, heard)
    if of_metric:
        sensors = _without_place(teacher, sensors, ("sparkplug",))
    elif teaching and (alike := _alike(teaching, sensors)):
        place = next(iter(teaching.source.channels.values()))
        click.echo(
            f"  {', '.join(alike[:NAMED])} says so too; as a channel it is left out. "
            "That all of them teach, their topic says with a +, or {device}, in place of what differs"
        )
        sensors = _without_place(place, sensors)
    return Tellers(teaching, labelling, sensors)


def names_level(topic: str) -> bool:
    """Whether a topic says where the device's name stands; of any other that is found by listening."""
    return "{device}" in topic or "...}" in topic


def _check_words_alone(option: str, topic: str) -> None:
    """Raises ConfigError for all topics, and for one of Sparkplug, where a metric says what is meant."""
    if "#" in topic:
        raise ConfigError(f"{option}: {topic}: write + for each level that differs, or {{device}}")
    if set(topic.split("/")[2:3]) & {*TYPES, "{type}"}:
        raise ConfigError(
            f"{option}: {topic}: Sparkplug tells all metrics there; name the one that tells classes alone, "
            "as --teacher Quality/Worn, while its node speaks; labels are JSON"
        )


def _named_teacher(findings: Findings, given: str, ask: Ask) -> str:
    """The topic that teaches, or nothing; raises ConfigError."""
    if not findings.found:
        return given
    heard = {each.source.topic: f"tells classes: {told(each)}" for each in findings.teachers}
    told_beside = beside(findings)
    for topic, words in itertools.islice(told_beside.items(), NAMED):
        heard.setdefault(topic, f"tells classes beside what it measures: {', '.join(words)}")
    for pattern, own in _of_places(told_beside, findings).items():
        heard.setdefault(pattern, f"is all of {', '.join(own[:NAMED])}")
    for number, (topic, what) in enumerate(heard.items(), 1):
        click.echo(f"  {number}. {topic} {what}")
    # What is on and off may as well be one more thing that a model shall see: for the person to say.
    naming = [each.source.topic for each in findings.teachers if class_names(each.guess.classes)]
    usual = naming[0] if len(naming) == 1 else "none"
    ways = ("number, " if heard else "") + "topic, or metric of Sparkplug"
    question = f"What tells the classes, and teaches ({ways}), or none"
    named = ask(question, given, usual)
    if named.isdecimal():
        if not 1 <= int(named) <= len(heard):
            raise ConfigError(f"{named} is none of the {len(heard)} that tell classes")
        return list(heard)[int(named) - 1]
    return "" if named == "none" else named


def _of_places(told: Mapping[str, tuple[str, ...]], findings: Findings) -> dict[str, list[str]]:
    """Of topics that tell the same classes and differ in one level: with a + there → those topics, where no
    other sensor speaks so."""
    sensors = [topic.name for finding in findings.sources for topic in finding.guess.topics]
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for topic in sensors:
        levels = topic.split("/") if topic in told else []
        for place in range(len(levels)):
            groups["/".join([*levels[:place], "+", *levels[place + 1 :]]), told[topic]].append(topic)
    return {
        pattern: own
        for (pattern, _), own in groups.items()
        if len(own) > 1 and own == [topic for topic in sensors if match(pattern, topic) is not None]
    }


def class_names(words: tuple[str, ...]) -> tuple[str, ...]:
    """The names of classes among words that were heard; true, on and their like are none."""
    unfit = len(words) < 2 or any("," in word for word in words)
    return () if unfit or all(word.lower() in STATES for word in words) else words


def _state_names(speaker: Speaker) -> tuple[str, ...]:
    """Of a teacher that says true or false, on or off: `no_presence, presence` by where it says so."""
    if not speaker.classes or class_names(speaker.classes):
        return ()
    place = next(iter(speaker.source.channels.values()))
    levels = [level for level in speaker.source.topic.split("/") if "{" not in level and "+" not in level]
    told = [re.split(r"[.\[]", place)[-1], *reversed(levels)]
    name = next((each for each in told if each.strip("$'\"]").lower() not in _GENERAL), "")
    name = re.sub(r"\W+", "_", name).strip("_")
    return (f"no_{name}", name) if name else ()


def _without(speakers: Sequence[Speaker | None], findings: Findings, heard: Sequence[Topic]) -> Findings:
    """What else speaks: a model that saw its teacher's word would learn to repeat it; raises ConfigError."""
    apart = {topic.name for speaker in speakers if speaker for topic in speaker.topics}
    if not apart:
        return findings
    left = recognise([topic for topic in heard if topic.name not in apart])
    if findings.sources and not left.sources:
        raise ConfigError(
            "the topic that teaches or labels is that of all sensors too; name the one that does, in which + "
            "may stand for a level, as zigbee2mqtt/+/presence"
        )
    return left


def _alike(teaching: Speaker, sensors: Findings) -> list[str]:
    """Topics of sensors that tell classes at the place where the teacher does, as of other rooms."""
    place = _bare(next(iter(teaching.source.channels.values())))
    heard = (topic for finding in sensors.sources for topic in finding.guess.topics)
    told = {topic.name: next(taught([topic]), None) for topic in heard}
    return [
        name for name, guess in told.items() if guess and place in map(_bare, guess.source.channels.values())
    ]


def _bare(place: str) -> str:
    return place.removeprefix("$.")


def _without_place(place: str, findings: Findings, formats: Sequence[str] = ()) -> Findings:
    """Without the channel that is there, or a metric of Sparkplug, as a student that saw it would repeat it;
    raises ConfigError."""
    found = []
    for finding in findings.found:
        source = finding.source
        if not formats or source.format in formats:
            channels = {name: at for name, at in source.channels.items() if _bare(at) != _bare(place)}
            finding = replace(finding, source=msgspec.structs.replace(source, channels=channels))
        if finding.source.channels:
            found.append(finding)
    if not found:
        raise ConfigError(f"{place} teaches, and sensors tell nothing else; listen for longer with --seconds")
    return replace(findings, found=found)


def whom_of(teaching: Speaker | None, findings: Findings) -> dict[str, list[str]]:
    """Whom it teaches, where no sensor is called as it is: those of its place, as `living/presence` those of
    `living`; without places one teaches them all, and several a person must tell apart."""
    known = sorted({device for finding in findings.found for device in finding.devices})
    if not known or not teaching or not teaching.devices or set(known) & set(teaching.devices):
        return {}
    whom = {each: [device for device in known if _place(device) == _place(each)] for each in teaching.devices}
    if len(whom) == 1 and not _place(teaching.devices[0]):
        whom = {teaching.devices[0]: known}
    if not all(whom.values()):
        first, written = teaching.devices[0], ", ".join(map(scalar, known[:NAMED]))
        click.echo(
            f"{', '.join(teaching.devices)}: no sensor is called so; say under `teacher` whom they teach, as "
            f"devices: {{{scalar(first)}: [{written}]}}"
        )
        return {}
    for each, own in whom.items():
        others = "" if len(own) == len(known) else ", the sensors of its place"
        click.echo(f"{each} teaches {', '.join(own[:NAMED])}{others}: `devices` under `teacher` says so")
    return whom


def _place(device: str) -> str:
    """Where it is, by its name: `living` of `living/presence`; "" where that does not say it."""
    return spoken_name(device).rpartition("/")[0]

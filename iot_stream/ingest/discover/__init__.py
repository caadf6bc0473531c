"""What speaks on a broker, and the sources that read it: listen, recognise, prove, print.

A recogniser for each dialect, the most telling first, guesses sources from the topics that those before it
have left. What it guesses counts only when the dialect's own decoder reads what was heard.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import msgspec

from iot_stream import topics as table
from iot_stream.formats.source import Source
from iot_stream.ingest.discover import binary, dialects, fields, lines, sparkplug
from iot_stream.ingest.discover.announced import Announced, announced
from iot_stream.ingest.discover.fields import FEW
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.libraries import untried
from iot_stream.ingest.discover.proof import Finding, Guess, prove
from iot_stream.ingest.discover.verdicts import placed, taught, verdicts

Recogniser = Callable[[Sequence[Topic]], Iterator[Guess]]

RECOGNISERS: tuple[Recogniser, ...] = (
    dialects.telemetry,
    dialects.sparkplug,
    dialects.zigbee2mqtt,
    dialects.shelly,
    dialects.statestream,
    dialects.esphome,
    dialects.tasmota,
    dialects.senml,
    binary.frames,
    verdicts,
    fields.fields,
    lines.csv_lines,
    lines.values,
    binary.arrays,
)
MOST_SOURCES = 100
_ASIDE = ("tasmota/discovery/",)  # what devices are, for Home Assistant


@dataclass(frozen=True)
class Findings:
    """`unknown` are topics that no source reads; `cut`: there may be more sources; `untried` are formats
    whose library is not installed; `aside` is what is no sensor's by its topic."""

    found: list[Finding]
    unknown: list[Topic]
    announced: Announced
    cut: bool = False
    untried: Sequence[str] = ()
    aside: Sequence[Topic] = ()

    @property
    def sources(self) -> list[Finding]:
        """Those to take."""
        return [finding for finding in self.found if finding.guess.sure]

    @property
    def teachers(self) -> list[Finding]:
        """What tells classes, and measures nothing."""
        return [finding for finding in self.found if finding.guess.classes]


def recognise(heard: Sequence[Topic]) -> Findings:
    """Sources for what was heard; never raises for what is in it."""
    said, prefixes = announced(heard), at_work(heard)
    others = [topic for topic in heard if topic.name not in said.topics and not _is_aside(topic, prefixes)]
    sensors = {topic.name for topic in others}
    aside = [topic for topic in heard if topic.name not in sensors]
    unsayable = [topic for topic in others if topic.unsayable]
    left = [topic for topic in others if topic.kept and not topic.unsayable]
    found: list[Finding] = []
    for recogniser in RECOGNISERS:
        for guess in recogniser(left):
            if len(found) >= MOST_SOURCES:
                return Findings(_placed(found), [*left, *unsayable], said, True, untried(), aside)
            if finding := prove(guess, heard):
                found.append(finding)
                taken = {topic.name for topic in guess.topics}
                left = [topic for topic in left if topic.name not in taken]
    return Findings(_placed(found), [*left, *unsayable], said, False, untried(), aside)


def _placed(found: Sequence[Finding]) -> list[Finding]:
    """The same, those that tell classes with their devices called as sensors are, where any is."""
    devices = _devices(found)
    return [_anew(each, placed(each.guess, devices)) if each.guess.classes else each for each in found]


def _anew(finding: Finding, guess: Guess) -> Finding:
    return finding if guess is finding.guess else prove(guess, guess.topics) or finding


def _devices(found: Iterable[Finding]) -> set[str]:
    """Those of sensors."""
    return {device for finding in found if finding.guess.sure for device in finding.devices}


def at_work(heard: Sequence[Topic]) -> list[str]:
    """Prefixes of the services that say so, or said so before they were killed together with the broker."""
    found = set()
    for topic in heard:
        levels = table.SERVICE.levels(topic.name)
        for payload in topic.payloads if levels else ():
            with suppress(msgspec.DecodeError):
                told: table.Service = table.decode(table.Service, payload)
                found |= {levels["prefix"]} if levels and told.online else set()
    return sorted(found)


def beside(findings: Findings) -> dict[str, tuple[str, ...]]:
    """Topic, or Sparkplug's metric → the classes that a sensor tells there beside what it measures; where all
    topics do, none of them: no sensor is left to be taught then."""
    metrics = {
        metric: classes
        for finding in findings.sources
        if finding.source.format == "sparkplug"
        for metric, classes in sparkplug.classes(finding.guess.topics).items()
    }
    sensors = [topic for finding in findings.sources for topic in finding.guess.topics]
    told = {topic.name: guess.classes for topic in sensors for guess in islice(taught([topic]), 1)}
    changing = {name: classes for name, classes in told.items() if 1 < len(classes) <= FEW}
    return (changing if len(changing) < len(sensors) else {}) | metrics


class Speaker(NamedTuple):
    """Who tells `classes`, as far as they were heard, of `devices`, on `topics`, which are no sensor's.

    The first channel of `source` says where in a message, `until` where the end of what it tells is.
    """

    source: Source
    topics: Sequence[Topic] = ()
    classes: tuple[str, ...] = ()
    devices: Sequence[str] = ()
    until: str = ""


def speaker_on(named: str, findings: Findings, heard: Sequence[Topic]) -> Speaker:
    """Of the topic that somebody names: a template, or one of the topics, whether it was heard or not."""

    def meant(topic: Topic) -> bool:
        return table.match(named, topic.name) is not None

    known = (
        each for each in findings.teachers if each.source.topic == named or any(map(meant, each.guess.topics))
    )
    own = next((each.guess.topics for each in known), None) or [topic for topic in heard if meant(topic)]
    devices = _devices(findings.found)
    proved = (finding for guess in taught(own) if (finding := prove(placed(guess, devices), own)))
    found = next(proved, None) or next(iter(recognise(own).found), None)
    if found is None:
        return Speaker(
            Source(topic=named, format="json", channels={"teacher": "$.value"}, time="$.time"), own
        )
    return Speaker(found.source, own, found.guess.classes, found.devices, found.guess.until)


def speaker_by(metric: str, findings: Findings) -> Speaker | None:
    """Of the metric of Sparkplug that somebody names, whose device speaks as its sensor too; None where there
    is none."""
    for finding in findings.sources:
        if finding.source.format != "sparkplug":
            continue
        classes = sparkplug.classes(finding.guess.topics).get(metric, ())
        if classes or metric in finding.source.channels.values():
            values = {word: float(i) for i, word in enumerate(classes)}
            source = msgspec.structs.replace(finding.source, channels={"teacher": metric}, values=values)
            found = prove(finding.guess._replace(source=source), finding.guess.topics)
            return Speaker(source, (), classes, found.devices if found else ())
    return None


def as_zigbee2mqtt(speaker: Speaker, heard: Sequence[Topic]) -> Speaker:
    """The same in the dialect, whose names may have several levels; as it was where others speak."""
    place = next(iter(speaker.source.channels.values())).removeprefix("$.")
    for guess in dialects.zigbee2mqtt(heard):
        source = msgspec.structs.replace(
            guess.source, channels={"teacher": place}, values=speaker.source.values
        )
        if all(table.match(source.topic, topic.name) for topic in speaker.topics):
            found = prove(guess._replace(source=source), speaker.topics)
            if found:
                return speaker._replace(source=source, devices=found.devices)
    return speaker


def _is_aside(topic: Topic, prefixes: Collection[str]) -> bool:
    """What iot-stream says beside telemetry, and what devices say of themselves to Home Assistant.

    Under the prefix of a service that is at work a topic of its own is that, whatever is said on it.
    """
    if topic.name.startswith(_ASIDE):
        return True
    for row in table.TABLE.values():
        levels = row.levels(topic.name)
        if row is table.TELEMETRY or levels is None:
            continue
        if (
            levels["prefix"] in prefixes
            or row.payload is bytes
            or any(_reads(row.payload, payload) for payload in topic.payloads)
        ):
            return True
    return False


def _reads(kind: type[object], payload: bytes) -> bool:
    try:
        table.decode(kind, payload)
    except ValueError:
        return False
    return True

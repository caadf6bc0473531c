"""Findings as a block `sources:` for a pipeline, with what was heard as comments."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from iot_stream.config.network import TopicTeacher
from iot_stream.formats.source import Source
from iot_stream.ingest.discover import MOST_SOURCES, Findings
from iot_stream.ingest.discover.announced import Announced
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.names import unit_of
from iot_stream.ingest.discover.proof import Finding, shown_range
from iot_stream.readings import spoken_name

MOST_LISTED = 20
NAMED = 5  # devices
ROUND = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)
PLAIN = re.compile(r"[A-Za-z_$][\w./$-]*")
RESERVED = frozenset(("yes", "no", "on", "off", "true", "false", "null", "none"))


def block(findings: Findings) -> str:
    """Valid YAML; indented to stand under a pipeline. Empty where nothing is sure."""
    sure = findings.sources
    guesses = [each for each in findings.found if not each.guess.sure and not each.guess.classes]
    lines = ["sources:"] if sure else ["# sources:"]
    for finding in sure:
        lines += _source(finding, findings.announced)
    for finding in guesses:
        lines += [
            line if line.lstrip().startswith("#") else f"  # {line[2:]}"
            for line in _source(finding, findings.announced)
        ]
    lines += (f"  # {line}" for line in _rest(findings))
    return "".join(f"    {line}\n" for line in lines)


def _source(finding: Finding, announced: Announced) -> Iterator[str]:
    source, guess = finding.source, finding.guess
    yield f"  # {comment(_heard(finding))}"
    for note in guess.notes:
        yield f"  # {comment(note)}"
    if finding.refused:
        reasons = ", ".join(f"{n} {reason}" for reason, n in finding.refused.most_common())
        yield f"  # refused: {comment(f'{reasons}, as {finding.example}')}"
    yield f"  - topic: {scalar(source.topic)}"
    yield f"    format: {scalar(source.format)}"
    for name in ("device", "time", "readings", "boot", "seq"):
        if told := getattr(source, name):
            yield f"    {name}: {scalar(told)}"
    if source.step:
        yield f"    step: {source.step / 1e6:.6g} ms"
    if source.format == "array":
        yield f"    dtype: {scalar(source.dtype)}"
    yield "    channels:"
    units = {**guess.units, **announced.units(source, guess.topics)}
    for name, place in source.channels.items():
        yield f"      {scalar(name)}: {scalar(place)}{_measured(finding, name, units.get(place, ''))}"
    for each in finding.left_out[:MOST_LISTED]:
        yield f"      # left out: {comment(each)}"
    if len(finding.left_out) > MOST_LISTED:
        yield f"      # left out: {len(finding.left_out) - MOST_LISTED} others"


def _heard(finding: Finding) -> str:
    time = "some times are told" if len(finding.stamped) > 1 else "times are told"
    time = "times are of arrival" if finding.stamped == {True} else time
    gave = f"{finding.decoded} of its {finding.messages} messages gave readings"
    if finding.came > finding.messages:
        gave = (
            f"of its {finding.came} messages {finding.messages} were tried, {finding.decoded} gave readings"
        )
    return f"{finding.source.format}: {_whose(finding)}; {time}; {gave}"


def told(finding: Finding) -> str:
    """The classes that somebody tells, and of what."""
    return f"{', '.join(finding.guess.classes)}; {_whose(finding)}"


def _whose(finding: Finding) -> str:
    devices = finding.devices
    named = ", ".join(devices[:NAMED]) + (", …" if len(devices) > NAMED else "")
    whose = f"{len(devices)} devices" if len(devices) > 1 else "1 device"
    return f"{whose} ({named}), {rate(finding.rates)}"


def speaker(source: Source, whom: Mapping[str, Sequence[str]] | None = None, *, until: str = "") -> str:
    """What tells classes, as a pipeline's `teacher` or, where it says `until` when it was so, its `labels`;
    `whom`: device → those that it teaches."""
    told = {"topic": source.topic, "format": source.format, "device": source.device}
    told |= {"value": next(iter(source.channels.values()), "$.value"), "time": source.time, "until": until}
    usual = TopicTeacher(topic="")
    written = (
        f"{name}: {scalar(each)}" for name, each in told.items() if each and each != getattr(usual, name, "")
    )
    taught = [f"{_name(each)}: [{', '.join(map(_name, own))}]" for each, own in (whom or {}).items()]
    devices = [f"devices: {{{', '.join(taught)}}}"] if taught else []
    return f"{{{', '.join([*written, *devices])}}}"


def _name(device: str) -> str:
    return scalar(spoken_name(device))


def _measured(finding: Finding, name: str, unit: str) -> str:
    series = finding.series.get(name)
    if series is None:
        return ""
    guess = unit_of(name, series.high)
    usual = f"{guess}?" if guess else ""
    told = f"{shown_range(series)} {unit or usual}".rstrip()
    few = len(series.devices) < len(finding.devices)
    return f"  # {comment(told)}" + (f"; of {len(series.devices)} of the devices" if few else "")


def rate(rates: Sequence[float]) -> str:
    """Readings a second, minute or hour of a device."""
    if not rates:
        return "heard once each"
    spread = max(rates) > 2 * min(rates)
    return ("about " if spread else "") + f"{written_rate(rate_of(rates))} each"


def rate_of(rates: Sequence[float]) -> float:
    """That of most devices."""
    return float(np.median(rates))


def written_rate(hertz: float, digits: int = 3) -> str:
    for seconds, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if hertz * seconds >= 1 or unit == "h":
            break
    whole = hertz * seconds
    return f"{float(f'{whole:.{digits}g}'):g}/{unit}"


def rounded_rate(hertz: float) -> float:
    """What a person would have set: a sensor of 4/s that is heard for a short while seems to speak 3.8/s."""
    set_by_people = [n / seconds for seconds in (0.001, 0.01, 0.1, 1, 60, 3600) for n in ROUND]
    near = min(set_by_people, key=lambda each: abs(each - hertz))
    return near if abs(near - hertz) < 0.1 * hertz else hertz


def not_tried(names: Sequence[str]) -> str:
    """Empty where all could be."""
    verb = "is" if len(names) == 1 else "are"
    return f"{', '.join(names)} {verb} not tried: pip install 'iot-stream[formats]'" if names else ""


def _rest(findings: Findings) -> Iterator[str]:
    if said := not_tried(findings.untried):
        yield said
    if findings.teachers:
        yield "tells classes, which no model is to see; may teach (`teacher`) or label (`labels`):"
    for each in findings.teachers:
        end = f"; as `labels` until: {each.guess.until}" if each.guess.until else ""
        yield f"  {comment(f'{speaker(each.source)}  # {told(each)}{end}')}"
    silent = findings.announced.silent(
        [topic for each in findings.found for topic in each.guess.topics] + findings.unknown
    )
    if silent:
        yield "announced to Home Assistant, but not heard; listen for longer:"
    for sensor in silent[:MOST_LISTED]:
        unit = f", {sensor.unit}" if sensor.unit else ""
        yield f"  {comment(f'{sensor.device}: {sensor.name}{unit}, on {sensor.topic}')}"
    if findings.cut:
        yield f"there are more than {MOST_SOURCES} kinds of topics; listen to part of them with --filter"
    if findings.aside:
        count = sum(topic.count for topic in findings.aside)
        yield f"no readings, but iot-stream's own or of what devices announce: {count} of the messages"
    if findings.unknown:
        yield "not recognised:"
    for topic in findings.unknown[:MOST_LISTED]:
        yield f"  {comment(f'{topic.name}: {hint(topic)}')}"
    if len(findings.unknown) > MOST_LISTED:
        yield f"  and {len(findings.unknown) - MOST_LISTED} other topics"


def hint(topic: Topic) -> str:
    """What a payload may be that no source reads."""
    payload = next(topic.payloads, b"")
    if not payload:
        return "nothing in its messages"
    if len(topic.levels) > 3 and topic.levels[2] in ("NDATA", "DDATA"):
        return "Sparkplug without a birth, which the service asks for; --rebirth asks now"
    if topic.unsayable:
        return "its topic has braces or dots that templates cannot say"
    if topic.parsed():
        return f"JSON without a number that measures something: {payload[:60].decode(errors='replace')}"
    if texts := topic.texts():
        if re.fullmatch(r"-?\d+,\d+", texts[0].strip()):
            return f"{texts[0].strip()}: a decimal comma? No format reads those"
        return f"text: {texts[0][:60]!r}; a state? name its words in `values`"
    own = "Protocol Buffers, encrypted? `format: module:function` is a decoder of your own"
    return f"{len(payload)} bytes, as {payload[:12].hex(' ')}: {own}"


def scalar(text: str) -> str:
    """Text as YAML reads it back."""
    if PLAIN.fullmatch(text) and text.isascii() and text.lower() not in RESERVED:
        return text
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    return letter if letter.isprintable() else f"\\U{ord(letter):08X}"


def comment(text: str) -> str:
    """Text that stays within its line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]

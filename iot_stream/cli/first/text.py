"""The text of a first configuration."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from iot_stream.address import Broker
from iot_stream.cli.first.teacher import class_names
from iot_stream.clock import SECOND
from iot_stream.config import load
from iot_stream.errors import ConfigError
from iot_stream.formats.source import Source
from iot_stream.ingest.discover import Speaker
from iot_stream.ingest.discover.printing import scalar, speaker
from iot_stream.ingest.discover.verdicts import lateness
from iot_stream.units import Duration, Rate

USUAL_PREFIX = "iot"
TEMPLATE = """\
# Written by `iot-stream init`. Every setting is explained in docs/configuration.md.
broker: {broker}
store: sqlite:store                  # a folder beside this file
{apart}pipelines:
  {pipeline}:
{sources}    window:
      length: {length}                     # readings in a window, which a model sees at once
      # hop: {hop}                       # from one window to the next; left out: no overlap
{rate}    task: {{classify: [{classes}]}}{unnamed}
    # What is true is told on {prefix}/{pipeline}/device/{{device}}/label, or on a topic of yours;
    # until: the end, where it was so for a while; hold: so long, or until the next, where nothing tells one:
{labels}{teacher}{wait}    student: {{arch: {student}}}
    triggers: {{every: 1 h}}           # a round of learning; left out: by `iot-stream rounds start` only
{recordings}"""
LABELS = """\
    # labels: {topic: "room/{device}/state", value: $.value, time: $.time, until: $.until}
"""
NETWORK = """\
    teacher: {{arch: {arch}}}           # learns from `recordings`, see below
    # No recordings, but a topic that tells what is true, at once or late? Then that is the teacher:
    # teacher: {{topic: "room/{{device}}/state", value: $.value, time: $.time}}
"""
RECORDINGS = """\
    # recordings:                      # what the teacher learns from, once
    #   files: labelled/*.csv
    #   time: time
    #   channels: {…}                  # channel: column
    #   label: state
    #   bootstrap: {teacher: {}, student: {}}
"""
RATE = """\
      rate: {rate}                    # resampled to an even grid
      fill: hold                     # between readings the last one holds; or linear
"""


USUAL_WAIT = 60 * SECOND
NO_WAIT = """\
    # teacher_wait: 8 h                # as long as its words are late; left out: 1 min
"""
WAIT = """\
    teacher_wait: {wait}                # its words were up to {late:.3g} s late
"""
WAITS = ("2 min", "5 min", "10 min", "30 min", "1 h", "2 h", "4 h", "8 h", "1 day", "2 days", "7 days")


def written(
    access: Broker,
    prefix: str,
    pipeline: str,
    spoken: str,
    named: list[str],
    length: int,
    rate: str,
    teaching: Speaker | None,
    whom: Mapping[str, Sequence[str]],
    labelling: Speaker | None,
) -> str:
    """`whom`: device → those that it teaches, where they are not called alike."""
    if rate != "none":
        Rate.parse(rate)
    told = {name: getattr(access, name) for name in ("user", "password", "ca", "cert", "key")}
    login = [f"{name}: {scalar(each)}" for name, each in told.items() if each]
    broker = f"{{{', '.join([f'url: {scalar(access.url)}', *login])}}}" if login else scalar(access.url)
    classes = [] if named == ["none"] else named
    small = length < 32
    return TEMPLATE.format(
        broker=broker,
        pipeline=scalar(pipeline),
        sources=spoken,
        length=length,
        hop=max(1, length // 2),
        rate="" if rate == "none" else RATE.format(rate=rate),
        classes=", ".join(scalar(each) for each in classes or ["usual", "other"]),
        unnamed="" if classes else "   # stand-ins: name your classes before anything is learnt",
        prefix=prefix,
        apart="" if prefix == USUAL_PREFIX else f"prefix: {scalar(prefix)}\n",
        labels=_labels(teaching, labelling),
        teacher=_taught_by(teaching, whom, classes) or NETWORK.format(arch="mlp" if small else "resnet1d"),
        recordings="" if teaching else RECORDINGS,
        student="mlp" if small else "mobilenet1d",
        wait=_wait(teaching),
    )


def _wait(teaching: Speaker | None) -> str:
    """Twice as long as its words were late while they were heard, where that is more than the usual."""
    late = lateness(teaching.source, teaching.topics) if teaching else 0
    if 2 * late <= USUAL_WAIT:
        return NO_WAIT
    longer = (each for each in WAITS if int(Duration.parse(each)) >= 2 * late)
    return WAIT.format(wait=next(longer, WAITS[-1]), late=late / SECOND)


def _labels(teaching: Speaker | None, labelling: Speaker | None) -> str:
    """As a comment where none were asked for: of the topic that teaches, if it can be one of labels."""
    if labelling:
        return f"    labels: {speaker(labelling.source, until=labelling.until)}\n"
    if teaching and _may_label(teaching.source):
        if teaching.until:
            return f"    labels: {speaker(teaching.source, until=teaching.until)}\n"
        return f"    # labels: {speaker(teaching.source).removesuffix('}')}, hold: 10 min}}\n"
    return LABELS


def _may_label(source: Source) -> bool:
    """Labels are JSON, name their device in their topic, and tell their time."""
    return source.format == "json" and not source.device and bool(source.time)


def _taught_by(teaching: Speaker | None, whom: Mapping[str, Sequence[str]], classes: list[str]) -> str:
    if not teaching:
        return ""
    strange = [word for word in class_names(teaching.classes) if classes and word not in classes]
    words = ", ".join(f"{scalar(word)}: …" for word in strange)
    note = (
        f"    # its words are not the classes; say in it which they mean: values: {{{words}}}\n"
        if strange
        else ""
    )
    return f"{note}    teacher: {speaker(teaching.source, whom)}\n"


def save(path: Path, text: str) -> None:
    """Only what is a configuration is left behind."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, "utf-8")
        load(draft)
        draft.replace(path)
    except ConfigError as error:
        # Neither the draft nor its lines are there to look at.
        why = re.sub(rf"{re.escape(str(draft))}:(\d+:)? *", "", str(error))
        raise ConfigError(f"{path} is not written, for it would not do: {why}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; is its folder there?") from error
    finally:
        draft.unlink(missing_ok=True)

"""A first configuration, by a few questions."""

import itertools
import math
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import msgspec
import numpy as np

from iot_stream.address import PEM, Broker
from iot_stream.cli.common import config_option, many
from iot_stream.cli.discover import listened, login_options, rebirth_option
from iot_stream.cli.first import USUAL_PREFIX, class_names, save, written
from iot_stream.clock import SECOND
from iot_stream.config import Gate
from iot_stream.errors import BrokerError, ConfigError, DataError
from iot_stream.formats import format_of
from iot_stream.formats.sparkplug import TYPES
from iot_stream.ingest.discover import (
    Findings,
    Speaker,
    as_zigbee2mqtt,
    at_work,
    beside,
    recognise,
    speaker_by,
    speaker_on,
)
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.printing import (
    NAMED,
    block,
    not_tried,
    rate_of,
    rounded_rate,
    scalar,
    told,
    written_rate,
)
from iot_stream.ingest.discover.sparkplug import unborn
from iot_stream.ingest.discover.verdicts import between_changes
from iot_stream.readings import spoken_name
from iot_stream.stopping import until_stopped
from iot_stream.units import Rate

NEXT = """\
{path} is written. Next:
  iot-stream config check --config {path}    what it means
  iot-stream keys init --config {path}       keys that sign models
  iot-stream serve --config {path}           collector, distiller, publisher
  iot-stream windows stats --config {path}   what became of the readings
  iot-stream device add NAME --config {path} a device that runs the student; each needs its own
  iot-stream dashboard --config {path}       all of it in a browser"""
FILL_IN = """\
The teacher learns from `recordings`: fill that part in. Is there a topic that tells what is true, at once or
late? Then no recordings are needed: `teacher: {topic: …}` and `labels:`, as the file says."""
NO_RECORDINGS = """\
No recordings are needed: the first student comes once {topic} has told two classes,
and {n_min} windows have a word of it (`gate.n_min`)."""
SHORT = (
    "  Its word changes every {stay:.3g} s or so: windows are proposed that are no longer than half of that."
)

Ask = Callable[[str, str, str], str]  # question, what the option says, default


@click.command()
@config_option
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--yes", is_flag=True, help="Ask nothing: options, and defaults for the rest.")
@click.option("--broker", default="", help="Address of the broker.  [default: mqtt://localhost:1883]")
@login_options
@click.option(
    "--listen/--no-listen",
    default=None,
    help="Listen to the broker to find its sensors; so do --seconds, --filter, --rebirth, and a --teacher or "
    "--labels without {device}.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 86_400), default=None, help="How long to listen.  [default: 20]"
)
@click.option("--filter", "filters", multiple=True, help="Listen to these topics only; + and # as in MQTT.")
@rebirth_option
@click.option("--sources", default="", help="Which of the sources that were found, as 1,3.  [default: all]")
@click.option(
    "--teacher",
    default="",
    help="Topic that tells classes and teaches; no sensor is on it. Or a metric of Sparkplug, as "
    "Quality/Worn, which no student sees then.",
)
@click.option("--labels", default="", help="Topic that tells what is true; no sensor is on it.")
@click.option("--format", "dialect", default="", help="Format of readings, where none is found by listening.")
@click.option("--topic", default="", help="Topic of readings, where none is found by listening.")
@click.option(
    "--channels", default="", help="Channels, as co2,humidity or co2=$.air.co2.  [default: all found]"
)
@click.option("--prefix", default="", help="First level of the service's own topics.  [default: iot]")
@click.option("--pipeline", default="main", show_default=True, help="Name of the pipeline.")
@click.option(
    "--classes", default="", help="What is to be told apart, as empty,occupied; can be named later."
)
@click.option(
    "--length",
    type=click.IntRange(1),
    default=None,
    help="Readings in a window.  [default: those of 16 s, but 8 at least, and 64 at most; where a teacher is "
    "heard, of half the time for which its word stays at most]",
)
@click.option("--rate", default="", help="Readings in a time, as 10/s; none: as they come.")
def init(
    path: Path,
    force: bool,
    yes: bool,
    broker: str,
    user: str,
    password: str,
    ca: str,
    cert: str,
    key: str,
    listen: bool | None,
    seconds: float | None,
    filters: tuple[str, ...],
    rebirth: bool,
    sources: str,
    teacher: str,
    labels: str,
    dialect: str,
    topic: str,
    channels: str,
    prefix: str,
    pipeline: str,
    classes: str,
    length: int | None,
    rate: str,
) -> None:
    """Write a first configuration: broker, sensors, windows, classes.

    It asks for what no option says. `iot-stream config check` accepts what it writes.
    """
    if listen is False and (seconds or filters or rebirth):
        raise ConfigError("--seconds, --filter and --rebirth are for listening, and --no-listen says not to")
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; --force overwrites it, --config names another")

    def ask(question: str, given: str, default: str) -> str:
        return given or (default if yes else str(click.prompt(question, default)).strip())

    access = Broker(url=ask("Broker", broker, "mqtt://localhost:1883"), ca=ca, cert=cert, key=key)
    if user:
        access = _with_login(access, user, password, ask)
    access.address()  # a wrong one is refused before anything is asked of it
    if listen is None:
        named = [each for each in (teacher, labels) if each and not _names_level(each)]
        listen = bool(seconds or filters or rebirth or named) or (
            not yes and click.confirm("Listen there now, to find sensors?", default=True)
        )
    heard: Sequence[Topic] = ()
    if listen:
        access, heard = _listened(access, password, ask, filters or ("#",), seconds or 20, rebirth)
    if not heard and not access.user and not access.cert:
        access = _with_login(access, "", password, ask)
    prefix = _prefix(at_work(heard), prefix, ask)
    findings = recognise(heard)
    if heard and (missing := not_tried(findings.untried)):
        click.echo(missing, err=True)
    if nodes := unborn(heard):
        click.echo(
            f"no birth was heard of {many(len(nodes), 'Sparkplug node')}: --rebirth asks for it", err=True
        )
    teacher = _teacher(findings, teacher, ask)
    teaching = speaker_by(teacher, findings) if teacher else None
    metric = teacher if teaching else ""
    if teacher and not teaching:
        _check_words_alone("--teacher", teacher)
        teaching = as_zigbee2mqtt(speaker_on(teacher, findings, heard), heard)
    if labels:
        _check_words_alone("--labels", labels)
    labelling = speaker_on(labels, findings, heard) if labels else None
    for speaker in (teaching, labelling):
        if speaker and not speaker.topics and not _names_level(speaker.source.topic):
            raise ConfigError(
                f"nothing was heard on {speaker.source.topic}, which has to speak while init listens: "
                "--seconds says for how long; or write its topic with {device} where the device's name stands"
            )
    findings = _without((teaching, labelling), findings, heard)
    if metric:
        findings = _without_metric(metric, findings)
    if findings.sources:
        findings = _chosen(findings, sources, channels, ask)
        spoken, usual = block(findings), _usual_rate(findings)
    else:
        spoken, usual = _source(dialect, topic, channels, ask), "none"
    usual_classes = ",".join(_class_names(teaching) or _class_names(labelling)) or "none"
    named = _names(ask("What is to be told apart (classes), or none yet", classes, usual_classes))
    grid = ask("Resampled to a rate, as 1/min, or none", rate, usual)
    usual_length = _usual_length(grid)
    if (stay := _usual_stay(teaching or labelling)) and not length:
        usual_length = _within(usual_length, stay, grid if grid != "none" else usual)
        click.echo(SHORT.format(stay=stay / SECOND))
    size = _whole(ask("Readings in a window", str(length or ""), str(usual_length)))
    whom = _whom(teaching, findings)
    text = written(
        _beside(access, path), prefix, pipeline, spoken, named, size, grid, teaching, whom, labelling
    )
    save(path, text)
    click.echo(NEXT.format(path=path))
    how = NO_RECORDINGS.format(topic=teaching.source.topic, n_min=Gate().n_min) if teaching else FILL_IN
    click.echo(how)


def _names_level(topic: str) -> bool:
    """Whether a topic says where the device's name stands; of any other that is found by listening."""
    return "{device}" in topic or "...}" in topic


def _check_words_alone(option: str, topic: str) -> None:
    """Raises ConfigError for a topic of Sparkplug, where a metric says what is meant."""
    if set(topic.split("/")[2:3]) & {*TYPES, "{type}"}:
        raise ConfigError(
            f"{option}: {topic}: Sparkplug tells all metrics there; name the one that tells classes alone, "
            "as --teacher Quality/Worn, while its node speaks; labels are JSON"
        )


def _prefix(taken: Sequence[str], given: str, ask: Ask) -> str:
    """Of a service's topics: each on a broker has its own."""
    if USUAL_PREFIX not in taken:
        return given or USUAL_PREFIX
    free = next(name for n in itertools.count(2) if (name := f"{USUAL_PREFIX}{n}") not in taken)
    click.echo(f"An iot-stream service is at work there, with prefix {USUAL_PREFIX}; two need two prefixes.")
    return ask(f"Prefix of this one, or {USUAL_PREFIX} if it is the same", given, free)


def _with_login(access: Broker, user: str, password: str, ask: Ask) -> Broker:
    user = ask("User name there, or none", user, "none")
    if user == "none":
        return access
    password = ask("Password, or where it is", password, "${MQTT_PASSWORD}")
    return msgspec.structs.replace(access, user=user, password=password)


def _beside(access: Broker, path: Path) -> Broker:
    """With its files as the configuration at `path` names them: what is in its folder goes with that."""
    folder = path.parent.absolute()
    placed = {}
    for name in ("ca", "cert", "key"):
        text = getattr(access, name)
        if text and PEM not in text:
            file = Path(text).absolute()
            placed[name] = str(file.relative_to(folder) if file.is_relative_to(folder) else file)
    return msgspec.structs.replace(access, **placed)


def _listened(
    access: Broker, password: str, ask: Ask, filters: tuple[str, ...], seconds: float, rebirth: bool
) -> tuple[Broker, Sequence[Topic]]:
    """What is heard, and the login that it takes, which is asked for where there is no way without."""
    try:
        return access, listened(access.address(), filters, seconds, until_stopped(), rebirth=rebirth).topics
    except DataError as error:
        click.echo(error.detail, err=True)
        return access, ()
    except BrokerError as error:
        if access.user or isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise
        click.echo(f"without a login: {error}", err=True)
        login = _with_login(access, "", password, ask)
        if not login.user:
            raise
    return _listened(login, password, ask, filters, seconds, rebirth)


def _teacher(findings: Findings, given: str, ask: Ask) -> str:
    """The topic that teaches, or nothing."""
    if not findings.found:
        return given
    for finding in findings.teachers:
        click.echo(f"  {finding.source.topic} tells classes: {told(finding)}")
    for topic, words in itertools.islice(beside(findings).items(), NAMED):
        click.echo(f"  {topic} tells classes beside what it measures: {', '.join(words)}")
    # What is on and off may as well be one more thing that a model shall see: for the person to say.
    naming = [each.source.topic for each in findings.teachers if class_names(each.guess.classes)]
    usual = naming[0] if len(naming) == 1 else "none"
    named = ask("Topic, or metric of Sparkplug, that tells the classes, and teaches, or none", given, usual)
    return "" if named == "none" else named


def _class_names(speaker: Speaker | None) -> tuple[str, ...]:
    return class_names(speaker.classes) if speaker else ()


def _without(speakers: Sequence[Speaker | None], findings: Findings, heard: Sequence[Topic]) -> Findings:
    """What else speaks: a model that saw its teacher's word would learn to repeat it; raises ConfigError."""
    apart = {topic.name for speaker in speakers if speaker for topic in speaker.topics}
    if not apart:
        return findings
    left = recognise([topic for topic in heard if topic.name not in apart])
    if findings.sources and not left.sources:
        raise ConfigError(
            "the topic that teaches or labels is that of all sensors too; name the one that does"
        )
    return left


def _without_metric(metric: str, findings: Findings) -> Findings:
    """The same of a metric of Sparkplug; raises ConfigError."""
    found = []
    for finding in findings.found:
        source = finding.source
        if source.format == "sparkplug":
            channels = {name: place for name, place in source.channels.items() if place != metric}
            finding = replace(finding, source=msgspec.structs.replace(source, channels=channels))
        if finding.source.channels:
            found.append(finding)
    if not found:
        raise ConfigError(
            f"{metric} teaches, and sensors tell nothing else; listen for longer with --seconds"
        )
    return replace(findings, found=found)


def _whom(teaching: Speaker | None, findings: Findings) -> dict[str, list[str]]:
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


def _chosen(findings: Findings, sources: str, channels: str, ask: Ask) -> Findings:
    """The sources and channels that are wanted; raises ConfigError."""
    sure = findings.sources
    for number, finding in enumerate(sure, 1):
        source = finding.source
        click.echo(
            f"  {number}. {source.topic} ({source.format}, {many(len(finding.devices), 'device')}): "
            f"{' '.join(source.channels)}"
        )
    wanted = _names(ask("Sources to take, as 1,3", sources, "all"))
    numbers = [str(number) for number in range(1, len(sure) + 1)]
    if strange := [each for each in wanted if each not in (*numbers, "all")]:
        raise ConfigError(f"--sources: there is no source {strange[0]}; there are {', '.join(numbers)}")
    taken = [
        each
        for number, each in zip(numbers, sure, strict=True)
        if wanted in (["all"], []) or number in wanted
    ]
    names = _names(ask("Channels to take", channels, "all"))
    known = {name for finding in taken for name in finding.source.channels}
    if names not in (["all"], []):
        if strange := [name for name in names if name not in known]:
            raise ConfigError(f"--channels: no source has {strange[0]}; there are {', '.join(sorted(known))}")
        known = set(names)
    kept = []
    for finding in taken:
        own = {name: place for name, place in finding.source.channels.items() if name in known}
        if own:
            kept.append(replace(finding, source=msgspec.structs.replace(finding.source, channels=own)))
    return Findings(kept, [], findings.announced._replace(sensors=[]))


def _source(dialect: str, topic: str, channels: str, ask: Ask) -> str:
    """A source by hand."""
    dialect = ask("Format of the readings", dialect, "telemetry")
    usual = format_of(dialect).topic
    topic = ask("Their topic; {device} stands for the device", topic, usual or "sensors/{device}")
    lines = [f"      - format: {scalar(dialect)}", "        channels:"]
    if topic != usual:
        lines.insert(1, f"        topic: {scalar(topic)}")
    for i, name in enumerate(_names(ask("Channels, as co2,humidity or co2=$.air.co2", channels, "x,y"))):
        name, _, place = name.partition("=")
        place = place or {"json": f"$.{name}", "cbor": f"$.{name}", "array": str(i)}.get(dialect, name)
        lines.append(f"          {scalar(name.strip())}: {scalar(place.strip())}")
    return "".join(f"{line}\n" for line in ["    sources:", *lines])


def _usual_rate(findings: Findings) -> str:
    """That of the slowest source, as a person would have set it."""
    rates = [rate_of(finding.rates) for finding in findings.found if finding.rates]
    return written_rate(rounded_rate(float(np.min(rates))), 2) if rates else "none"


def _usual_length(grid: str) -> int:
    """Some seconds, for a first window shall not be long in coming, and is to show more than a moment."""
    if grid == "none":
        return 64
    doublings = round(math.log2(16 * SECOND / Rate.parse(grid)))
    return 1 << min(6, max(3, doublings))


def _usual_stay(speaker: Speaker | None) -> int:
    """For how long (ns) a word of its stays; 0: not known."""
    return between_changes(speaker.source, speaker.topics) if speaker and speaker.classes else 0


def _within(length: int, stay: int, rate: str) -> int:
    """A length of which two windows fit between changes: one that sees two classes is of neither."""
    if rate == "none":
        return length
    most = max(1, stay // 2 // Rate.parse(rate))
    return min(length, 1 << (most.bit_length() - 1))


def _whole(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"{text!r} is no number of readings; write 64, say")
    return int(text)


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]

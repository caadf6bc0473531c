"""A first configuration, by a few questions."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import msgspec
import numpy as np

from iot_stream.address import Broker
from iot_stream.cli.common import config_option, many, until_stopped
from iot_stream.cli.discover import listened
from iot_stream.config import load
from iot_stream.errors import BrokerError, ConfigError, DataError
from iot_stream.formats import format_of
from iot_stream.ingest.discover import Findings
from iot_stream.ingest.discover.printing import block, not_tried, rate_of, scalar, written_rate
from iot_stream.units import Rate

TEMPLATE = """\
# Written by `iot-stream init`. Every setting is explained in docs/configuration.md.
broker: {broker}
store: sqlite:store                  # a folder; relative to where iot-stream is started
pipelines:
  {pipeline}:
{sources}    window:
      length: {length}                     # readings in a window, which a model sees at once
      # hop: {hop}                       # from one window to the next; left out: no overlap
{rate}    task: {{classify: [{classes}]}}{unnamed}
    # What is true is told on {prefix}/{pipeline}/device/{{device}}/label, or on a topic of yours;
    # until: the end, where it was so for a while:
    # labels: {{topic: "room/{{device}}/state", value: $.value, time: $.time, until: $.until}}
    teacher: {{arch: {teacher}}}           # learns from `recordings`, see below
    # No recordings, but a topic that tells what is true, at once or late? Then that is the teacher:
    # teacher: {{topic: "room/{{device}}/state", value: $.value, time: $.time}}
    # teacher_wait: 8 h                # as long as its words are late; left out: 1 min
    student: {{arch: {student}}}
    # triggers: {{every: 1 day}}         # a round of learning; left out: on command only
    # recordings:                      # what the teacher learns from, once
    #   files: labelled/*.csv
    #   time: time
    #   channels: {{…}}                  # channel: column
    #   label: state
    #   bootstrap: {{teacher: {{}}, student: {{}}}}
"""
RATE = """\
      rate: {rate}                    # resampled to an even grid
      fill: hold                     # between readings the last one holds; or linear
"""
NEXT = """\
{path} is written. Next:
  iot-stream config check --config {path}    what it means
  iot-stream keys init --config {path}       keys that sign models
  iot-stream serve --config {path}           collector, distiller, publisher
  iot-stream windows stats --config {path}   what became of the readings
The teacher learns from `recordings`: fill that part in. Is there a topic that tells what is true, at once or
late? Then no recordings are needed: `teacher: {{topic: …}}` and `labels:`, as the file says."""

Ask = Callable[[str, str, str], str]  # question, what the option says, default


@click.command()
@config_option
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--yes", is_flag=True, help="Ask nothing: options, and defaults for the rest.")
@click.option("--broker", default="", help="Address of the broker.  [default: mqtt://localhost:1883]")
@click.option("--user", default="", help="User name at the broker.")
@click.option("--password", default="", help="'${MQTT_PASSWORD}' is taken from the environment, always.")
@click.option("--listen/--no-listen", default=None, help="Listen to the broker to find its sensors.")
@click.option(
    "--seconds", type=click.FloatRange(0.1, 86_400), default=20, show_default=True, help="How long to listen."
)
@click.option("--filter", "filters", multiple=True, help="Listen to these topics only; + and # as in MQTT.")
@click.option("--sources", default="", help="Which of the sources that were found, as 1,3.  [default: all]")
@click.option("--format", "dialect", default="", help="Format of readings, where none is found by listening.")
@click.option("--topic", default="", help="Topic of readings, where none is found by listening.")
@click.option(
    "--channels", default="", help="Channels, as co2,humidity or co2=$.air.co2.  [default: all found]"
)
@click.option("--pipeline", default="main", show_default=True, help="Name of the pipeline.")
@click.option(
    "--classes", default="", help="What is to be told apart, as empty,occupied; can be named later."
)
@click.option("--length", type=click.IntRange(1), default=None, help="Readings in a window.  [default: 64]")
@click.option("--rate", default="", help="Readings in a time, as 10/s; none: as they come.")
def init(
    path: Path,
    force: bool,
    yes: bool,
    broker: str,
    user: str,
    password: str,
    listen: bool | None,
    seconds: float,
    filters: tuple[str, ...],
    sources: str,
    dialect: str,
    topic: str,
    channels: str,
    pipeline: str,
    classes: str,
    length: int | None,
    rate: str,
) -> None:
    """Write a first configuration: broker, sensors, windows, classes.

    It asks for what no option says. `iot-stream config check` accepts what it writes.
    """
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; --force overwrites it, --config names another")

    def ask(question: str, given: str, default: str) -> str:
        return given or (default if yes else str(click.prompt(question, default)).strip())

    access = Broker(url=ask("Broker", broker, "mqtt://localhost:1883"))
    if user:
        access = _with_login(access, user, password, ask)
    access.address()  # a wrong one is refused before anything is asked of it
    if listen is None:
        listen = not yes and click.confirm("Listen there now, to find sensors?", default=True)
    findings = None
    if listen:
        access, findings = _listened(access, password, ask, filters or ("#",), seconds)
    if not findings and not access.user:
        access = _with_login(access, "", password, ask)
    if findings and (missing := not_tried(findings.untried)):
        click.echo(missing, err=True)
    if findings and any(finding.guess.sure for finding in findings.found):
        findings = _chosen(findings, sources, channels, ask)
        spoken, usual = block(findings), _usual_rate(findings)
    else:
        spoken, usual = _source(dialect, topic, channels, ask), "none"
    named = _names(ask("What is to be told apart (classes), or none yet", classes, "none"))
    size = _whole(ask("Readings in a window", str(length or ""), "64"))
    grid = ask("Resampled to a rate, as 1/min, or none", rate, usual)
    text = _written(access, pipeline, spoken, named, size, grid)
    _save(path, text)
    click.echo(NEXT.format(path=path))


def _with_login(access: Broker, user: str, password: str, ask: Ask) -> Broker:
    user = ask("User name there, or none", user, "none")
    if user == "none":
        return access
    return Broker(access.url, user, ask("Password, or where it is", password, "${MQTT_PASSWORD}"))


def _listened(
    access: Broker, password: str, ask: Ask, filters: tuple[str, ...], seconds: float
) -> tuple[Broker, Findings | None]:
    """What is found, and the login that it takes, which is asked for where there is no way without."""
    try:
        return access, listened(access.address(), filters, seconds, until_stopped())[1]
    except DataError as error:
        click.echo(error.detail, err=True)
        return access, None
    except BrokerError as error:
        if access.user:
            raise
        click.echo(f"without a login: {error}", err=True)
        login = _with_login(access, "", password, ask)
        if not login.user:
            raise
    return _listened(login, password, ask, filters, seconds)


def _chosen(findings: Findings, sources: str, channels: str, ask: Ask) -> Findings:
    """The sources and channels that are wanted; raises ConfigError."""
    sure = [finding for finding in findings.found if finding.guess.sure]
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
    """That of the slowest source."""
    rates = [rate_of(finding.rates) for finding in findings.found if finding.rates]
    return written_rate(float(np.min(rates)), 2) if rates else "none"


def _written(access: Broker, pipeline: str, spoken: str, named: list[str], length: int, rate: str) -> str:
    if rate != "none":
        Rate.parse(rate)
    broker = scalar(access.url)
    if access.user:
        broker = f"{{url: {broker}, user: {scalar(access.user)}, password: {scalar(access.password)}}}"
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
        prefix="iot",
        teacher="mlp" if small else "resnet1d",
        student="mlp" if small else "mobilenet1d",
    )


def _whole(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"{text!r} is no number of readings; write 64, say")
    return int(text)


def _names(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _save(path: Path, text: str) -> None:
    """Only what is a configuration is left behind."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(text, "utf-8")
        load(draft)
        draft.replace(path)
    except ConfigError as error:
        raise ConfigError(f"{path} is not written, for it would not do: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; is its folder there?") from error
    finally:
        draft.unlink(missing_ok=True)

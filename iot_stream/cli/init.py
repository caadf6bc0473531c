"""A first configuration, by a few questions."""

import itertools
import ssl
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from iot_stream.address import PEM, Broker
from iot_stream.cli.common import config_option, lasting, many
from iot_stream.cli.discover import listened, login_options, rebirth_option
from iot_stream.cli.first.asking import Ask, listed, whole
from iot_stream.cli.first.sources import by_hand, chosen, usual_length, usual_rate, within
from iot_stream.cli.first.teacher import names_level, tellers, whom_of
from iot_stream.cli.first.text import USUAL_PREFIX, save, written
from iot_stream.clock import SECOND
from iot_stream.config import Gate
from iot_stream.errors import BrokerError, ConfigError, DataError
from iot_stream.ingest.discover import at_work, recognise
from iot_stream.ingest.discover.heard import Topic
from iot_stream.ingest.discover.printing import block, not_tried
from iot_stream.ingest.discover.sparkplug import unborn
from iot_stream.stopping import until_stopped
from iot_stream.units import Rate

NEXT = """\
{path} is written. Next:
  iot-stream config check --config {path}    what it means
  iot-stream keys init --config {path}       keys that sign models
  iot-stream serve --config {path}           collector, distiller, publisher
  iot-stream windows stats --config {path}   what became of the readings
  iot-stream device add NAME --config {path} > NAME.json
                                             a device that runs the student; each needs its own file
  iot-device run --config NAME.json          that device, or a gateway in its place
  iot-stream dashboard --config {path}       all of it in a browser"""
FILL_IN = """\
The teacher learns from `recordings`: fill that part in. Is there a topic that tells what is true, at once or
late? Then no recordings are needed: `teacher: {topic: …}` and `labels:`, as the file says."""
NO_RECORDINGS = """\
No recordings are needed: the first student comes once {topic} has told two classes,
and {n_min} windows have a word of it (`gate.n_min`){soon}."""
STAND_IN = "Nothing was listened to, which --listen does: topic and channels under `sources` are stand-ins"
SHORT = (
    "  Its word changes every {stay:.3g} s or so: windows are proposed that are no longer than half of that."
)


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
        named = [each for each in (teacher, labels) if each and not names_level(each)]
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
    told = tellers(findings, heard, teacher, labels, ask)
    findings = told.sensors
    if findings.sources:
        findings = chosen(findings, sources, channels, ask)
        spoken, usual = block(findings), usual_rate(findings)
    else:
        spoken, usual = by_hand(dialect, topic, channels, ask), "none"
        if yes and not listen and not (topic and channels):
            click.echo(STAND_IN, err=True)
    usual_classes = ",".join(told.classes) or "none"
    named = listed(ask("What is to be told apart (classes), or none yet", classes, usual_classes))
    grid = ask("Resampled to a rate, as 1/min, or none", rate, usual)
    proposed = usual_length(grid)
    if (stay := told.stay) and not length:
        proposed = within(proposed, stay, grid if grid != "none" else usual)
        click.echo(SHORT.format(stay=stay / SECOND))
    size = whole(ask("Readings in a window", str(length or ""), str(proposed)))
    teaching = told.teaching
    whom = whom_of(teaching, findings)
    text = written(
        _beside(access, path), prefix, pipeline, spoken, named, size, grid, teaching, whom, told.labelling
    )
    save(path, text)
    click.echo(NEXT.format(path=path))
    if teaching:
        soon = _soon(size, grid if grid != "none" else usual)
        click.echo(NO_RECORDINGS.format(topic=teaching.source.topic, n_min=Gate().n_min, soon=soon))
    else:
        click.echo(FILL_IN)


def _soon(length: int, rate: str) -> str:
    """When the first student may be expected, where the pace of readings is known."""
    if rate == "none":
        return ""
    return (
        f":\n{lasting(Gate().n_min * length * Rate.parse(rate) / SECOND)} with one device, less with several"
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

"""Devices of the fleet: a new one, and one whose sensor was replaced."""

import getpass
import sys
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path

import click
import msgspec

from iot_stream import operate
from iot_stream.access import deployment
from iot_stream.access.files import write_private
from iot_stream.cli.common import (
    DEVICE,
    config_option,
    nothing_yet,
    opened,
    pick,
    pipeline_option,
    time_option,
)
from iot_stream.config import Broker, Config, Pipeline, device_upload, load
from iot_stream.device.inputs.kinds import Mqtt, Stdin
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError, DataError, StoreError
from iot_stream.readings import device_name, spoken_name
from iot_stream.release.keys import Keys
from iot_stream.store import Store
from iot_stream.store.sqlite import FILE

NAMED = 5  # devices


@click.group()
def device() -> None:
    """Devices of the fleet."""


@device.command()
@click.argument("name", type=DEVICE)
@config_option
@pipeline_option
@click.option("--broker", help="The broker as the device sees it  [default: the configuration's]")
@click.option("--cohort", default="all", show_default=True, help="Whose model it follows.")
@click.option(
    "--access",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of `iot-stream broker-acl`: the device gets a login of its own there, if it has none.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file that only its owner reads.  [default in a terminal: NAME.json]",
)
def add(
    name: str,
    path: Path,
    pipeline: str | None,
    broker: str | None,
    cohort: str,
    folder: Path | None,
    out: Path | None,
) -> None:
    """Print the file that device NAME starts with: broker, pipeline, root of trust, channels, input.

    In a terminal it is written to NAME.json instead. Where the service reads a sensor's own topic, it is that
    of a gateway, which reads it too. With --access it has the device's user name and password in it. Without,
    no password is written; the device's own stands in its environment as MQTT_PASSWORD.
    """
    config = load(path)
    chosen, settings = pick(config, pipeline)
    if not name:
        raise ConfigError("NAME: a device is needed")
    _check_not_teacher(settings, name)
    root = Keys.load(config.keys_folder).newest_root.decode()
    reads = _input(settings)
    out = out or _in_a_terminal(name)
    if folder is None:
        own = _told(config, broker)
    else:
        if not (folder / deployment.FILE).exists():
            raise ConfigError(f"--access: {folder} is no folder of `iot-stream broker-acl`")
        with deployment.opened(folder, config) as open_:
            open_.add_device(chosen, name)
        own, listens = open_.login(chosen, name)
        if isinstance(reads, Mqtt):
            reads = msgspec.structs.replace(reads, broker=listens)
        if open_.new:
            click.echo(
                f"{name} may in as soon as the broker reads its files again: `{open_.reload}`", err=True
            )
    if isinstance(reads, Mqtt):
        _say_if_unheard(config, chosen, name)
    made = DeviceSettings(
        pipeline=chosen,
        device=name,
        root=root,
        broker=own,
        prefix=config.prefix,
        cohort=cohort,
        state=f"{name}-state",
        channels=settings.cut(settings.student).channels,
        input=reads,
        upload=device_upload(settings),
    )
    if out is None:
        click.echo(made.dump(), nl=False)
    else:
        write_private(out, made.dump().encode())
        click.echo(f"{out} is what {name} starts with: `iot-device run --config {out}`", err=True)


def _check_not_teacher(pipeline: Pipeline, name: str) -> None:
    """What only teaches runs no student; raises ConfigError."""
    taught = {
        device_name(teacher): [meant] if isinstance(meant, str) else list(meant)
        for teacher, meant in (pipeline.teacher.topic.devices if pipeline.teacher.topic else {}).items()
    }
    of_others = {device_name(each) for meant in taught.values() for each in meant}
    if name in taught and name not in of_others:
        raise ConfigError(
            f"{spoken_name(name)} teaches {', '.join(taught[name])} (`devices` under `teacher`), and runs no "
            "student; name one of those"
        )


def _say_if_unheard(config: Config, pipeline: str, name: str) -> None:
    """A gateway of a name that is misspelt would hear nothing for ever; but a device may be added before it
    speaks, so this is a word only."""
    heard = _heard(config, pipeline)
    if not heard or name in heard:
        return
    names = {each.lower(): each for each in heard}
    near = get_close_matches(name.lower(), names, 1)
    hint = f"; is {names[near[0]]} meant?" if near else ""
    others = f" and {len(heard) - NAMED} more" if len(heard) > NAMED else ""
    click.echo(f"no reading of {name} yet; heard are {', '.join(heard[:NAMED])}{others}{hint}", err=True)


def _heard(config: Config, pipeline: str) -> list[str]:
    """Devices with readings; none where there is no store to ask, or none can be asked."""
    place = config.store_place
    if isinstance(place, Path) and not (place / FILE).exists():
        return []
    try:
        with closing(Store(place)) as store:
            return list(store.journal.readings(pipeline))
    except StoreError:
        return []


def _in_a_terminal(name: str) -> Path | None:
    """The file in place of what would flood it; raises ConfigError if it is there, for somebody may have
    written more into it."""
    if not sys.stdout.isatty():
        return None
    file = Path(f"{name}.json")
    if file.exists():
        raise ConfigError(f"{file} is there already; `--out {file}` overwrites it")
    return file


def _told(config: Config, broker: str | None) -> Broker:
    """The configuration's broker, without its password."""
    if config.access.logins:
        raise ConfigError("--access: name the folder of `iot-stream broker-acl`, for each device has a login")
    address = config.address
    password = "${MQTT_PASSWORD}" if address.user else ""
    return Broker(url=broker or str(address), user=address.user, password=password, ca=address.ca)


def _input(pipeline: Pipeline) -> Stdin | Mqtt:
    """What a device reads itself, or the one topic of others that has the student's channels."""
    source = pipeline.spoken_by_others
    return Stdin() if source is None else Mqtt(**msgspec.structs.asdict(source))


@device.command()
@click.argument("name", type=DEVICE)
@config_option
@pipeline_option
@time_option("--at", default=None, help="Since when  [default: now]")
def replaced(name: str, path: Path, pipeline: str | None, at: int | None) -> None:
    """Another sensor speaks as NAME: what was learnt and remembered of the former one is not held against it.

    Its windows begin anew, and rounds learn from windows since then only.
    """
    config, store = opened(path)
    chosen, settings = pick(config, pipeline)
    click.echo(operate.replaced(store, "cli", chosen, settings, name, at))


@device.command()
@click.argument("name", type=DEVICE)
@click.argument("tags", nargs=-1, required=True, metavar="TAG=VALUE…")
@config_option
@pipeline_option
def tag(name: str, tags: tuple[str, ...], path: Path, pipeline: str | None) -> None:
    """Say what device NAME is: `cohorts: {by: TAG}` gives those of one VALUE a student of their own.

    What is said here stands over what a topic says. An empty VALUE puts the device back among all others.
    """
    config, store = opened(path)
    chosen, _ = pick(config, pipeline)
    operate.known_device(store, chosen, name)
    found = {}
    for each in tags:
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise ConfigError(f"{each!r}: write TAG=VALUE, as line=4")
        try:
            found[key] = device_name(value) if value else ""
        except DataError as error:
            raise ConfigError(f"{each!r}: {error.detail}") from error
    with store.write() as tx:
        store.cohorts.tag(tx, chosen, name, found, "cli")
    click.echo(f"{name}: {', '.join(f'{key} is {value or chr(8212)}' for key, value in found.items())}")


@device.command()
@click.argument("name", type=DEVICE)
@config_option
@pipeline_option
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the publisher.")
def forget(name: str, path: Path, pipeline: str | None, wait: float) -> None:
    """Take NAME, which will not come back, off the broker, the list of devices and Home Assistant.

    Its readings and windows stay until retention takes them. A device that is online cannot be forgotten.
    """
    config, store = opened(path)
    chosen, _ = pick(config, pipeline)
    click.echo(operate.forget(store, "cli", wait, chosen, name))


def _pinning(action: str, says: str, *, pinned: bool) -> None:
    """A subcommand that has a device stay at its version, or not."""

    @device.command(action, help=says)
    @click.argument("name", type=DEVICE)
    @config_option
    @pipeline_option
    @click.option("--reason", required=True, help="Why, for those who read `iot-stream rollout`.")
    @click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the publisher.")
    def command(name: str, path: Path, pipeline: str | None, reason: str, wait: float) -> None:
        config, store = opened(path)
        chosen, _ = pick(config, pipeline)
        person = getpass.getuser()
        click.echo(operate.pin(store, "cli", person, wait, chosen, name, reason, pinned=pinned))


_pinning("pin", "Have NAME stay at the version that it runs, whatever is released.", pinned=True)
_pinning("unpin", "Have NAME, which is pinned, take releases again.", pinned=False)


@device.command("list")
@config_option
@pipeline_option
def list_devices(path: Path, pipeline: str | None) -> None:
    """Devices, the cohort whose student each follows, and the version it says it runs."""
    config, store = opened(path)
    chosen, _ = pick(config, pipeline)
    members = store.cohorts.members(chosen)
    seen = {each.device: each for each in store.registry.devices(chosen)}
    if not seen | members:
        nothing_yet("no device", "`iot-stream device add NAME` writes the file that one starts with")
    for name in sorted(seen | members):
        known = seen.get(name)
        running = "never seen"
        if known:
            pinned = ", pinned" if known.pinned else ""
            running = f"version {known.version}{pinned}, {'online' if known.online else 'offline'}"
        cohort = members.get(name, known.cohort if known else "all")
        click.echo(f"{name:24} {cohort:20} {running}")

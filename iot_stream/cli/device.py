"""Devices of the fleet: a new one, and one whose sensor was replaced."""

from pathlib import Path

import click
import msgspec

from iot_stream.cli.common import (
    config_option,
    known_device,
    opened,
    pick,
    pipeline_option,
    time_option,
)
from iot_stream.clock import iso, wall
from iot_stream.config import Broker, load
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import check_device_name, device_name
from iot_stream.release.keys import Keys


@click.group()
def device() -> None:
    """Devices of the fleet."""


@device.command()
@click.argument("name")
@config_option
@pipeline_option
@click.option("--broker", help="The broker as the device sees it  [default: the configuration's]")
@click.option("--cohort", default="all", show_default=True, help="Whose model it follows.")
def add(name: str, path: Path, pipeline: str | None, broker: str | None, cohort: str) -> None:
    """Print the file that device NAME starts with: broker, pipeline, root of trust.

    The broker's password is not written; the device's own stands in its environment as MQTT_PASSWORD.
    """
    config = load(path)
    chosen, _ = pick(config, pipeline)
    try:
        check_device_name(name)
    except DataError as error:
        raise ConfigError(f"NAME: {error.detail}") from error
    root = Keys.load(config.keys_folder).newest_root.decode()
    address = config.address
    own = Broker(
        url=broker or str(address),
        user=address.user,
        password="${MQTT_PASSWORD}" if address.user else "",
        ca=address.ca,
    )
    settings = DeviceSettings(
        pipeline=chosen, device=name, root=root, broker=own, prefix=config.prefix, cohort=cohort
    )
    click.echo(msgspec.structs.replace(settings, state=f"{name}-state").dump(), nl=False)


@device.command()
@click.argument("name")
@config_option
@pipeline_option
@time_option("--at", default=None, help="Since when  [default: now]")
def replaced(name: str, path: Path, pipeline: str | None, at: int | None) -> None:
    """Another sensor speaks as NAME: what was learnt and remembered of the former one is not held against it.

    Its windows begin anew, and rounds learn from windows since then only.
    """
    config, store = opened(path)
    chosen, settings = pick(config, pipeline)
    known_device(store, chosen, name)
    now = store.journal.now(chosen) if settings.clock == "stream" else wall()
    since = now if at is None else at
    store.scope.replace("cli", chosen, name, since)
    click.echo(f"{name} is another sensor since {iso(since)}")


@device.command()
@click.argument("name")
@click.argument("tags", nargs=-1, required=True, metavar="TAG=VALUE…")
@config_option
@pipeline_option
def tag(name: str, tags: tuple[str, ...], path: Path, pipeline: str | None) -> None:
    """Say what device NAME is: `cohorts: {by: TAG}` gives those of one VALUE a student of their own.

    What is said here stands over what a topic says. An empty VALUE puts the device back among all others.
    """
    config, store = opened(path)
    chosen, _ = pick(config, pipeline)
    known_device(store, chosen, name)
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


@device.command("list")
@config_option
@pipeline_option
def list_devices(path: Path, pipeline: str | None) -> None:
    """Devices, the cohort whose student each follows, and the version it says it runs."""
    config, store = opened(path)
    chosen, _ = pick(config, pipeline)
    members = store.cohorts.members(chosen)
    seen = {each.device: each for each in store.registry.devices(chosen)}
    for name in sorted(seen | members):
        known = seen.get(name)
        running = (
            f"version {known.version}, {'online' if known.online else 'offline'}" if known else "never seen"
        )
        cohort = members.get(name, known.cohort if known else "all")
        click.echo(f"{name:24} {cohort:20} {running}")

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
from iot_stream.readings import check_device_name
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

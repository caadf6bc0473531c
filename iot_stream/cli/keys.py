"""Keys, and the files that devices start with."""

from pathlib import Path

import click
import msgspec

from iot_stream.cli.common import config_option, keys_folder, pick, pipeline_option
from iot_stream.config import Broker, load
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import check_device_name
from iot_stream.release.keys import Keys


@click.group()
def keys() -> None:
    """The keys that sign what devices run."""


@keys.command()
@config_option
@click.option("--root-keys", default=3, show_default=True, help="How many root keys.")
@click.option("--threshold", default=2, show_default=True, help="How many of them must sign a new root.")
def init(path: Path, root_keys: int, threshold: int) -> None:
    """Make keys: one that signs releases and stays here, and root keys to be kept apart and offline."""
    folder = keys_folder(load(path))
    Keys.create(folder, root_keys, threshold)
    click.echo(f"keys are in {folder}\nMove {folder / 'root'}/*.pem off this machine, each to another place.")


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
    root = Keys.load(keys_folder(config)).newest_root.decode()
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

"""Keys, and the files that devices start with."""

from pathlib import Path

import click

from iot_stream.cli.common import config_option
from iot_stream.config import load
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
    folder = load(path).keys_folder
    Keys.create(folder, root_keys, threshold)
    click.echo(f"keys are in {folder}\nMove {folder / 'root'}/*.pem off this machine, each to another place.")

"""Keys, and the files that devices start with."""

from pathlib import Path

import click

from iot_stream.cli.common import config_option
from iot_stream.config import load
from iot_stream.release import succession
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


root_key_option = click.option(
    "--root-key",
    "signing",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A root key's file, as often as there are keys to sign with  [default: those in keys/root]",
)


@keys.command()
@config_option
def show(path: Path) -> None:
    """The newest root: its keys, how many must sign, where private ones lie, and until when it holds."""
    folder = load(path).keys_folder
    root, known = succession.shown(folder)
    role = root.roles["root"]
    sign = f"{role.threshold} of {len(role.keyids)} keys sign"
    click.echo(f"root {root.version}, {sign}, until {root.expires:%Y-%m-%d}")
    for key in known:
        where = f"private key at {key.private}" if key.private else "private key not here, as it should be"
        click.echo(f"{key.role:6}  {key.keyid}  {where}")


@keys.command()
@config_option
@root_key_option
def rotate(path: Path, signing: tuple[Path, ...]) -> None:
    """A new online key in place of the old one, which then signs nothing any more that devices take.

    A running publisher takes it up by itself and signs all releases again; every device gets one message.
    """
    folder = load(path).keys_folder
    version = succession.rotate(folder, signing)
    click.echo(f"root {version} names a new online key; bring the root keys away again")


@keys.command()
@click.argument("keyid")
@config_option
@root_key_option
def revoke(keyid: str, path: Path, signing: tuple[Path, ...]) -> None:
    """Another key in place of KEYID (its beginning will do), which was lost or stolen."""
    folder = load(path).keys_folder
    version = succession.revoke(folder, keyid, signing)
    click.echo(f"root {version} names another key for {keyid}; bring the root keys away again")

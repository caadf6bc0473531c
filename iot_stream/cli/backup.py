"""The registry and the keys in one file, and back."""

import tarfile
import tempfile
from pathlib import Path

import click

from iot_stream.cli.common import config_option, opened
from iot_stream.config import load
from iot_stream.errors import ConfigError
from iot_stream.release.keys import ROOT_DIRECTORY, Keys
from iot_stream.store import Store
from iot_stream.store import backup as registry

REGISTRY, KEYS = "registry.db", "keys"


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@click.option(
    "--with-root-keys", is_flag=True, help="Also root keys that lie in keys/root; keep such a file offline."
)
def backup(file: Path, path: Path, with_root_keys: bool) -> None:
    """Write models, rounds, releases, devices and decisions, and the keys, to FILE; the service may run.

    Readings and windows are not in it. Whoever has the file can sign releases: keep it as you keep keys.
    """
    config, store = opened(path)
    if file.exists():
        raise ConfigError(f"{file} is there already; name another")
    Keys.load(config.keys_folder)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as scratch:
        counts = registry.save(store, Path(scratch) / REGISTRY)
        packed = Path(scratch) / "backup.tar.gz"
        packed.touch(0o600)
        with tarfile.open(packed, "w:gz") as tar:
            tar.add(Path(scratch) / REGISTRY, REGISTRY)
            for key in sorted(config.keys_folder.rglob("*")):
                name = key.relative_to(config.keys_folder)
                if key.is_file() and (with_root_keys or ROOT_DIRECTORY not in name.parts):
                    tar.add(key, f"{KEYS}/{name}")
        packed.rename(file)
    click.echo(
        f"{file}: {counts['versions']} versions, {counts['rounds']} rounds, {counts['devices']} devices, keys"
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@config_option
def restore(file: Path, path: Path) -> None:
    """Put what `backup` wrote to FILE into a new store and keys folder; then start the service.

    Releases go on above the numbers that the broker and the devices have seen meanwhile.
    """
    config = load(path)
    if config.keys_folder.exists() and any(config.keys_folder.iterdir()):
        raise ConfigError(f"{config.keys_folder} is not empty, and keys are never overwritten")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with tarfile.open(file) as tar:
                tar.extractall(scratch, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ConfigError(f"{file} is not a whole backup: {error}") from error
        folder = Path(scratch)
        if not (folder / REGISTRY).is_file() or not (folder / KEYS).is_dir():
            raise ConfigError(f"{file} is no backup of iot-stream's: it has no {REGISTRY} or no {KEYS}")
        Keys.load(folder / KEYS)
        counts = registry.restore(folder / REGISTRY, Store(config.store_place))
        _move(folder / KEYS, config.keys_folder)
    click.echo(_told(counts))


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[table]} {table}" for table in ("versions", "rounds", "devices")) + ", keys"


def _move(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for key in sorted(source.rglob("*")):
        place = target / key.relative_to(source)
        if key.is_dir():
            place.mkdir(mode=0o700, exist_ok=True)
        else:
            place.write_bytes(key.read_bytes())
            place.chmod(0o644 if key.suffix == ".json" else 0o600)

"""Learning paused and resumed, of a pipeline or of one device; scoring and serving go on."""

from pathlib import Path

import click

from iot_stream.cli.common import config_option, known_device, opened, pick, time_option
from iot_stream.clock import iso, wall
from iot_stream.config import Config, Pipeline
from iot_stream.errors import ConfigError
from iot_stream.store import Store


@click.command()
@click.argument("target", metavar="[PIPELINE[/DEVICE]]", default="")
@config_option
@time_option("--since", default=None, help="From this time on  [default: now]")
@click.option("--reason", default="", help="Why, for those who read the list.")
def pause(target: str, path: Path, since: int | None, reason: str) -> None:
    """Learn nothing from what PIPELINE, or one DEVICE of it, says from now on; without either: list.

    The list also has devices that the distiller holds by itself because they look broken, and why. All are
    scored and served as before. What is to become of one a person decides:

    \b
    iot-stream resume PIPELINE/DEVICE     it is fine: learn from it, also from what it has said meanwhile
    iot-stream device replaced DEVICE     another sensor: learn from what comes now
    iot-stream exclude add --device …     it was broken and is mended: exclude that time, then resume
    """
    config, store = opened(path)
    if not target:
        _list(config, store)
        return
    if not reason:
        raise ConfigError("--reason: say why; others will read it")
    name, settings, device = _named(config, store, target)
    begins = _now(store, name, settings) if since is None else since
    if not store.scope.hold("cli", name, device, begins, reason):
        raise ConfigError(f"{target} is paused already; `iot-stream pause` says since when and why")
    click.echo(f"{target}: nothing is learnt from what it says since {iso(begins)}")


@click.command()
@click.argument("target", metavar="PIPELINE[/DEVICE]")
@config_option
def resume(target: str, path: Path) -> None:
    """Learn from PIPELINE, or one DEVICE of it, again, also from what it has said while it was paused.

    What a device has said until now counts as what it is like: it is not held again for that.
    """
    config, store = opened(path)
    name, settings, device = _named(config, store, target)
    if not store.scope.resume(name, device, _now(store, name, settings)):
        raise ConfigError(f"{target} is not paused; `iot-stream pause` lists what is")
    click.echo(f"{target} is learnt from again")


def _list(config: Config, store: Store) -> None:
    for name in config.pipelines:
        for held in store.scope.holds(name):
            target = f"{name}/{held.device}" if held.device else name
            click.echo(f"{target:30} since {iso(held.since)}  by {held.who}: {held.reason}")


def _named(config: Config, store: Store, target: str) -> tuple[str, Pipeline, str]:
    """Pipeline and device, "" for all devices; raises ConfigError."""
    name, _, device = target.partition("/")
    name, settings = pick(config, name)
    if device:
        known_device(store, name, device)
    return name, settings, device


def _now(store: Store, name: str, settings: Pipeline) -> int:
    return store.journal.now(name) if settings.clock == "stream" else wall()

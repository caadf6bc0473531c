"""`iot-simulator`: a fleet of devices over MQTT, each running the real device client.

\b
iot-simulator --config examples/bearing/config.yml --scenario examples/bearing/scenario.yml
iot-simulator --config examples/occupancy/config.yml --recordings --speed 7680
"""

import logging
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Protocol

import click

from iot_stream import logs, recordings
from iot_stream.config import Config, Pipeline, device_upload, load
from iot_stream.errors import ConfigError, IotStreamError
from iot_stream.stopping import until_stopped
from simulator.fleet import Fleet
from simulator.ledger import Bookkeeper, Ledger
from simulator.playback import Playback
from simulator.scenario import LabelPlan, Scenario, read
from simulator.station import Station, settings_for
from simulator.world import world


class _Show(Protocol):
    def start(self) -> None: ...
    def run(self, stopping: threading.Event) -> Ledger: ...
    def stop(self) -> None: ...


def _pipeline(config: Config, name: str) -> tuple[str, Pipeline]:
    if not name and len(config.pipelines) == 1:
        return next(iter(config.pipelines.items()))
    if name not in config.pipelines:
        raise ConfigError(f"--pipeline: {name!r} is none of {', '.join(config.pipelines)}")
    return name, config.pipelines[name]


def _fleet(config: Config, scenario: Scenario, root: Path, state: Path) -> Fleet:
    pipeline, settings = _pipeline(config, scenario.pipeline)
    place = world(scenario.world)
    if place.classes != settings.classes:
        raise ConfigError(f"task: world {place.name} has the classes {', '.join(place.classes)}")

    def station(device: str, book: Bookkeeper, rng: random.Random) -> Station:
        address = config.as_device(pipeline, device).address
        device_settings = settings_for(
            address, config.prefix, pipeline, device, root, state, device_upload(settings)
        )
        return Station(
            device_settings, place.channels, place.classes, scenario.faults, scenario.labels, book, rng
        )

    return Fleet(place, scenario, station)


def _playback(config: Config, folder: Path, scenario: Scenario, root: Path, state: Path) -> Playback:
    pipeline, settings = _pipeline(config, scenario.pipeline)
    if settings.recordings is None or not settings.recordings.files:
        raise ConfigError(f"pipelines.{pipeline}.recordings.files: nothing to play")
    whole = recordings.load(settings.recordings, settings.classes, folder)
    played = recordings.select(whole, settings.recordings.stream, settings.recordings)
    if not played:
        raise ConfigError(f"pipelines.{pipeline}.recordings.stream: selects nothing")

    def station(device: str, channels: tuple[str, ...], book: Bookkeeper, rng: random.Random) -> Station:
        address = config.as_device(pipeline, device).address
        device_settings = settings_for(
            address, config.prefix, pipeline, device, root, state, device_upload(settings)
        )
        labels = LabelPlan(fraction=0)  # the recordings' own plan says what becomes known
        return Station(device_settings, channels, settings.classes, scenario.faults, labels, book, rng)

    return Playback(played, settings, scenario.speed, station, scenario.seed)


def _root(config: Config, given: Path | None, patience_s: float) -> Path:
    """The devices' root of trust; the service may be about to make it."""
    path = given or config.keys_folder / "1.root.json"
    deadline = time.monotonic() + patience_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    if not path.exists():
        raise ConfigError(
            f"no root of trust at {path}; `iot-stream keys init` makes it, --root names another place"
        )
    return path


@click.command(help=__doc__)
@click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="the service's configuration"
)
@click.option(
    "--scenario", type=click.Path(path_type=Path), help="what the fleet does (YAML); options below change it"
)
@click.option(
    "--recordings", "play", is_flag=True, help="play the configuration's recordings instead of a world"
)
@click.option("--pipeline", help="of the configuration, where it has several")
@click.option("--world", "world_name", help="bearing or features")
@click.option("--devices", type=int, help="size of the fleet")
@click.option("--seconds", type=float, help="how long")
@click.option("--speed", type=float, help="recordings: so many times faster than life")
@click.option("--seed", type=int, help="of everything random")
@click.option("--broker", help="another broker than the configuration's")
@click.option(
    "--root", type=click.Path(path_type=Path), help="root of trust [default: 1.root.json among the keys]"
)
@click.option(
    "--state", type=click.Path(path_type=Path), help="folder of the devices' models [default: a new one]"
)
@click.option("--ledger", type=click.Path(path_type=Path), help="write here what was sent and true")
@click.option(
    "--linger", type=float, default=0.0, show_default=True, help="seconds to stay connected at the end"
)
@click.option(
    "--patience", type=float, default=60.0, show_default=True, help="seconds to wait for the root of trust"
)
def main(
    path: Path,
    scenario: Path | None,
    play: bool,
    root: Path | None,
    state: Path | None,
    ledger: Path | None,
    broker: str | None,
    linger: float,
    patience: float,
    **options: Any,
) -> None:
    logs.configure(logging.WARNING, "iot-simulator: %(message)s")
    stopping = until_stopped()
    try:
        config = load(path, **({"broker": broker} if broker else {}))
        names = {"world_name": "world"}
        changes = {names.get(name, name): value for name, value in options.items() if value is not None}
        plan = read(scenario, changes)
        trusted = _root(config, root, patience)
        with tempfile.TemporaryDirectory(prefix="iot-simulator-") as scratch:
            folder = state or Path(scratch)
            show: _Show = (
                _playback(config, path.parent, plan, trusted, folder)
                if play
                else _fleet(config, plan, trusted, folder)
            )
            _run(show, stopping, ledger, linger)
    except IotStreamError as error:
        click.echo(f"iot-simulator: {error}", err=True)
        sys.exit(error.exit_code)


def _run(show: _Show, stopping: threading.Event, ledger: Path | None, linger: float) -> None:
    try:
        show.start()
        result = show.run(stopping)
        if ledger:
            result.write(ledger)
        readings = sum(block.n for block in result.blocks)
        click.echo(f"iot-simulator: {readings} readings acknowledged, {result.unacknowledged} messages not")
        stopping.wait(linger)  # devices still follow releases
    finally:
        show.stop()


if __name__ == "__main__":
    main()

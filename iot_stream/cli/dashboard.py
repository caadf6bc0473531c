"""See the service in a browser."""

from pathlib import Path

import click
import msgspec

from iot_stream.cli.common import config_option, opened, until_part_stopped
from iot_stream.cli.parts import supervised_option
from iot_stream.config import Dashboard
from iot_stream.errors import ConfigError


@click.command()
@config_option
@supervised_option
@click.option("--host", help="Listen here, whatever `dashboard.host` says; 127.0.0.1 where it says nothing.")
@click.option("--port", type=click.IntRange(0, 65535), help="As --host; 8480 where nothing is said.")
@click.option("--read-only", is_flag=True, help="Nothing can be changed from a browser.")
def dashboard(path: Path, supervised: bool, host: str | None, port: int | None, read_only: bool) -> None:
    """Show in a browser whether the promise holds: accuracy, fleet, rounds, models, as they happen.

    It meets the service in the store, so it may start and end at any time, beside a running service. The
    address and, unless --read-only, the token with which things can be changed are printed at its start.
    """
    try:
        from iot_stream.watch.dashboard.server import Server
    except ImportError as error:
        raise ConfigError("dashboard: needs starlette: pip install 'iot-stream[dashboard]'") from error

    config, store = opened(path)
    given: dict[str, object] = {
        name: value for name, value in (("host", host), ("port", port)) if value is not None
    }
    if read_only:
        given["read_only"] = True
    settings = msgspec.structs.replace(config.dashboard or Dashboard(), **given)
    config = msgspec.structs.replace(config, dashboard=settings)
    Server(config.as_part("dashboard"), store, path).run(
        until_part_stopped(supervised), lambda line: click.echo(f"iot-stream: {line}", err=True)
    )

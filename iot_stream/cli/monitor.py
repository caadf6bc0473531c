"""Watch the service on the broker."""

from datetime import datetime
from pathlib import Path

import click

from iot_stream.cli.common import config_option, until_stopped
from iot_stream.config import load
from iot_stream.watch.monitor import Monitor


@click.command()
@config_option
def monitor(path: Path) -> None:
    """Model updates, rounds and devices, a line each, as they happen. Ctrl-C ends."""
    stopping = until_stopped()
    watcher = Monitor(load(path), lambda line: click.echo(f"{datetime.now():%H:%M:%S} {line}"))
    watcher.start()
    try:
        stopping.wait()
    finally:
        watcher.stop()

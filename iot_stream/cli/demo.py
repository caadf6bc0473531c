"""See it work."""

import sys
import time
from pathlib import Path

import click

from iot_stream.cli.common import until_stopped


@click.command()
@click.option("--office", is_flag=True, help="A real recording: one office, eight days in about 90 seconds.")
@click.option(
    "--broker",
    "kind",
    type=click.Choice(["auto", "mosquitto", "embedded"]),
    default="auto",
    show_default=True,
    help="auto: mosquitto where it is found.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    help="Folder of the run  [default: runs/demo or runs/office]",
)
def demo(office: bool, kind: str, target: Path | None) -> None:
    """Twelve machines, one teacher: the machines change, the students recover. Ends by itself.

    Starts a broker, the service and a simulated fleet, shows what happens, and writes report.html and
    summary.json. Exit code 0 only if nothing was lost, doubled or missed, and the student recovered.
    """
    from iot_stream.evaluate import demo as demos

    show = demos.OFFICE if office else demos.MACHINES
    began = time.monotonic()
    stopping = until_stopped()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f}  {line}" if line else "")

    sys.exit(demos.run(show, target or Path("runs") / show.name, kind, say, stopping))  # type: ignore[arg-type]

"""See it work."""

import sys
import time
from pathlib import Path

import click

from iot_stream.stopping import until_stopped


@click.command()
@click.option("--office", is_flag=True, help="A real recording: one office, eight days in about 90 seconds.")
@click.option(
    "--rollback",
    is_flag=True,
    help="A bad version gets past the gate and is taken back by itself.",
)
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
    help="Folder of the run  [default: runs/demo, runs/office or runs/rollback]",
)
def demo(office: bool, rollback: bool, kind: str, target: Path | None) -> None:
    """Twelve machines, one teacher: the machines change, the students recover. Ends by itself.

    Starts a broker, the service and a simulated fleet, shows what happens, and writes report.html and
    summary.json. Exit code 0 only if nothing was lost, doubled or missed, and the student recovered.
    """
    from iot_stream.evaluate import demo as demos

    if office and rollback:
        raise click.UsageError("--office, --rollback: one at a time")
    show = demos.OFFICE if office else demos.ROLLBACK if rollback else demos.MACHINES
    began = time.monotonic()
    stopping = until_stopped()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f}  {line}" if line else "")

    sys.exit(demos.run(show, target or Path("runs") / show.name, kind, say, stopping))  # type: ignore[arg-type]

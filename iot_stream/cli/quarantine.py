"""Messages that could not be used: look at them, take them again when the configuration is mended, or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from iot_stream import operate
from iot_stream.cli.common import DEVICE, config_option, opened, pick, pipeline_option
from iot_stream.clock import iso
from iot_stream.errors import ConfigError

SHOWN = 2000  # bytes of a payload


@click.group()
def quarantine() -> None:
    """Messages that could not be used."""


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--reason", default="", help="Those of this reason."),
        click.option("--device", type=DEVICE, default="", help="Those of this device."),
        pipeline_option,
        config_option,
    ):
        command = option(command)
    return command


@quarantine.command("list")
@_filters
def list_messages(path: Path, pipeline: str | None, device: str, reason: str) -> None:
    """The newest thousand messages that could not be used, and why."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    found = store.faults.quarantined(name, device=device, reason=reason)
    for row in found:
        click.echo(f"{row.id:>6}  {iso(row.at)}  {row.reason:15}  {row.topic}: {row.detail}")
    if found:
        click.echo(
            "`quarantine show NUMBER` shows one as it came; `replay` takes it again, `drop` forgets it",
            err=True,
        )


@quarantine.command()
@click.argument("number", type=int)
@config_option
@pipeline_option
def show(number: int, path: Path, pipeline: str | None) -> None:
    """Message NUMBER as it came."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    found = store.faults.quarantined(name, ids=[number])
    if not found:
        raise ConfigError(f"{name} has no message {number}; `iot-stream quarantine list` shows them")
    (row,) = found
    click.echo(f"{row.topic}\n{iso(row.at)}  {row.reason}: {row.detail}\n{row.size} bytes\n")
    try:
        click.echo(row.payload[:SHOWN].decode())
    except UnicodeDecodeError:
        click.echo(row.payload[:SHOWN].hex(" "))


def _asking(command: Callable[..., Any]) -> Callable[..., Any]:
    numbers = click.argument("numbers", type=int, nargs=-1)
    everything = click.option("--all", "everything", is_flag=True, help="All of the pipeline.")
    wait = click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the collector.")
    return numbers(everything(wait(_filters(command))))


def _ask(
    kind: str,
    path: Path,
    pipeline: str | None,
    numbers: tuple[int, ...],
    device: str,
    reason: str,
    everything: bool,
    wait: float,
) -> None:
    if not (numbers or device or reason or everything):
        raise ConfigError("say which: their NUMBERS, --device, --reason or --all")
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    which = {"ids": numbers, "device": device, "reason": reason}
    click.echo(operate.ask(store, "cli", operate.COLLECTOR, wait, kind, name, **which))


@quarantine.command()
@_asking
def replay(**which: Any) -> None:
    """Take messages again, as if they came now (the running collector does it, with its configuration)."""
    _ask("quarantine_replay", **which)


@quarantine.command()
@_asking
def drop(**which: Any) -> None:
    """Forget messages."""
    _ask("quarantine_drop", **which)

"""Incidents that are not to be learnt from."""

from pathlib import Path

import click

from iot_stream import operate
from iot_stream.cli.common import DEVICE, config_option, opened, pick, pipeline_option, time_option
from iot_stream.clock import iso


@click.group()
def exclude() -> None:
    """Times that are not to be learnt from."""


@exclude.command()
@config_option
@pipeline_option
@click.option("--device", type=DEVICE, default="", help="Whose  [default: all devices]")
@time_option("--from", "start", required=True, help="From this time on (ISO 8601, or a number since 1970).")
@time_option("--to", "end", required=True, help="To this time.")
@click.option("--reason", required=True, help="Why, for those who read the list.")
def add(path: Path, pipeline: str | None, device: str, start: int, end: int, reason: str) -> None:
    """Take an incident out of all training, from the next round on.

    What earlier rounds learnt from it stays learnt: `iot-stream models rollback` goes back before it.
    """
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    click.echo(operate.exclude(store, "cli", name, device, start, end, reason))


@exclude.command("list")
@config_option
@pipeline_option
def list_exclusions(path: Path, pipeline: str | None) -> None:
    """What is excluded, and why; then sensors that were replaced."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    for each in store.scope.exclusions(name):
        times = f"{iso(each.start)} … {iso(each.end)}"
        click.echo(f"{each.id:>6}  {each.device or '(all)':20} {times}  {each.reason}")
    for device, since in store.scope.replacements(name).items():
        click.echo(f"        {device:20} replaced {', '.join(iso(each) for each in since)}")


@exclude.command()
@click.argument("number", type=int)
@config_option
@pipeline_option
def remove(number: int, path: Path, pipeline: str | None) -> None:
    """Learn from what NUMBER excluded."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    click.echo(operate.include(store, name, number))

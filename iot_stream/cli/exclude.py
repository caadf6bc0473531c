"""Incidents that are not to be learnt from."""

from pathlib import Path

import click

from iot_stream.cli.common import config_option, known_device, opened, pick, pipeline_option, time_option
from iot_stream.clock import iso
from iot_stream.errors import ConfigError


@click.group()
def exclude() -> None:
    """Times that are not to be learnt from."""


@exclude.command()
@config_option
@pipeline_option
@click.option("--device", default="", help="Whose  [default: all devices]")
@time_option("--from", "start", required=True, help="From this time on (ISO 8601, or a number since 1970).")
@time_option("--to", "end", required=True, help="To this time.")
@click.option("--reason", required=True, help="Why, for those who read the list.")
def add(path: Path, pipeline: str | None, device: str, start: int, end: int, reason: str) -> None:
    """Take an incident out of all training, from the next round on.

    What earlier rounds learnt from it stays learnt: `iot-stream models rollback` goes back before it.
    """
    if end < start:
        raise ConfigError(f"--to {iso(end)} is before --from {iso(start)}")
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    if device:
        known_device(store, name, device)
    number = store.scope.exclude("cli", name, device, start, end, reason)
    click.echo(f"{number}: {device or 'all devices'} from {iso(start)} to {iso(end)} not to be learnt from")


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
    if not store.scope.remove(name, number):
        raise ConfigError(f"{name} has no exclusion {number}; `iot-stream exclude list` shows them")
    click.echo(f"{number} removed")

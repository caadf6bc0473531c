"""Versions of the student: what there is, where it came from, and back again."""

import getpass
import json
from pathlib import Path

import click

from iot_stream import operate
from iot_stream.cli.common import config_option, nothing_yet, opened, pick, pipeline_option
from iot_stream.clock import iso
from iot_stream.config.cohorts import ALL
from iot_stream.errors import ConfigError

cohort_option = click.option("--cohort", default=ALL, show_default=True, help="Whose versions are meant.")


@click.group()
def models() -> None:
    """Versions of the student."""


@models.command("list")
@config_option
@pipeline_option
def list_versions(path: Path, pipeline: str | None) -> None:
    """All versions, their gate, and how many devices run each."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    running = [(device.cohort, device.version) for device in store.registry.devices(name)]
    several = len(store.registry.cohorts(name)) > 1
    cohort = f"  {'cohort':20}" if several else ""
    click.echo(f"{'version':>7}{cohort}  {'made':24}  {'devices':>7}  {'bytes':>6}  gate")
    versions = store.registry.versions(name)
    if not versions:
        nothing_yet("no version", "the log of `iot-stream serve` says what it waits for")
    for version in versions:
        size = len(store.registry.artifact(version.weights))
        gate = version.provenance.get("gate", {}).get("reason", "")
        devices = running.count((version.cohort, version.version))
        cohort = f"  {version.cohort:20}" if several else ""
        click.echo(f"{version.version:>7}{cohort}  {iso(version.created)}  {devices:>7}  {size:>6}  {gate}")


@models.command()
@click.argument("version", type=int)
@config_option
@pipeline_option
@cohort_option
def show(version: int, path: Path, pipeline: str | None, cohort: str) -> None:
    """Where VERSION came from: data, teacher, losses, settings, gate, cost (JSON)."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    found = next((v for v in store.registry.versions(name, cohort) if v.version == version), None)
    if found is None:
        of = name if cohort == ALL else f"cohort {cohort} of {name}"
        raise ConfigError(f"{of} has no version {version}; `iot-stream models list` shows them")
    click.echo(json.dumps(found._asdict() | {"created": iso(found.created)}, indent=2))


@models.command()
@click.argument("version", type=int)
@config_option
@pipeline_option
@cohort_option
@click.option("--reason", default="", help="Why, for those who read `iot-stream rollout`.")
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the distiller.")
def rollback(version: int, path: Path, pipeline: str | None, cohort: str, reason: str, wait: float) -> None:
    """Release the weights of VERSION again, as a new version (the running distiller does it).

    It goes to all devices at once. A rollout that is under way is called off.
    """
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    click.echo(operate.roll_back(store, "cli", getpass.getuser(), wait, name, cohort, version, reason))

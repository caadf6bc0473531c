"""Rollouts: how far versions have come, and a person's word in it."""

import getpass
from pathlib import Path

import click

from iot_stream import operate
from iot_stream.cli.common import config_option, opened, pick, pipeline_option
from iot_stream.clock import iso
from iot_stream.config.cohorts import ALL
from iot_stream.errors import ConfigError
from iot_stream.field.stages import plan as planned
from iot_stream.store import Store

cohort_option = click.option("--cohort", default=ALL, show_default=True, help="Whose rollout is meant.")


@click.group(invoke_without_command=True)
@config_option
@pipeline_option
@click.pass_context
def rollout(context: click.Context, path: Path, pipeline: str | None) -> None:
    """Rollouts under way, and what was decided about the last, by whom and why."""
    if context.invoked_subcommand is not None:
        return
    config, store = opened(path)
    name, settings = pick(config, pipeline)
    stages = settings.release.stages
    found = [each for each in store.rollouts.of(name) if each.under_way]
    for each in found:
        percent = stages[min(each.stage, len(stages) - 1)]
        click.echo(
            f"{name}/{each.cohort}: version {each.version} at {percent} since {iso(each.since)}, {each.state}"
        )
    if not found:
        click.echo(f"{name}: no rollout is under way; stages are {', '.join(map(str, stages))}")
    for decision in store.rollouts.decisions(name)[-20:]:
        what = f"version {decision.version} {decision.what}"
        click.echo(f"{iso(decision.at)}  {decision.cohort:12} {what:28} by {decision.who}: {decision.why}")


def _asking(action: str, says: str) -> None:
    """A subcommand that asks the publisher for `action`."""

    @rollout.command(action, help=says)
    @config_option
    @pipeline_option
    @cohort_option
    @click.option("--reason", required=True, help="Why, for those who read the list.")
    @click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the publisher.")
    def command(path: Path, pipeline: str | None, cohort: str, reason: str, wait: float) -> None:
        config, store = opened(path)
        name, _ = pick(config, pipeline)
        person = getpass.getuser()
        click.echo(operate.steer(store, "cli", person, wait, name, cohort, action, reason))


_asking("advance", "Go on to the next stage now.")
_asking("pause", "Stay at this stage until it is resumed; its devices keep the version.")
_asking("resume", "Go on by itself again; the stage is watched anew.")
_asking("abort", "Call the version off: its devices go back to the stable one.")


@rollout.command()
@click.argument("version", type=int, required=False)
@config_option
@pipeline_option
@cohort_option
def plan(version: int | None, path: Path, pipeline: str | None, cohort: str) -> None:
    """Which devices each stage would add, were VERSION (the next) rolled out now. Changes nothing."""
    config, store = opened(path)
    name, settings = pick(config, pipeline)
    number = _next(store, name, cohort) if version is None else version
    devices = planned(store, name, settings.release, cohort, number)
    if not any(devices.values()):
        raise ConfigError(f"{name}/{cohort} has no device yet; devices are known once they have connected")
    for stage, added in devices.items():
        more = f" and {len(added) - 20} more" if len(added) > 20 else ""
        click.echo(f"{stage:>6}  {len(added):>6} devices: {', '.join(added[:20])}{more}")


def _next(store: Store, name: str, cohort: str) -> int:
    return store.registry.highest(name, cohort) + 1

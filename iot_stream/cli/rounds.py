"""Rounds: asked for, listed, and for other programs."""

from pathlib import Path

import click

from iot_stream import operate
from iot_stream.api import at_work, history
from iot_stream.cli.common import config_option, nothing_yet, opened, pick, pipeline_option
from iot_stream.clock import iso
from iot_stream.config import Config
from iot_stream.errors import BrokerError, ConfigError
from iot_stream.export import rounds_file


@click.group()
def rounds() -> None:
    """Rounds: what each came to. `iot-stream explain` says why."""


@rounds.command()
@config_option
@pipeline_option
@click.option("--wait", default=300.0, show_default=True, help="Seconds to wait for the distiller.")
def start(path: Path, pipeline: str | None, wait: float) -> None:
    """Distil now, of each cohort that has new windows (the running distiller does it)."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    if not _at_work(config):
        click.echo("no distiller is at work; it is done when one starts", err=True)
    click.echo(operate.distil(store, "cli", wait, name))


def _at_work(config: Config) -> bool:
    """Whether a distiller is; a broker that cannot tell leaves it to the answer, which is waited for."""
    try:
        return at_work.distiller_at_work(config)
    except (BrokerError, ConfigError):
        return True


@rounds.command("list")
@config_option
@pipeline_option
@click.option("--newest", type=click.IntRange(1), default=20, show_default=True, help="So many.")
def list_rounds(path: Path, pipeline: str | None, newest: int) -> None:
    """When each began, why, and what came of it; the newest last."""
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    found = store.registry.rounds(name)[-newest:]
    if not found:
        nothing_yet(f"{name} has had no round", "see `triggers`, or ask for one: `iot-stream rounds start`")
        return
    width = max(len(each.id) for each in found)
    why = max(len("trigger"), *(len(each.trigger) for each in found))
    click.echo(f"{'round':{width}}  {'began':24}  {'trigger':{why}}  outcome")
    for each in found:
        version = each.report.get("version")
        came = f"{each.outcome}, version {version}" if version else each.outcome or "under way"
        reason = history.reason(each)
        came += f": {reason}" if reason else ""
        click.echo(f"{each.id:{width}}  {iso(each.started)}  {each.trigger:{why}}  {came}")


@rounds.command()
@config_option
@pipeline_option
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="FILE.parquet or .csv.")
def export(path: Path, pipeline: str | None, target: Path) -> None:
    """Write one row a round: trigger, outcome, gate, losses, cost; nested figures by names with dots.

    Of a pair, as recall by class, `.0` is the candidate's and `.1` the running student's.
    """
    config, store = opened(path)
    name, _ = pick(config, pipeline)
    count = rounds_file.write(store, name, target)
    click.echo(f"{count} rounds in {target}")

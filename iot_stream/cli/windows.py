"""Stored windows."""

from pathlib import Path

import click
import numpy as np

from iot_stream import labelling
from iot_stream.cli.common import config_option, opened, pick, pipeline_option
from iot_stream.cli.reasons import meaning
from iot_stream.clock import iso


@click.group()
def windows() -> None:
    """Stored windows."""


@windows.command()
@config_option
@pipeline_option
def stats(path: Path, pipeline: str | None) -> None:
    """Readings and windows of each device, and what was wrong with its input."""
    config, store = opened(path)
    name, settings = pick(config, pipeline)
    roles = {settings.cut(settings.teacher).id: "teacher", settings.cut(settings.student).id: "student"}
    click.echo(f"{'device':20} {'kind':8} {'count':>9}  first … last")
    lost = {device: n for device, reason, n in store.faults.counters(name) if reason == "lost"}
    for device, count in sorted(store.journal.readings(name).items()):
        share = lost.get(device, 0) / (lost.get(device, 0) + count)
        alarm = (
            f"  {share:.1%} lost, {settings.loss_alarm:.1%} allowed" if share > settings.loss_alarm else ""
        )
        click.echo(f"{device:20} {'readings':8} {count:>9}{alarm}")
    for cut, device, count, first, last in store.journal.window_stats(name):
        click.echo(f"{device:20} {roles.get(cut, 'former'):8} {count:>9}  {iso(first)} … {iso(last)}")
    for device, reason, count in store.faults.counters(name):
        click.echo(f"{device:20} {reason:12} {count:>5}  {meaning(reason)}")
    for held in store.scope.holds(name):
        click.echo(
            f"{held.device or '(all)':20} held since {iso(held.since)}, not learnt from: {held.reason}"
        )


@windows.command()
@config_option
@pipeline_option
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="An .npz file.")
@click.option("--newest", default=100_000, show_default=True, help="At most so many, the newest.")
def export(path: Path, pipeline: str | None, target: Path, newest: int) -> None:
    """Write the student's windows with their labels to a file that numpy reads."""
    config, store = opened(path)
    name, settings = pick(config, pipeline)
    cut = settings.cut(settings.student)
    found = store.journal.windows(name, cut.id, (cut.length, len(cut.inputs)), newest=newest)
    labels, mixed = labelling.join(found.devices, found.starts, found.ends, store.journal.labels(name))
    np.savez_compressed(
        target,
        x=found.x,
        device=found.devices,
        start=found.starts,
        end=found.ends,
        label=labels,
        mixed=mixed,
        inputs=np.array(cut.inputs),
        classes=np.array(settings.classes),
    )
    click.echo(f"{len(found)} windows in {target}")

"""Stored windows."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click

from iot_stream.cli.common import config_option, counted, nothing_yet, opened, pick, pipeline_option
from iot_stream.cli.reasons import meaning
from iot_stream.clock import iso
from iot_stream.config import Pipeline
from iot_stream.export.windows_file import Shape, write
from iot_stream.store import Store
from iot_stream.store.batches import batches
from iot_stream.store.inspection import Labelled

WORDS = 1_000_000  # windows that are looked at, the newest
FORMER = "student's or teacher's, cut by settings of before; not learnt from"
NO_DEVICE = "there is no window of this device; is the sensor's name another?"
NO_MOMENT = (
    "none ends while they hold; compare the times: is a clock or a `zone` wrong, or do labels tell a moment, "
    "which a window must end at, without the end of the time that they are true for? `until` says it, or "
    "`hold: 30 s` under `labels`"
)


@click.group()
def windows() -> None:
    """Stored windows."""


@windows.command()
@config_option
@pipeline_option
def stats(path: Path, pipeline: str | None) -> None:
    """Readings, windows and labels of each device, and what was wrong with its input."""
    config, store = opened(path)
    name, settings = pick(config, pipeline)
    roles = {settings.cut(settings.teacher).id: "teacher", settings.cut(settings.student).id: "student"}
    click.echo(f"{'device':20} {'kind':8} {'count':>9}  first … last")
    kept = store.faults.kept(name)
    if not store.journal.readings(name):
        remedy = "is `iot-stream serve` running? `iot-stream discover` says what there is"
        if kept:
            remedy = "what came was refused: `iot-stream quarantine list` says what was wrong with each"
        nothing_yet("no reading", remedy)
    lost = {device: n for device, reason, n in store.faults.counters(name) if reason == "lost"}
    for device, count in sorted(store.journal.readings(name).items()):
        share = lost.get(device, 0) / (lost.get(device, 0) + count)
        alarm = (
            f"  {share:.1%} lost, {settings.loss_alarm:.1%} allowed" if share > settings.loss_alarm else ""
        )
        click.echo(f"{device:20} {'readings':8} {count:>9}{alarm}")
    for sent in store.summaries.totals(name):
        went = f"{sent.sent} sent, {sent.bytes:,} bytes"
        span = f"{iso(sent.begin)} … {iso(sent.end)}"
        click.echo(f"{sent.device:20} {'seen':8} {sent.windows:>9}  {span}  {went}")
    words = _words(store, name, settings) if settings.teacher.topic else None
    stored = store.journal.window_stats(name)
    former: dict[str, list[tuple[int, int, int]]] = {}
    for cut, device, count, first, last in stored:
        role = roles.get(cut)
        if role is None:
            former.setdefault(device, []).append((count, first, last))
            continue
        told = f"  {words[device]} with a word" if words is not None and role == "teacher" else ""
        click.echo(f"{device:20} {role:8} {count:>9}  {iso(first)} … {iso(last)}{told}")
    for device, cuts in former.items():
        counts, begins, ends = zip(*cuts, strict=True)
        span = f"{iso(min(begins))} … {iso(max(ends))}"
        click.echo(f"{device:20} {'former':8} {sum(counts):>9}  {span}  {FORMER}")
    seen = settings.cut(settings.student).id
    _say_labels(store.inspection.labelled(name, seen), {device for cut, device, *_ in stored if cut == seen})
    for device, reason, count in store.faults.counters(name):
        click.echo(f"{device:20} {reason:12} {count:>5}  {meaning(reason, kept=(device, reason) in kept)}")
    for held in store.scope.holds(name):
        click.echo(
            f"{held.device or '(all)':20} held since {iso(held.since)}, not learnt from: {held.reason}"
        )


def _say_labels(labels: Iterable[Labelled], known: set[str]) -> None:
    """`known`: devices that have windows."""
    for told in labels:
        joined = f"{told.met} joined a window"
        if not told.met:
            joined = f"none joined a window: {NO_MOMENT if told.device in known else NO_DEVICE}"
        span = f"{iso(told.begin)} … {iso(told.end)}"
        click.echo(f"{told.device:20} {'labels':8} {told.came:>9}  {span}  {joined}")


def _words(store: Store, name: str, pipeline: Pipeline) -> Counter[str]:
    """Device → windows that a word of the teacher's topic belongs to."""
    import numpy as np

    cut = pipeline.cut(pipeline.teacher)
    found = store.journal.windows(name, cut.id, (cut.length, len(cut.inputs)), newest=WORDS)
    silent = np.isnan(found.x).all(axis=(1, 2))
    return Counter(found.devices[~silent].tolist())


@windows.command()
@config_option
@pipeline_option
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="FILE.parquet, .csv, .csv.gz or .npz.",
)
@click.option("--newest", default=0, help="At most so many, the newest  [default: all]")
@click.option(
    "--of",
    type=click.Choice(["student", "teacher"]),
    default="student",
    show_default=True,
    help="Whose windows.",
)
def export(path: Path, pipeline: str | None, target: Path, newest: int, of: str) -> None:
    """Write windows to a file that pandas, polars, R or numpy read.

    Beside the values stand the label, what the device said and with which version, and what the teacher
    said. Any number of windows fits in memory. A missing value is null in Parquet, an empty cell in CSV, NaN
    in NPZ and marked in its `missing`; times are UTC, in CSV and NPZ in nanoseconds since 1970. Parquet needs
    `pip install 'iot-stream[parquet]'`.
    """
    config, store = opened(path)
    name, settings = pick(config, pipeline)
    network = getattr(settings, of)
    cut = settings.cut(network)
    stored = store.journal.window_count(name, cut.id)
    shape = Shape(cut.length, cut.inputs, settings.classes)
    total = min(newest, stored) if newest else stored
    found = batches(store, name, settings, network, newest=newest)
    count = write(target, counted(found, total, "windows", len), shape)
    click.echo(f"{count} windows in {target}")

"""Benchmarks."""

import json
from pathlib import Path
from typing import Any

import click

from iot_stream.evaluate.machine import machine


@click.group()
def bench() -> None:
    """Measure: each benchmark runs its reference in the same run, and ends by itself."""


@bench.command()
@click.option(
    "--messages", type=click.IntRange(1000), default=100_000, show_default=True, help="So many a row."
)
@click.option(
    "--transport",
    type=click.Choice(["mosquitto", "direct", "all"]),
    default="all",
    show_default=True,
    help="Through a mosquitto of its own, or fed directly.",
)
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("runs/bench"),
    show_default=True,
    help="Where the store lies while it runs: on the disk that is to be measured.",
)
def ingest(messages: int, transport: str, target: Path | None, folder: Path) -> None:
    """How much the collector takes, durably, beside a bare consumer that only counts.

    Publishers of their own process send packets encoded beforehand, at QoS 0 and 1, of one and ten readings,
    of 10, 100 and 1,000 devices, through a mosquitto of its own on loopback and directly. Latency is from
    publish to committed, at 1,000 messages a second. Rates and CPU are medians of three. Some ten minutes.
    """
    from iot_stream.evaluate.bench import ingest as measured

    transports = measured.TRANSPORTS if transport == "all" else (transport,)
    click.echo(_line(*measured.COLUMNS))
    rows: list[dict[str, Any]] = []
    for row in measured.rows(transports, messages, folder):
        rows.append(row)
        click.echo(_line(*(row[name] for name in measured.COLUMNS)))
    result: dict[str, Any] = {"machine": machine("numpy", "msgspec"), "messages": messages, "rows": rows}
    if "mosquitto" in transports:
        result["broker_per_s"] = measured.broker_limits(messages, folder)
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        click.echo(f"\n{target}")


@bench.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Whose first pipeline is distilled; its teacher is one network. Default: bearing_cwru of the "
    "examples where its data is there, else bearing, which simulates.",
)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Distillations of either kind."
)
@click.option(
    "--cohorts", type=click.IntRange(2), default=32, show_default=True, help="Students trained together."
)
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write the figures here.")
def distill(path: Path | None, seeds: int, cohorts: int, target: Path | None) -> None:
    """What a distillation costs, beside a plain loop that asks the teacher in every step.

    Both learn for the steps of a first distillation from all that the teacher was trained on; ours asks it
    once a window and may stop early. Then so many students have a round each: one after the other, and in one
    batch. On one thread; some five minutes, most of which go to the teacher.
    """
    from iot_stream.config import load
    from iot_stream.evaluate.bench import distill as measured

    path = path or _example()
    name, pipeline = next(iter(load(path).pipelines.items()))
    task = measured.prepare(name, pipeline, path.parent, click.echo)
    figures = measured.measure(task, seeds, cohorts, click.echo)
    result: dict[str, Any] = {"machine": machine("torch", "numpy"), "config": path.stem, **figures}
    click.echo(
        f"\n{figures['speedup']:.2f} times as fast as the plain loop (accuracy "
        f"{figures['accuracy_ours']:.4f}, plain {figures['accuracy_plain']:.4f}); {cohorts} students in one "
        f"batch {figures['cohorts']['speedup']:.2f} times as fast as one by one"
    )
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        click.echo(target)


def _example() -> Path:
    from iot_stream.evaluate.demo import EXAMPLES

    recorded = EXAMPLES / "bearing_cwru"
    if (recorded / "data" / "cwru_drive_end.npz").exists():
        return recorded / "student_2000.yml"
    return EXAMPLES / "bearing" / "config.yml"


def _line(*cells: object) -> str:
    return " ".join(f"{cell!s:>{max(9, len(name))}}" for cell, name in zip(cells, _names(), strict=True))


def _names() -> tuple[str, ...]:
    from iot_stream.evaluate.bench.ingest import COLUMNS

    return COLUMNS

"""Benchmarks."""

import json
from pathlib import Path
from typing import Any

import click

from iot_stream.cli.common import counted
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
    for row in counted(measured.rows(transports, messages, folder), measured.cases(transports), "rows"):
        rows.append(row)
        click.echo(_line(*(row[name] for name in measured.COLUMNS)))
    result: dict[str, Any] = {"machine": machine("numpy", "msgspec"), "messages": messages, "rows": rows}
    if "mosquitto" in transports:
        result["broker_per_s"] = measured.broker_limits(messages, folder)
    _write(target, result)


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
    once a window and may stop early. Then so many students have a round each: one after the other, and in
    stacks. On one thread; some five minutes, most of which go to the teacher.
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
        f"{figures['accuracy_ours']:.4f}, plain {figures['accuracy_plain']:.4f}); {cohorts} students in "
        f"stacks {figures['cohorts']['speedup']:.2f} times as fast as one by one"
    )
    _write(target, result)


@bench.command()
@click.option(
    "--subscribers",
    type=click.IntRange(1),
    multiple=True,
    default=(1000, 5000),
    show_default=True,
    help="As often as there are rows wanted; each holds a connection.",
)
@click.option(
    "--passes", type=click.IntRange(1), default=3, show_default=True, help="Of which the median counts."
)
@click.option("--encodings/--no-encodings", default=True, help="Train students and encode them: minutes.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("runs/bench"),
    show_default=True,
    help="Where the broker's state and the store lie while it runs.",
)
def release(
    subscribers: tuple[int, ...], passes: int, encodings: bool, target: Path | None, folder: Path
) -> None:
    """How fast a release reaches all devices, beside one bare retained message; bytes by encoding.

    A mosquitto of its own on loopback; the subscribers are raw sockets in a process of their own. Live ones
    wait for the release, late ones subscribe when it is there. Then two students are trained and encoded.
    """
    from iot_stream.evaluate.bench import release as measured
    from iot_stream.evaluate.demo import EXAMPLES

    result: dict[str, Any] = {"machine": machine("numpy", "tuf"), "rows": []}
    found = measured.rows(subscribers, measured.PARAMETERS, folder, passes)
    for row in counted(found, 2 * len(subscribers) * len(measured.PARAMETERS), "rows"):
        result["rows"].append(row)
        click.echo(", ".join(f"{name} {row[name]}" for name in measured.COLUMNS))
    if encodings:
        from iot_stream.evaluate.bench import weights

        result["encodings"] = []
        for row in counted(weights.rows(EXAMPLES), 0, "encodings; students are being trained"):
            result["encodings"].append(row)
            click.echo(", ".join(f"{name} {value}" for name, value in row.items()))
    _write(target, result)


@bench.command()
@click.option(
    "--passes", type=click.IntRange(10), default=2000, show_default=True, help="Inferences a runtime."
)
@click.option(
    "--swaps", type=click.IntRange(10), default=1000, show_default=True, help="Changes of the model."
)
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write the figures here.")
def device(passes: int, swaps: int, target: Path | None) -> None:
    """What a device costs with each runtime that is installed, beside bare onnxruntime and PyTorch.

    One window of a student of about 24,000 parameters. Memory is that of a process with all of a device's
    code and the model; readings come at 1 kHz while versions are swapped.
    """
    from iot_stream.device.runtime import RUNTIMES
    from iot_stream.evaluate.bench import device as measured

    result: dict[str, Any] = {"machine": machine("numpy", "onnxruntime", "torch"), "rows": []}
    for row in counted(measured.rows(passes, swaps), len(RUNTIMES), "runtimes"):
        result["rows"].append(row)
        click.echo(", ".join(f"{name} {row[name]}" for name in measured.COLUMNS))
    _write(target, result)


@bench.command()
@click.option(
    "--devices",
    type=click.IntRange(1, 99_999),
    multiple=True,
    default=(1000, 10_000),
    show_default=True,
    help="As often as there are rows wanted.",
)
@click.option("--viewers", type=click.IntRange(1), default=5, show_default=True, help="Who look at once.")
@click.option(
    "--seconds", type=click.FloatRange(1), default=60, show_default=True, help="For which it is looked at."
)
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("runs/bench"),
    show_default=True,
    help="Where the store lies while it runs.",
)
def dashboard(
    devices: tuple[int, ...], viewers: int, seconds: float, target: Path | None, folder: Path
) -> None:
    """What the dashboard costs, beside itself with nobody looking; how large its page is, how soon painted.

    A process of its own writes what a service would: of each device a reading a second and a window every ten
    seconds. Each viewer is on another page. The share is of one core, of the dashboard's process alone.
    """
    from iot_stream.evaluate.bench import dashboard as measured

    result: dict[str, Any] = {"machine": machine("starlette", "uvicorn"), "seconds": seconds, "rows": []}
    found = (row for count in devices for row in measured.rows(count, viewers, seconds, folder))
    for row in counted(found, 2 * len(devices), "rows"):
        result["rows"].append(row)
        click.echo(", ".join(f"{name} {row[name]}" for name in measured.COLUMNS))
    result |= measured.page(folder)
    click.echo(
        f"page {result['page_bytes']} bytes, painted after {result['first_paint_ms']} ms, "
        f"figures after {result['first_figures_ms']} ms"
    )
    _write(target, result)


def _write(target: Path | None, result: dict[str, Any]) -> None:
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

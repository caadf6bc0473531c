"""What the service would have been worth on a recording."""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import click
import msgspec

from iot_stream.cli.common import config_option, pick, pipeline_option
from iot_stream.config import Pipeline, Recordings, load
from iot_stream.errors import ConfigError

COLUMNS = ("accuracy", "balanced", "tail", "tail_balanced")


@click.command()
@config_option
@pipeline_option
@click.option("--data", help="FILE, FOLDER or world:NAME instead of the configuration's recordings.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="So many runs.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Seeds at a time.")
@click.option("--peers", is_flag=True, help="Also run well-known models of others on the same labels.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    default=Path("runs/replay/report.html"),
    show_default=True,
    help="Write the page here.",
)
def replay(
    path: Path,
    pipeline: str | None,
    data: str | None,
    seeds: int,
    jobs: int,
    peers: bool,
    target: Path | None,
    report: Path,
) -> None:
    """Run the service's own code on a recording, beside honest rivals. No broker, no store, no device.

    The recording's time is the clock: a round starts at its trigger, takes `recordings.round_time`, and its
    version acts only afterwards; labels arrive late, as `recordings.labels` says. The same seed gives the
    same figures. Prints a table; writes a report, and with --json all figures, anew after each seed. Peers
    need `pip install 'iot-stream[peers]'`; those of MOA Java and `pip install capymoa`.

    \b
    iot-stream replay --config examples/occupancy/config.yml --seeds 3
    """
    from iot_stream.evaluate.replay import page
    from iot_stream.evaluate.replay.run import run

    name, settings = pick(load(path), pipeline)
    settings = _with_data(settings, data)
    live = sys.stderr.isatty()
    with click.progressbar(length=1, label="recording", show_eta=True, file=sys.stderr) as bar:
        began = time.monotonic()

        def progress(done: int, total: int, what: str) -> None:
            bar.length, bar.label = total, shorten(what, 40, placeholder=" …") if live else what
            bar.update(done - bar.pos)
            bar.render_progress()

        done, result = 0, {}
        try:
            runs = run(name, settings, path.parent, seeds, progress, peers, jobs)
            for done, replayed in enumerate(runs, 1):
                command = _command(path, pipeline, data, done, peers)
                result = {"command": command, "pipeline": name} | replayed.result
                if target:
                    _written_whole(target, partial(_figures, result=result))
                _written_whole(report, partial(page.write, replay=replayed, command=command))
        except KeyboardInterrupt:
            told = f"; {report} is of the {done} that are done" if done else ""
            click.echo(f"\ninterrupted in seed {done + 1} of {seeds}{told}", err=True)
            raise
    _table(result)
    click.echo(f"\n{report}  ({time.monotonic() - began:.0f} s)")


def _figures(path: Path, result: dict[str, Any]) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n")


def _written_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Whenever one interrupts it. What is no plain file, as /dev/stdout, is written to, not replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        write(path)
        return
    draft = path.with_name(f".{path.name}.draft")
    write(draft)
    draft.replace(path)


def _with_data(pipeline: Pipeline, data: str | None) -> Pipeline:
    if data is None:
        return pipeline
    settings = pipeline.recordings or Recordings()
    if data.startswith("world:"):
        settings = msgspec.structs.replace(settings, files="", world=data.removeprefix("world:"))
    else:
        if not Path(data).exists():
            raise ConfigError(f"--data: there is no {data}")
        settings = msgspec.structs.replace(settings, files=str(Path(data).resolve()), world="")
    return msgspec.structs.replace(pipeline, recordings=settings)


def _command(path: Path, pipeline: str | None, data: str | None, seeds: int, peers: bool) -> str:
    parts = ["iot-stream replay", f"--config {path}"]
    parts += [f"--pipeline {pipeline}"] if pipeline else []
    parts += [f"--data {data if data.startswith('world:') else Path(data).name}"] if data else []
    parts += [f"--seeds {seeds}"]
    return " ".join([*parts, "--peers"] if peers else parts)


def _table(result: dict[str, object]) -> None:
    overall: dict[str, dict[str, dict[str, float | None]]] = result["overall"]  # type: ignore[assignment]
    click.echo("\n" + " " * 12 + "".join(f"{column:>16}" for column in COLUMNS))
    for rival in overall["accuracy"]:
        cells = (overall[column][rival]["mean"] for column in COLUMNS)
        click.echo(f"{rival:12}" + "".join(f"{'–' if cell is None else f'{cell:.3f}':>16}" for cell in cells))
    for name, peer in result.get("peers", {}).items():  # type: ignore[attr-defined]
        if "not_run" in peer:
            click.echo(f"{name:12}not run: {peer['not_run']}")
    click.echo(
        f"\n{result['rounds']} rounds, {result['released']} released, {result['rejected']} rejected, "
        f"{result['held']} held"
    )

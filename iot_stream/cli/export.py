"""A version for those that do not run iot-stream: C for microcontrollers, ONNX, LiteRT, weights for torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from iot_stream.api import history
from iot_stream.cli.common import config_option, opened, pick, pipeline_option
from iot_stream.cli.models import cohort_option
from iot_stream.config import Network
from iot_stream.errors import ConfigError
from iot_stream.export import Released
from iot_stream.export.c_size import sizes
from iot_stream.export.c_source import WEIGHTS, source
from iot_stream.export.litert_file import litert_file
from iot_stream.export.onnx_file import onnx_file
from iot_stream.export.torch_file import torch_file
from iot_stream.spec import Spec


@click.group()
def export() -> None:
    """A version of the student for those that do not run iot-stream."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        cohort_option,
        pipeline_option,
        config_option,
        click.option("--model", "version", type=int, help="Which version  [default: the newest]"),
    ):
        command = option(command)
    return command


def _to(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--to", "target", type=click.Path(path_type=Path), required=True, help=f"{what} to write."
    )


def _released(
    path: Path, pipeline: str | None, cohort: str, version: int | None
) -> tuple[Released, Network | None]:
    """A version's artifacts, and its network; None where the configuration has another now.

    Raises ConfigError where there is no such version.
    """
    config, store = opened(path)
    name, settings = pick(config, pipeline)
    try:
        found = history.version(store, name, cohort, version)
        artifact = store.registry.artifact
        known_as = found.provenance.get("network", repr(settings.student))
        released = Released(
            f"{name} {cohort} {found.version}",
            artifact(found.graph),
            Spec.decode(artifact(found.spec)),
            artifact(found.weights),
            found.encoding,
            artifact(found.resume),
        )
    finally:
        store.close()
    return released, settings.student if known_as == repr(settings.student) else None


@export.command("c")
@_options
@_to("Folder")
@click.option("--cc", default="cc", show_default=True, help="Compiler that sizes are measured with.")
def c_(target: Path, cc: str, version: int | None, path: Path, pipeline: str | None, cohort: str) -> None:
    """C99 for a microcontroller: readings in, logits out, no heap; it loads later weights as they are."""
    released, _ = _released(path, pipeline, cohort, version)
    files, plan = source(released)
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (target / name).write_bytes(content)
    click.echo(f"{released.name} in {target}: {len(files)} files")
    click.echo(f"{'weights':24} {len(files[WEIGHTS]):>8} bytes, used where they lie")
    click.echo(f"{'one window':24} {plan.products:>8} multiplications and additions")
    measured = sizes(target, cc)
    if measured is None:
        click.echo(f"no {cc} and its `size` here: how large it is compiled is not known")
        return
    for what, count in measured._asdict().items():
        click.echo(f"{what.replace('_', ' '):24} {count:>8} bytes")
    click.echo(f"by {cc} -Os, without the C library")


@export.command("onnx")
@_options
@_to("File")
def onnx_(target: Path, version: int | None, path: Path, pipeline: str | None, cohort: str) -> None:
    """One ONNX file with weights and normalisation: raw windows in, logits out."""
    released, _ = _released(path, pipeline, cohort, version)
    target.write_bytes(onnx_file(released))
    click.echo(f"{released.name} in {target}: {target.stat().st_size} bytes")


@export.command("litert")
@_options
@_to("File")
def litert_(target: Path, version: int | None, path: Path, pipeline: str | None, cohort: str) -> None:
    """One .tflite file with the weights: normalised windows in, logits out."""
    released, _ = _released(path, pipeline, cohort, version)
    target.write_bytes(litert_file(released))
    click.echo(f"{released.name} in {target}: {target.stat().st_size} bytes")


@export.command("torch")
@_options
@_to("File")
def torch_(target: Path, version: int | None, path: Path, pipeline: str | None, cohort: str) -> None:
    """Exact weights with batch norm (safetensors), and in the metadata what builds the network."""
    released, network = _released(path, pipeline, cohort, version)
    if network is None:
        raise ConfigError(f"{released.name} is of another network than the configuration has now")
    target.write_bytes(torch_file(released, network))
    click.echo(f"{released.name} in {target}: {target.stat().st_size} bytes")

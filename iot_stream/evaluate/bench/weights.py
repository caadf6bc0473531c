"""What each encoding of a student's weights costs in bytes, and what it does to accuracy.

A student is trained on what it is installed for, then goes on for a round on all that the teacher knows: what
is encoded is the second, beside the first, which devices have. Labels teach in place of a teacher, for how it
came to its weights is nothing to an encoding. Masked ones are here for comparison and do not ship: they send
the weights that changed most, as Adaptive Model Streaming does (Khani et al., arXiv 2006.06628).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from iot_stream.artifact import delta, encodings
from iot_stream.config import load
from iot_stream.distill import export
from iot_stream.distill.models import build
from iot_stream.distill.trainer import distil, predict
from iot_stream.errors import ConfigError
from iot_stream.service import bootstrap
from iot_stream.spec import Spec, normalisation

JUDGED = 4000  # windows
SURE = 3.0  # logit of the true class, and less that of the others

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """A student: an example's data, an architecture with options, and how it is trained."""

    example: str
    arch: str
    options: dict[str, Any]
    first_steps: int
    steps: int
    rate: float


CASES = (
    Case("bearing", "mobilenet1d", {"stem": 16, "widths": [64, 96, 128], "kernel": 9}, 600, 200, 0.01),
    Case("founding_article", "mobilenet_v2", {}, 160, 30, 0.003),
)


def rows(examples: Path, cases: tuple[Case, ...] = CASES) -> Iterator[dict[str, Any]]:
    """A row for each student and encoding: `bytes` deflated; `accuracy_change` against float32."""
    torch.set_num_threads(1)
    for case in cases:
        base, after, accuracy = _trained(case, examples / case.example / "config.yml")
        exact = accuracy(after)
        for name, size, weights in _encoded(base, after):
            yield {
                "student_parameters": sum(values.size for values in after.values()),
                "name": name,
                "bytes": size,
                "accuracy_change": round(accuracy(weights) - exact, 4),
                "accuracy": round(exact, 4),
            }


def _trained(case: Case, path: Path) -> tuple[bytes, Weights, Any]:
    """The int8 artifact that devices have, the weights after a round, and what tells their accuracy."""
    pipeline = next(iter(load(path).pipelines.values()))
    settings = pipeline.recordings
    if settings is None or settings.bootstrap is None:
        raise ConfigError(f"{path}: recordings.bootstrap: nothing to learn from")
    parts = (settings.bootstrap.student, settings.bootstrap.teacher, settings.stream)
    first, wide, stream = (bootstrap.load(pipeline, part, path.parent) for part in parts)
    mean, scale = normalisation(first.student_x)
    spec = Spec(pipeline.cut(pipeline.student), pipeline.classes, mean, scale)
    net = build(case.arch, spec.cut.length, spec.model_channels, len(spec.classes), **case.options)
    settings_ = msgspec.structs.replace(
        pipeline.distill, loss="kd", alpha=1.0, beta=0.0, temperature=1.0, rate=case.rate, plateau=0.0
    )
    _learn(net, spec, first, settings_, case.first_steps)
    base = encodings.encode("int8", export.named_weights(export.fold(net)))
    _learn(net, spec, wide, msgspec.structs.replace(settings_, rate=case.rate / 3), case.steps)
    folded = export.fold(net)
    known = np.flatnonzero(stream.labels >= 0)
    judged = known[:: max(1, len(known) // JUDGED)]
    x, truth = spec.model_input(stream.student_x[judged]), stream.labels[judged]

    def accuracy(weights: Weights) -> float:
        return float((predict(export.load_weights(folded, weights), x).argmax(axis=1) == truth).mean())

    return base, export.named_weights(folded), accuracy


def _learn(net: Any, spec: Spec, data: Any, settings: Any, steps: int) -> None:
    known = data.labels >= 0
    labels = data.labels[known]
    logits = np.full((len(labels), len(spec.classes)), -SURE, np.float32)
    logits[np.arange(len(labels)), labels] = SURE
    distil(net, spec.model_input(data.student_x[known]), logits, None, settings, 0, steps=steps)


def _encoded(base: bytes, after: Weights) -> Iterator[tuple[str, int, Weights]]:
    """Name, bytes deflated, and what a device makes of them."""
    for name in ("fp16", "int8"):
        whole = encodings.encode(name, after)
        yield name, len(zlib.compress(whole, 9)), encodings.decode(name, whole).tensors
    found = delta.rounded(base, after)
    assert found is not None, "one form"
    told, rounded = found
    size = len(delta.pack(told, np.zeros((1, 1), np.float32)))
    yield "int4 delta", size, encodings.decode("int8", encodings.encode("int8", rounded)).tensors
    before = encodings.decode("int8", base).tensors
    for share in (0.05, 0.1, 0.2):
        yield f"masked {share:.0%}", *_masked(before, after, share)


def _masked(before: Weights, after: Weights, share: float) -> tuple[int, Weights]:
    """The share of weights that changed most, as float16, and a bit for each weight."""
    moved = {name: after[name] - before[name] for name in after}
    sizes = np.abs(np.concatenate([change.ravel() for change in moved.values()]))
    least = np.partition(sizes, int(len(sizes) * (1 - share)))[int(len(sizes) * (1 - share))]
    told: dict[str, NDArray[Any]] = {}
    made: Weights = {}
    for name, change in moved.items():
        chosen = np.abs(change) >= least
        told[name + ":mask"] = np.packbits(chosen.ravel())
        told[name] = change[chosen].astype(np.float16)
        made[name] = before[name].copy()
        made[name][chosen] += told[name].astype(np.float32)
    return len(zlib.compress(safetensors.numpy.save(told), 9)), made

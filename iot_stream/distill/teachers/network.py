"""A built-in network as teacher: trained on labels, fine-tuned on later ones, else always in eval mode."""

import copy
import hashlib
import json
from dataclasses import dataclass

import msgspec
import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from torch import nn

from iot_stream.config import Network
from iot_stream.config.learning import TrainSettings
from iot_stream.distill.models import build
from iot_stream.distill.trainer import Progress, Trained, predict, train_supervised
from iot_stream.errors import ModelError
from iot_stream.readings import Values
from iot_stream.windows import Cut, Spec, normalisation

FORMAT = "teacher-1"  # change when the same data and settings would train otherwise


@dataclass(frozen=True)
class Lessons:
    """Labelled windows `x` (n, length, inputs) raw, `y` (n,), and how much each counts, if not all alike."""

    x: Values
    y: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class NetworkTeacher:
    """`key` names what the first training was made of; it stays through fine-tuning."""

    key: str
    spec: Spec
    network: nn.Module

    def logits(self, windows: Values) -> Values:
        """(n, length, inputs) raw teacher windows → (n, classes)."""
        if not len(windows):
            return np.zeros((0, len(self.spec.classes)), np.float32)
        return predict(self.network, self.spec.model_input(windows))

    def to_bytes(self) -> bytes:
        return safetensors.torch.save(self.network.state_dict(), {"spec": self.spec.encode().decode()})


def key_of(
    windows: Values, labels: NDArray[np.int64], cut: Cut, network: Network, settings: TrainSettings, seed: int
) -> str:
    """The hash of all that makes this teacher: the same data and settings are not trained twice."""
    digest = hashlib.sha256(np.ascontiguousarray(windows).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    digest.update(json.dumps([FORMAT, cut.id, repr(network), repr(settings), seed]).encode())
    return digest.hexdigest()


def _bare(key: str, spec: Spec, network: Network, seed: int) -> NetworkTeacher:
    module = build(
        network.arch,
        spec.cut.length,
        spec.model_channels,
        len(spec.classes),
        seed=seed,
        **dict(network.options),
    )
    return NetworkTeacher(key, spec, module.eval())


def train(
    key: str,
    windows: Values,
    labels: NDArray[np.int64],
    cut: Cut,
    classes: tuple[str, ...],
    masks: bool,
    network: Network,
    settings: TrainSettings,
    seed: int,
    progress: Progress | None = None,
) -> tuple[NetworkTeacher, Trained]:
    """Stage *training*: `windows` (n, length, inputs) raw, `labels` (n,). Raises ModelError."""
    missing = [name for k, name in enumerate(classes) if not (labels == k).any()]
    if missing:
        raise ModelError(
            f"no labelled window of {', '.join(missing)} to learn from; widen recordings.bootstrap.teacher"
        )
    mean, scale = normalisation(windows)
    teacher = _bare(key, Spec(cut, classes, mean, scale, masks), network, seed)
    cost = train_supervised(
        teacher.network, teacher.spec.model_input(windows), labels, settings, seed, progress
    )
    return teacher, cost


def tune(
    teacher: NetworkTeacher, fresh: Lessons, known: Lessons, settings: TrainSettings, seed: int
) -> tuple[NetworkTeacher, Trained]:
    """The teacher after `settings.tune_steps` on fresh labels, with what it was first taught replayed."""
    network = copy.deepcopy(teacher.network)
    share = settings.tune_share
    counts = np.ones(len(fresh.y)) if fresh.weights is None else fresh.weights
    weights = np.concatenate(
        [share * counts / counts.sum(), np.full(len(known.y), (1 - share) / max(1, len(known.y)))]
    )
    cost = train_supervised(
        network,
        teacher.spec.model_input(np.concatenate([fresh.x, known.x])),
        np.concatenate([fresh.y, known.y]),
        msgspec.structs.replace(settings, steps=settings.tune_steps, rate=settings.tune_rate),
        seed,
        weights=weights,
    )
    return NetworkTeacher(teacher.key, teacher.spec, network), cost


def from_bytes(key: str, content: bytes, spec: Spec, network: Network, seed: int) -> NetworkTeacher:
    """What `to_bytes` gave, under the same spec and settings."""
    teacher = _bare(key, spec, network, seed)
    teacher.network.load_state_dict(safetensors.torch.load(content))
    return teacher

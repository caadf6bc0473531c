"""A student from birth to release: built, distilled, folded, packed as a device will get it."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from iot_stream.artifact import blobs, delta, encodings
from iot_stream.config import Network
from iot_stream.config.learning import DistillSettings
from iot_stream.cut import Cut
from iot_stream.device.model import Model
from iot_stream.distill import export, fusion
from iot_stream.distill.cohorts import Lesson, distil_together
from iot_stream.distill.material import Material
from iot_stream.distill.models import build
from iot_stream.distill.trainer import Progress, Trained, distil, predict
from iot_stream.errors import ModelError
from iot_stream.readings import Values
from iot_stream.spec import Spec, normalisation

ENCODING, FINER = "int8", "fp16"
GOLDEN = 4
Net = nn.Module
Weights = Mapping[str, NDArray[np.float32]]

_exported: dict[str, bytes] = {}


@dataclass(frozen=True)
class Packed:
    """A student as artifacts: what is signed and sent, and `resume`, its exact weights for the next round.

    delta: what makes these weights of those at the address `base`, empty where the whole is sent;
    `accuracy_change`: what being rounded to it did, on the gate's windows.
    """

    graph: bytes
    spec: bytes
    weights: bytes
    encoding: str
    resume: bytes
    delta: bytes = b""
    base: str = ""
    accuracy_change: float = 0.0

    def model(self, version: int = 0) -> Model:
        """As a device will run it: decoded, in the device's runtime."""
        return Model.build(version, self.graph, self.spec, self.weights, self.encoding)


@dataclass(frozen=True)
class Architecture:
    """A student's network under its spec, and its graph, which holds no weights."""

    network: Network
    spec: Spec
    graph: bytes

    @classmethod
    def of(cls, network: Network, spec: Spec, seed: int) -> "Architecture":
        return cls(network, spec, _graph(network, spec, seed))

    @property
    def parameters(self) -> int:
        folded = export.fold(_build(self.network, self.spec, 0))
        return sum(tensor.size for tensor in export.named_weights(folded).values())

    def under(self, packed: Packed) -> "Architecture":
        """With a version's own spec: its inputs may have been normalised anew since the bootstrap."""
        return replace(self, spec=Spec.decode(packed.spec))

    def renormalised(self, windows: Values) -> "Architecture":
        """With mean and scale of raw windows (n ≥ 1, length, inputs), of those inputs that vary in them."""
        return replace(self, spec=self.spec.renormalised(windows))

    def first(
        self, material: Material, settings: DistillSettings, seed: int, progress: Progress | None = None
    ) -> tuple[nn.Module, Trained]:
        """Distilled from scratch."""
        student = _build(self.network, self.spec, seed)
        cost = distil(
            student,
            self.spec.model_input(material.x),
            material.logits,
            material.labels,
            settings,
            seed,
            steps=settings.first_steps,
            features=material.features,
            progress=progress,
        )
        return student, cost

    def further(
        self,
        resume: bytes,
        material: Material,
        weights: NDArray[np.float64],
        settings: DistillSettings,
        seed: int,
        anchor: bytes,
        past: Sequence[bytes] = (),
    ) -> tuple[nn.Module, Trained]:
        """A round's stages distillation and fusion, from a student as it was left (`resume`).

        `weights` (n,) says how often a row is drawn; `anchor`: the first student, to be pulled towards;
        `past`: students as they were left, to be averaged with.
        """
        lesson = self.lesson(resume, material, weights, settings, seed, anchor)
        (trained,) = distil_together([lesson])
        if isinstance(trained, ModelError):
            raise trained
        return lesson.student, self.fused(lesson, trained, past)

    def lesson(
        self,
        resume: bytes,
        material: Material,
        weights: NDArray[np.float64],
        settings: DistillSettings,
        seed: int,
        anchor: bytes,
    ) -> Lesson:
        """What `further` distils, for those who distil several together."""
        return Lesson(
            self.resumed(resume),
            self.spec.model_input(material.x),
            material.logits,
            material.labels,
            settings,
            seed,
            weights,
            dict(safetensors.torch.load(anchor)),
            material.features,
        )

    def fused(self, lesson: Lesson, trained: Trained, past: Sequence[bytes]) -> Trained:
        """The lesson's student, averaged with past ones in place."""
        if not past:
            return trained
        student = lesson.student
        bare = {name: weight.detach().clone() for name, weight in student.named_parameters()}
        fusion.average(student, [safetensors.torch.load(each) for each in past], torch.from_numpy(lesson.x))
        return replace(trained, last=trained.last or bare)

    def logits(self, student: nn.Module, windows: Values) -> Values:
        """(n, classes) of raw windows (n, length, inputs), before encoding."""
        return predict(student, self.spec.model_input(windows))

    def without_fusion(self, student: nn.Module, trained: Trained, windows: Values) -> Values | None:
        """Logits (n, classes) of the student as its last step left it; None where nothing was averaged."""
        if trained.last is None or not len(windows):
            return None
        bare = copy.deepcopy(student)
        bare.load_state_dict(trained.last, strict=False)
        return self.logits(bare, windows)

    def resumed(self, resume: bytes) -> nn.Module:
        """The student as it was left, with its batch norm: it adapts better than folded."""
        return export.load_weights(_build(self.network, self.spec, 0), safetensors.numpy.load(resume))

    def pack(self, student: nn.Module, encoding: str = ENCODING) -> Packed:
        """What a device gets is folded; what the next round starts from is not."""
        weights = export.named_weights(export.fold(student))
        whole = encodings.encode(encoding, weights, self._expected(weights, encoding))
        return self._packed(student, whole, encoding)

    def pack_over(self, student: nn.Module, base: bytes) -> Packed | None:
        """Rounded to what a delta to the int8 artifact `base` can tell; None if that is of another form."""
        weights = export.named_weights(export.fold(student))
        found = delta.rounded(base, weights)
        if found is None:
            return None
        told, rounded = found
        expected = self._expected(rounded, ENCODING)
        whole = encodings.encode(ENCODING, rounded, expected)
        packed = self._packed(student, whole, ENCODING)
        return replace(packed, delta=delta.pack(told, expected), base=blobs.address(base))

    def _expected(self, weights: Weights, encoding: str) -> Values:
        """What the golden windows give: by the decoded weights, in the device's runtime."""
        bare = encodings.encode(encoding, weights)
        model = Model.build(0, self.graph, self.spec.encode(), bare, encoding)
        return model.logits(self.spec.golden_windows())

    def _packed(self, student: nn.Module, whole: bytes, encoding: str) -> Packed:
        resume = safetensors.numpy.save(export.named_weights(student))
        return Packed(self.graph, self.spec.encode(), whole, encoding, resume)


def _graph(network: Network, spec: Spec, seed: int) -> bytes:
    """Exported once in a process, for that takes seconds: pipelines and a replay's seeds share it. Only a
    factory of the user's is asked each time: who knows what it builds."""
    key = f"{network} {spec.cut.length} {spec.model_channels} {len(spec.classes)}"
    if network.own or key not in _exported:
        folded = export.fold(_build(network, spec, seed))
        _exported[key] = export.graph(folded, spec.cut.length, spec.model_channels)
    return _exported[key]


def _build(network: Network, spec: Spec, seed: int) -> nn.Module:
    return build(
        network.arch,
        spec.cut.length,
        spec.model_channels,
        len(spec.classes),
        seed=seed,
        **dict(network.options),
    )


def check(network: Network, cut: Cut, classes: tuple[str, ...], masks: bool) -> None:
    """Raises ModelError where such a student cannot be built."""
    inputs = len(cut.inputs)
    _build(network, Spec(cut, classes, (0.0,) * inputs, (1.0,) * inputs, masks), 0)


def spec_for(bootstrap: Material, cut: Cut, classes: tuple[str, ...], masks: bool) -> Spec:
    """Normalisation and golden windows taken from the student's bootstrap."""
    mean, scale = normalisation(bootstrap.x)
    return Spec(cut, classes, mean, scale, masks, golden(bootstrap.x, bootstrap.said))


def golden(windows: Values, said: NDArray[np.int64]) -> bytes:
    """A few windows, of as many classes as there are."""
    rows = [int(np.flatnonzero(said == k)[0]) for k in np.unique(said)][:GOLDEN]
    return np.ascontiguousarray(windows[rows], np.float32).tobytes()

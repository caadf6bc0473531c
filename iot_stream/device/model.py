"""A release brought to life: decoded, checked against itself, ready to predict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.artifact import encodings
from iot_stream.device.runtime import AUTO, Runtime, choose
from iot_stream.device.slots import Installed
from iot_stream.errors import Refused
from iot_stream.readings import Values
from iot_stream.spec import Spec

# Another processor may round otherwise; a wrong graph, spec or weight is far beyond this.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Model:
    version: int
    spec: Spec
    runtime: Runtime
    expected: NDArray[np.float32] | None

    @classmethod
    def of(cls, installed: Installed, runtime: str = AUTO) -> "Model":
        """Raises Refused ("malformed", "incompatible", "unsupported") if the parts do not make a model."""
        return cls.build(
            installed.version, installed.graph, installed.spec, installed.weights, installed.encoding, runtime
        )

    @classmethod
    def build(
        cls, version: int, graph: bytes, spec: bytes, weights: bytes, encoding: str, runtime: str = AUTO
    ) -> "Model":
        decoded = encodings.decode(encoding, weights)
        tensors: Mapping[str, NDArray[np.float32]] = decoded.tensors
        return cls(version, Spec.decode(spec), choose(runtime).load(graph, tensors), decoded.selftest)

    def logits(self, windows: Values) -> Values:
        """(n, length, inputs) raw windows → (n, classes)."""
        return self.runtime.predict(self.spec.model_input(windows))

    def self_test(self) -> None:
        """Raises Refused("self_test") unless the golden windows give what they gave at release."""
        golden = self.spec.golden_windows()
        if self.expected is None or len(golden) != len(self.expected):
            raise Refused("self_test", "the release brings no expected outputs for its golden windows")
        if not len(golden):
            raise Refused("self_test", "the release brings no golden windows")
        got = self.logits(golden)
        wanted = (len(golden), len(self.spec.classes))
        if not got.shape == self.expected.shape == wanted or not np.isfinite(got).all():
            raise Refused("self_test", f"outputs of shape {got.shape}, not {wanted}, or not finite")
        off = float(np.max(np.abs(got - self.expected) / (1 + np.abs(self.expected))))
        if off > TOLERANCE:
            raise Refused("self_test", f"golden windows are off by {off:.3g}, {TOLERANCE} is allowed")


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Over the last axis, stable."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))

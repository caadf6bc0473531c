"""The light runtime: numpy alone, for the built-in sensor students `mlp`, `mobilenet1d` and `resnet1d`.

It reads the very artifacts that onnxruntime reads, with a reader of its own, and refuses by name the
operators of any other student. It needs less memory and more time: docs/runtimes.md.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from iot_stream.device.runtime import Weights, check_weights, check_windows
from iot_stream.device.runtime.graph import Graph
from iot_stream.device.runtime.plan import Plan
from iot_stream.device.runtime.step import INPUT, MOST_VALUES


class NumpyRuntime:
    """See `Runtime`. Not for several threads at once: swap between two predictions."""

    name = f"numpy {np.__version__}"

    def __init__(self, plan: Plan, weights: Weights) -> None:
        self._plan = plan
        self._at_once = max(1, MOST_VALUES // plan.values)
        self._weights = self._own(weights)

    @classmethod
    def load(cls, graph: bytes, weights: Weights) -> Self:
        """From an ONNX graph whose inputs are `x` (n, length, channels) and each weight by name.

        Raises Refused: "unsupported" for a graph beyond the built-in sensor students, else "incompatible".
        """
        return cls(Plan.of(Graph.read(graph)), weights)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, classes) float32 of windows x (n, length, channels).

        Raises Refused("incompatible", …) if the windows are not those that the graph was made for.
        """
        check_windows(self._plan.window, x)
        logits = np.empty((len(x), self._plan.classes), np.float32)
        with np.errstate(all="ignore"):  # NaN and infinity are the device's matter, which looks for them
            for begin in range(0, len(x), self._at_once):
                part = slice(begin, begin + self._at_once)
                logits[part] = self._run(np.asarray(x[part], np.float32))
        return logits

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        values = {**self._weights, INPUT: x}
        for step in self._plan.steps:
            values[step.output] = step.run(values)
        return values[self._plan.output]

    def swap(self, weights: Weights) -> None:
        """The next prediction is by `weights`; Refused("incompatible", …) leaves the old ones in place."""
        self._weights = self._own(weights)

    def _own(self, weights: Weights) -> dict[str, NDArray[np.float32]]:
        check_weights(self._plan.weights, weights)
        return {name: np.array(weight, np.float32, order="C") for name, weight in weights.items()}

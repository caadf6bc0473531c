"""LiteRT: the fastest runtime for the built-in sensor students; an extra.

It runs a `.tflite` that the device makes by itself from the released artifacts. A swap makes another one,
which takes milliseconds.
"""

from typing import Self

import ai_edge_litert
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from iot_stream.device.runtime import Weights, check_weights, check_windows
from iot_stream.device.runtime.graph import Graph
from iot_stream.device.runtime.plan import Plan
from iot_stream.device.runtime.tflite import tflite
from iot_stream.errors import Refused


class LiteRtRuntime:
    """See `Runtime`. Not for several threads at once: swap between two predictions."""

    name = f"litert {ai_edge_litert.__version__}"

    def __init__(self, plan: Plan, weights: Weights) -> None:
        self._plan = plan
        self._interpreter = self._made(weights)
        self._window = self._interpreter.get_input_details()[0]["index"]
        self._logits = self._interpreter.get_output_details()[0]["index"]

    @classmethod
    def load(cls, graph: bytes, weights: Weights) -> Self:
        """From an ONNX graph whose inputs are `x` (n, length, channels) and each weight by name.

        Raises Refused: "unsupported" for a graph beyond the built-in sensor students, else "incompatible".
        """
        return cls(Plan.of(Graph.read(graph)), weights)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, classes) float32 of windows x (n, length, channels), one after another.

        Raises Refused("incompatible", …) if the windows are not those that the graph was made for.
        """
        check_windows(self._plan.window, x)
        logits = np.empty((len(x), self._plan.classes), np.float32)
        for number, window in enumerate(np.asarray(x, np.float32)):
            self._interpreter.set_tensor(self._window, window[None])
            self._interpreter.invoke()
            logits[number] = self._interpreter.get_tensor(self._logits)[0]
        return logits

    def swap(self, weights: Weights) -> None:
        """The next prediction is by `weights`; Refused("incompatible", …) leaves the old ones in place."""
        self._interpreter = self._made(weights)

    def _made(self, weights: Weights) -> Interpreter:
        check_weights(self._plan.weights, weights)
        content = tflite(self._plan, weights)
        try:
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Refused("incompatible", f"LiteRT cannot load the graph: {error}") from error
        return interpreter

"""The default runtime: onnxruntime, with the weights as inputs of the graph.

So a release changes what is bound, not the session: swapping costs microseconds, and a new binding
replaces the old one in one assignment. One thread and no memory arena, for a device has few cores and
little memory.
"""

from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from iot_stream.device.runtime import Weights, check_weights, check_windows
from iot_stream.errors import Refused

INPUT = "x"
FATAL = 4
"""onnxruntime's severity under which it keeps silent; its errors come to us as exceptions."""

onnxruntime.set_default_logger_severity(FATAL)


class OnnxRuntime:
    """See `Runtime`. Not for several threads at once: swap between two predictions."""

    name = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, session: onnxruntime.InferenceSession, weights: Weights) -> None:
        self._session = session
        self._shapes = {each.name: tuple(each.shape) for each in session.get_inputs()}
        if INPUT not in self._shapes:
            raise Refused("incompatible", f"the graph has no input {INPUT!r}, only {sorted(self._shapes)}")
        self._output = session.get_outputs()[0].name
        self._window = self._shapes.pop(INPUT)[1:]
        self._bound = self._bind(weights)

    @classmethod
    def load(cls, graph: bytes, weights: Weights) -> Self:
        """A session of an ONNX graph whose inputs are `x` (n, length, channels) and each weight by name."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = FATAL
        try:
            session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise Refused("incompatible", f"onnxruntime cannot load the graph: {error}") from error
        return cls(session, weights)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, classes) float32 of windows x (n, length, channels).

        Raises Refused("incompatible", …) if the windows are not those that the graph was made for.
        """
        check_windows(self._window, x)
        windows = np.ascontiguousarray(x, dtype=np.float32)
        self._bound.bind_cpu_input(INPUT, windows)
        self._bound.bind_output(self._output)
        self._session.run_with_iobinding(self._bound)
        return np.asarray(self._bound.copy_outputs_to_cpu()[0])

    def swap(self, weights: Weights) -> None:
        """The next prediction is by `weights`; Refused("incompatible", …) leaves the old ones in place."""
        self._bound = self._bind(weights)

    def _bind(self, weights: Weights) -> onnxruntime.IOBinding:
        """A binding that holds its own copy of weights that fit the graph."""
        check_weights(self._shapes, weights)
        bound = self._session.io_binding()
        for name, weight in weights.items():
            bound.bind_cpu_input(name, np.array(weight, dtype=np.float32, order="C"))
        return bound

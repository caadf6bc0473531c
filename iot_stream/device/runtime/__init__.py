"""How a device runs a model: one small interface, one file a runtime, none imported that is not chosen."""

import importlib
from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from iot_stream.errors import ConfigError, Refused

Weights = Mapping[str, NDArray[np.float32]]

RUNTIMES = {
    "onnxruntime": ("onnx", "OnnxRuntime"),
    "numpy": ("numpy", "NumpyRuntime"),
    "litert": ("litert", "LiteRtRuntime"),
}
"""Name in a device's settings → module of this package and its class."""
AUTO = "auto"


class Runtime(Protocol):
    """A loaded graph with weights that can be swapped while it goes on predicting."""

    name: str

    @classmethod
    def load(cls, graph: bytes, weights: Weights) -> Self:
        """Raises Refused if graph and weights do not make a model: "incompatible", or "unsupported" where
        another runtime might run it."""
        ...

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, classes) of windows (n, length, channels)."""
        ...

    def swap(self, weights: Weights) -> None:
        """Takes other weights of the same graph; if they do not fit it raises and keeps the old ones."""
        ...


def choose(name: str) -> type[Runtime]:
    """The runtime of that name; `auto`: onnxruntime where it is installed, else numpy. Raises ConfigError."""
    if name == AUTO:
        try:
            return _imported("onnxruntime")
        except ImportError:
            return _imported("numpy")
    if name not in RUNTIMES:
        raise ConfigError(f"runtime: {name!r} is none of {', '.join([AUTO, *RUNTIMES])}")
    try:
        return _imported(name)
    except ImportError as error:
        raise ConfigError(
            f"runtime: {name} cannot be loaded: {error}; `{AUTO}` takes what is there"
        ) from error


def _imported(name: str) -> type[Runtime]:
    module, attribute = RUNTIMES[name]
    found: type[Runtime] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found


def check_weights(shapes: Mapping[str, tuple[int, ...]], weights: Weights) -> None:
    """Raises Refused("incompatible") unless the weights fit, name by name, shape by shape."""
    given = {name: tuple(weight.shape) for name, weight in weights.items()}
    if given != shapes:
        names = sorted(given.keys() | shapes)
        wrong = [name for name in names if given.get(name) != shapes.get(name)]
        raise Refused("incompatible", f"weights that do not fit the graph's inputs: {', '.join(wrong)}")


def check_windows(shape: tuple[int, ...], x: NDArray[np.float32]) -> None:
    """Raises Refused("incompatible") unless these are windows (n, *shape)."""
    if x.shape[1:] != shape:
        raise Refused("incompatible", f"the model takes windows {shape}, these are {x.shape[1:]}")

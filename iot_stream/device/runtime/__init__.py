"""How a device runs a model: one small interface, one file a runtime."""

from collections.abc import Mapping
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[np.float32]]


class Runtime(Protocol):
    """A loaded graph with weights that can be swapped while it goes on predicting."""

    name: str

    @classmethod
    def load(cls, graph: bytes, weights: Weights) -> Self:
        """Raises Refused("incompatible", …) if graph and weights do not make a model."""
        ...

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, classes) of windows (n, length, channels)."""
        ...

    def swap(self, weights: Weights) -> None:
        """Takes other weights of the same graph; if they do not fit it raises and keeps the old ones."""
        ...

"""What a node of a graph becomes: a step, whose shapes are known before the first window.

All that flows has the windows as its first dimension, so shapes here are those of one window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from iot_stream.device.runtime.graph import Attribute, Node
from iot_stream.errors import Refused

INPUT = "x"
MOST_VALUES = 1 << 22
"""Floats that one window may take on its way through: 16 MB."""

Array = NDArray[np.float32]
Values = Mapping[str, Array]
"""Weights, and what flows with the windows first, by name."""
Shape = tuple[int, ...]


class Step(Protocol):
    """`output` of a `shape` from `inputs` that flow; `extra` floats are needed meanwhile."""

    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def output(self) -> str: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def products(self) -> int:
        """Multiplications, each with an addition."""
        ...

    @property
    def extra(self) -> int: ...
    def run(self, values: Values) -> Array: ...


@dataclass
class Known:
    """What a node can refer to."""

    weights: dict[str, Shape]
    constants: Mapping[str, NDArray[np.int64]]
    flow: dict[str, Shape] = field(default_factory=dict)

    def flowing(self, node: Node, place: int) -> tuple[str, Shape]:
        name = _input(node, place)
        if name not in self.flow:
            raise unfit(node, f"{name!r} does not come from the windows")
        return name, self.flow[name]

    def weight(self, node: Node, place: int) -> tuple[str, Shape]:
        name = _input(node, place)
        if name not in self.weights:
            raise unfit(node, f"{name!r} is no weight")
        return name, self.weights[name]

    def constant(self, node: Node, place: int) -> list[int]:
        name = _input(node, place)
        if name not in self.constants:
            raise unfit(node, f"{name!r} is no constant")
        return [int(each) for each in self.constants[name]]


def _input(node: Node, place: int) -> str:
    if place >= len(node.inputs) or not node.inputs[place]:
        raise unfit(node, f"input {place} is missing")
    return node.inputs[place]


def unfit(node: Node, what: str) -> Refused:
    return Refused("unsupported", f"operator {node.op} that makes {node.output!r}: {what}")


def attributes(node: Node, inputs: int, **defaults: Attribute) -> dict[str, Attribute]:
    """The node's attributes over the defaults; raises Refused for others, and for too many inputs."""
    if len(node.inputs) > inputs:
        raise unfit(node, f"{len(node.inputs)} inputs, at most {inputs} are known")
    for name, value in node.attributes.items():
        if name not in defaults or type(value) is not type(defaults[name]):
            raise unfit(node, f"attribute {name}={value!r} is not known")
    return defaults | node.attributes


def only(node: Node, found: Mapping[str, Attribute], **values: Attribute) -> None:
    """Raises Refused unless the attributes have just these values, for which a step is written."""
    for name, value in values.items():
        if found[name] != value:
            raise unfit(node, f"{name}={found[name]!r}, only {value!r} is known")

"""A graph as steps that are known to fit: every shape worked out and bounded before the first window.

What a step does stands in `operators`; the export to C writes the same steps down as a table.
"""

import math
from dataclasses import dataclass

from iot_stream.device.runtime.graph import Graph, Node
from iot_stream.device.runtime.operators import OPERATORS
from iot_stream.device.runtime.step import INPUT, MOST_VALUES, Known, Shape, Step
from iot_stream.errors import Refused

MOST_PRODUCTS = 1 << 30


@dataclass(frozen=True)
class Plan:
    """`window` (length, channels); shapes of `weights`; `steps` in order; `output` has `classes` logits."""

    window: Shape
    weights: dict[str, Shape]
    steps: tuple[Step, ...]
    output: str
    classes: int

    @property
    def values(self) -> int:
        """Floats that one window takes on its way through."""
        return math.prod(self.window) + sum(math.prod(step.shape) + step.extra for step in self.steps)

    @property
    def products(self) -> int:
        return sum(step.products for step in self.steps)

    @classmethod
    def of(cls, graph: Graph) -> "Plan":
        """Raises Refused: "incompatible" where names or shapes do not fit, "unsupported" for an operator, or
        a use of one, that is beyond the built-in sensor students, and for a graph that takes too much."""
        inputs = dict(graph.inputs)
        window = inputs.pop(INPUT, None)
        if window is None:
            raise Refused("incompatible", f"the graph has no input {INPUT!r}, only {sorted(inputs)}")
        if not window or window[0] is not None:
            raise Refused("incompatible", f"the graph takes {window}, not any number of windows")
        known = Known({name: _fixed(name, shape) for name, shape in inputs.items()}, graph.constants)
        if twice := (known.weights.keys() | {INPUT}) & known.constants.keys():
            raise Refused("incompatible", f"{min(twice)!r} is an input and a constant")
        known.flow[INPUT] = _fixed(INPUT, window[1:])
        steps = tuple(_step(node, known) for node in graph.nodes)
        if graph.output not in known.flow or len(known.flow[graph.output]) != 1:
            raise Refused("incompatible", f"the output {graph.output!r} is not one row a window")
        plan = cls(known.flow[INPUT], known.weights, steps, graph.output, known.flow[graph.output][0])
        if plan.products > MOST_PRODUCTS:
            raise Refused("unsupported", f"{plan.products} multiplications, at most {MOST_PRODUCTS}")
        return plan


def _fixed(name: str, shape: tuple[int | None, ...]) -> Shape:
    found = tuple(size for size in shape if size)
    if len(found) != len(shape) or math.prod(found) > MOST_VALUES:
        raise Refused("incompatible", f"input {name!r} of shape {shape}")
    return found


def _step(node: Node, known: Known) -> Step:
    make = OPERATORS.get(node.op)
    if make is None:
        have = ", ".join(sorted(OPERATORS))
        raise Refused("unsupported", f"operator {node.op!r}; known are {have}")
    if node.output in known.flow.keys() | known.weights.keys() | known.constants.keys():
        raise Refused("incompatible", f"{node.output!r} is made twice")
    step = make(node, known)
    known.flow[node.output] = step.shape
    if step.extra + sum(map(math.prod, known.flow.values())) > MOST_VALUES:
        raise Refused("unsupported", f"{node.output!r} of {step.shape} takes too much memory")
    return step

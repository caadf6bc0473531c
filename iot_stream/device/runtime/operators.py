"""The operators that the built-in sensor students come to once they are folded, in numpy.

Semantics: https://onnx.ai/onnx/operators. A class is a step of a plan; the function after it says what of the
operator it knows. Anything else is refused by name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iot_stream.device.runtime.graph import Node
from iot_stream.device.runtime.step import Array, Known, Shape, Step, Values, attributes, only, unfit

OPERATORS: dict[str, Callable[[Node, Known], Step]] = {}


def operator(name: str) -> Callable[[Callable[[Node, Known], Step]], Callable[[Node, Known], Step]]:
    """Register how a node of this operator becomes a step; it raises Refused("unsupported")."""

    def register(make: Callable[[Node, Known], Step]) -> Callable[[Node, Known], Step]:
        OPERATORS[name] = make
        return make

    return register


@dataclass(frozen=True)
class _Step:
    inputs: tuple[str, ...]
    output: str
    shape: Shape

    @property
    def products(self) -> int:
        return 0

    @property
    def extra(self) -> int:
        return 0


@dataclass(frozen=True)
class Conv(_Step):
    """Convolution along time: (inputs, length) → (outputs, length), in `group` groups that do not mix."""

    weight: str
    weights: Shape  # (outputs, inputs of a group, kernel)
    bias: str | None
    source: Shape
    group: int
    stride: int
    pads: tuple[int, int]

    @property
    def products(self) -> int:
        return math.prod(self.weights) * self.shape[1]

    @property
    def extra(self) -> int:
        channels, length = self.source
        return channels * (length + sum(self.pads)) + channels * self.weights[2] * self.shape[1]

    def run(self, values: Values) -> Array:
        """As a product of matrices, a column holding what the kernel sees at one moment."""
        x = values[self.inputs[0]]
        outputs, inner, kernel = self.weights
        padded = np.zeros((len(x), self.source[0], self.source[1] + sum(self.pads)), np.float32)
        padded[:, :, self.pads[0] : self.pads[0] + self.source[1]] = x
        window, channel, moment = padded.strides
        # numpy checks that such a view stays within its buffer, as `as_strided` would not.
        columns: Array = np.ndarray(
            (len(x), self.group, inner, kernel, self.shape[1]),
            np.float32,
            padded,
            strides=(window, inner * channel, channel, moment, self.stride * moment),
        )
        weight = values[self.weight].reshape(self.group, outputs // self.group, inner * kernel)
        made = weight @ columns.reshape(len(x), self.group, inner * kernel, self.shape[1])
        made = made.reshape(len(x), *self.shape)
        return made if self.bias is None else made + values[self.bias][:, None]


@operator("Conv")
def conv(node: Node, known: Known) -> Conv:
    x, source = known.flowing(node, 0)
    weight, weights = known.weight(node, 1)
    if len(source) != 2 or len(weights) != 3:
        raise unfit(node, f"it runs along {len(weights) - 2} dimensions; along one, time, is known")
    (channels, length), (outputs, inner, kernel) = source, weights
    found = attributes(
        node, 3, group=1, pads=[0, 0], strides=[1], dilations=[1], kernel_shape=[kernel], auto_pad="NOTSET"
    )
    only(node, found, dilations=[1], kernel_shape=[kernel], auto_pad="NOTSET")
    group, pads, strides = found["group"], found["pads"], found["strides"]
    if not isinstance(group, int) or group < 1 or inner * group != channels or outputs % group:
        raise unfit(node, f"{group} groups for weights {weights} and {channels} channels")
    if not isinstance(pads, list) or len(pads) != 2 or not all(0 <= each <= kernel for each in pads):
        raise unfit(node, f"pads {pads}")
    if not isinstance(strides, list) or len(strides) != 1 or strides[0] < 1:
        raise unfit(node, f"strides {strides}")
    room = length + sum(pads) - kernel
    if room < 0:
        raise unfit(node, f"a kernel of {kernel} over {length} moments")
    bias = _bias(node, known, outputs) if len(node.inputs) > 2 else None
    shape = (outputs, room // strides[0] + 1)
    return Conv(
        (x,), node.output, shape, weight, weights, bias, source, group, strides[0], (pads[0], pads[1])
    )


def _bias(node: Node, known: Known, outputs: int) -> str:
    name, shape = known.weight(node, 2)
    if shape != (outputs,):
        raise unfit(node, f"bias of shape {shape} for {outputs} outputs")
    return name


@dataclass(frozen=True)
class Linear(_Step):
    """x·Wᵀ + b of a row, or x·W + b where the weight is not `turned`."""

    weight: str
    weights: Shape
    bias: str
    turned: bool

    @property
    def products(self) -> int:
        return math.prod(self.weights)

    def run(self, values: Values) -> Array:
        weight = values[self.weight]
        return values[self.inputs[0]] @ (weight.T if self.turned else weight) + values[self.bias]


@operator("Gemm")
def gemm(node: Node, known: Known) -> Linear:
    x, source = known.flowing(node, 0)
    weight, weights = known.weight(node, 1)
    found = attributes(node, 3, alpha=1.0, beta=1.0, transA=0, transB=0)
    only(node, found, alpha=1.0, beta=1.0, transA=0)
    turned = bool(found["transB"])
    if len(source) != 1 or len(weights) != 2 or weights[turned] != source[0]:
        raise unfit(node, f"weights {weights} for {source}")
    outputs = weights[not turned]
    return Linear((x,), node.output, (outputs,), weight, weights, _bias(node, known, outputs), turned)


class Relu(_Step):
    def run(self, values: Values) -> Array:
        return np.maximum(values[self.inputs[0]], np.float32(0))


class Tanh(_Step):
    def run(self, values: Values) -> Array:
        return np.tanh(values[self.inputs[0]])


class Add(_Step):
    def run(self, values: Values) -> Array:
        return values[self.inputs[0]] + values[self.inputs[1]]


@operator("Relu")
def relu(node: Node, known: Known) -> Relu:
    attributes(node, 1)
    x, shape = known.flowing(node, 0)
    return Relu((x,), node.output, shape)


@operator("Tanh")
def tanh(node: Node, known: Known) -> Tanh:
    attributes(node, 1)
    x, shape = known.flowing(node, 0)
    return Tanh((x,), node.output, shape)


@operator("Add")
def add(node: Node, known: Known) -> Add:
    attributes(node, 2)
    (one, shape), (other, others) = known.flowing(node, 0), known.flowing(node, 1)
    if shape != others:
        raise unfit(node, f"{shape} and {others}")
    return Add((one, other), node.output, shape)


class Transpose(_Step):
    """(length, channels) → (channels, length)"""

    def run(self, values: Values) -> Array:
        return values[self.inputs[0]].transpose(0, 2, 1)


@operator("Transpose")
def transpose(node: Node, known: Known) -> Transpose:
    x, shape = known.flowing(node, 0)
    only(node, attributes(node, 1, perm=[]), perm=[0, 2, 1])
    if len(shape) != 2:
        raise unfit(node, f"of {shape}")
    return Transpose((x,), node.output, shape[::-1])


class Flat(_Step):
    """Each window as one row."""

    def run(self, values: Values) -> Array:
        x = values[self.inputs[0]]
        return x.reshape(len(x), self.shape[0])


@operator("Reshape")
def reshape(node: Node, known: Known) -> Flat:
    x, shape = known.flowing(node, 0)
    attributes(node, 2, allowzero=0)
    flat = math.prod(shape)
    if known.constant(node, 1) != [-1, flat]:
        raise unfit(node, f"{shape} to {known.constant(node, 1)}, only to rows of {flat}")
    return Flat((x,), node.output, (flat,))


@operator("Flatten")
def flatten(node: Node, known: Known) -> Flat:
    x, shape = known.flowing(node, 0)
    only(node, attributes(node, 1, axis=1), axis=1)
    return Flat((x,), node.output, (math.prod(shape),))


class Mean(_Step):
    """Over time: (channels, length) → (channels,)"""

    def run(self, values: Values) -> Array:
        return np.asarray(values[self.inputs[0]].mean(axis=2))


@operator("ReduceMean")
def mean(node: Node, known: Known) -> Mean:
    x, shape = known.flowing(node, 0)
    only(node, attributes(node, 2, keepdims=1, noop_with_empty_axes=0), keepdims=0)
    if len(shape) != 2 or known.constant(node, 1) not in ([2], [-1]):
        raise unfit(node, f"over {known.constant(node, 1)} of {shape}, only over the last is known")
    return Mean((x,), node.output, shape[:1])

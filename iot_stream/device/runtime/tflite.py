"""A plan with its weights as a `.tflite`: written with the tables of its schema that LiteRT brings along.

So neither torch nor a converter is needed, and a device makes it from the artifacts that all runtimes read.
Time is the width of a picture of height 1, channels last: what the plan transposes is only reshaped here.
"""

from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from iot_stream.device.runtime import operators
from iot_stream.device.runtime.plan import Plan
from iot_stream.device.runtime.step import INPUT, Shape, Step
from iot_stream.errors import Refused

Codes = schema.BuiltinOperator
Options = schema.BuiltinOptions


def tflite(plan: Plan, weights: Mapping[str, NDArray[np.float32]], description: str = "") -> bytes:
    """One window `x` (1, length, channels) in, logits (1, classes) out; raises Refused("unsupported")."""
    writer = _Writer(weights)
    writer.tensor(INPUT, (1, *plan.window))
    for step in plan.steps:
        writer.add(step)
    return writer.packed(INPUT, plan.output, description)


class _Writer:
    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        self._weights = weights
        self._buffers = [schema.BufferT()]  # the first is that of all that has none
        self._operators: list[schema.OperatorT] = []
        self._codes: list[int] = []
        self.tensors: list[schema.TensorT] = []
        self.numbers: dict[str, int] = {}

    def tensor(self, name: str, shape: Shape, data: NDArray[np.generic] | None = None) -> str:
        """Its name; with data it is a constant."""
        made = schema.TensorT()
        made.name, made.shape = name, list(shape)
        integer = data is not None and data.dtype == np.int32
        made.type = schema.TensorType.INT32 if integer else schema.TensorType.FLOAT32
        made.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self.numbers[name] = len(self.tensors)
        self.tensors.append(made)
        return name

    def table(self, name: str, values: object) -> str:
        """A constant of int32."""
        data = np.array(values, np.int32)
        return self.tensor(name, data.shape, data)

    def weight(self, name: str, data: NDArray[np.float32] | None = None) -> str:
        """A weight, or `data` in its place; one that several steps share is written once for each."""
        data = self._weights[name] if data is None else data
        return self.tensor(name, data.shape, data)

    def operator(
        self, code: int, inputs: Sequence[str], output: str, kind: int = 0, **options: object
    ) -> None:
        made = schema.OperatorT()
        if code not in self._codes:
            self._codes.append(code)
        made.opcodeIndex = self._codes.index(code)
        made.inputs = [self.numbers[name] for name in inputs]
        made.outputs = [self.numbers[output]]
        if kind:
            made.builtinOptionsType = kind
            made.builtinOptions = getattr(schema, f"{_NAMES[kind]}T")()
            for name, value in options.items():
                setattr(made.builtinOptions, name, value)
        self._operators.append(made)

    def add(self, step: Step) -> None:
        """The operators of one step; its output is (1, 1, length, channels) or (1, values)."""
        x, output = step.inputs[0], step.output
        flat = len(step.shape) == 1
        shape = (1, step.shape[0]) if flat else (1, 1, step.shape[1], step.shape[0])
        match step:
            case operators.Conv():
                self._convolve(step, shape)
            case operators.Linear():
                weight = self._weights[step.weight]
                self.weight(step.weight, weight if step.turned else np.ascontiguousarray(weight.T))
                self.weight(step.bias)
                self.tensor(output, shape)
                inputs = (x, step.weight, step.bias)
                self.operator(Codes.FULLY_CONNECTED, inputs, output, Options.FullyConnectedOptions)
            case operators.Mean():
                self.table(f"{output}:axes", [1, 2])
                self.tensor(output, shape)
                self.operator(Codes.MEAN, (x, f"{output}:axes"), output, Options.ReducerOptions)
            case operators.Transpose() | operators.Flat():
                if x != INPUT:
                    raise Refused("unsupported", f"{output!r}: LiteRT turns or flattens the window alone")
                self.table(f"{output}:shape", shape)
                self.tensor(output, shape)
                self.operator(Codes.RESHAPE, (x, f"{output}:shape"), output, Options.ReshapeOptions)
            case operators.Relu():
                self.tensor(output, shape)
                self.operator(Codes.RELU, (x,), output)
            case operators.Tanh():
                self.tensor(output, shape)
                self.operator(Codes.TANH, (x,), output)
            case operators.Add():
                self.tensor(output, shape)
                self.operator(Codes.ADD, step.inputs, output, Options.AddOptions)
            case _:
                raise Refused("unsupported", f"LiteRT has no step {type(step).__name__}")

    def _convolve(self, step: operators.Conv, shape: Shape) -> None:
        x, output = step.inputs[0], step.output
        channels, length = step.source
        if any(step.pads):
            self.table(f"{output}:pads", [[0, 0], [0, 0], step.pads, [0, 0]])
            padded = self.tensor(f"{output}:padded", (1, 1, length + sum(step.pads), channels))
            self.operator(Codes.PAD, (x, f"{output}:pads"), padded, Options.PadOptions)
            x = padded
        weight = self._weights[step.weight]  # (outputs, inputs of a group, kernel)
        depthwise = step.group > 1
        if depthwise and not step.group == channels == step.weights[0]:
            raise Refused("unsupported", f"{output!r}: LiteRT has groups of one channel, or one group")
        turned = weight.transpose(1, 2, 0)[None] if depthwise else weight.transpose(0, 2, 1)[:, None]
        self.weight(step.weight, np.ascontiguousarray(turned))
        if step.bias is None:
            self.tensor(f"{output}:bias", (shape[3],), np.zeros(shape[3], np.float32))
        else:
            self.weight(step.bias)
        self.tensor(output, shape)
        self.operator(
            Codes.DEPTHWISE_CONV_2D if depthwise else Codes.CONV_2D,
            (x, step.weight, step.bias or f"{output}:bias"),
            output,
            Options.DepthwiseConv2DOptions if depthwise else Options.Conv2DOptions,
            padding=schema.Padding.VALID,
            strideW=step.stride,
            strideH=1,
            **({"depthMultiplier": 1} if depthwise else {}),
        )

    def packed(self, window: str, logits: str, description: str) -> bytes:
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self.tensors, self._operators
        graph.inputs, graph.outputs = [self.numbers[window]], [self.numbers[logits]]
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        model.description = description
        model.operatorCodes = [_code(each) for each in self._codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


_NAMES = {number: name for name, number in vars(Options).items() if not name.startswith("_")}


def _code(operator: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    code.version = 1
    return code

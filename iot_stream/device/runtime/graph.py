"""An ONNX graph read without the `onnx` package: what computes, and nothing else of it.

Numbers of fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3. What a graph
may hold beside nodes, inputs, an output and tables of integers (functions, sparse tensors, inner graphs)
is refused, not skipped: it would change the result.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.device.runtime.protobuf import FIXED32, Field, broken, fields
from iot_stream.errors import Refused

FLOAT, INT64 = 1, 7
OLDEST = 18
"""The first set of operators in which ReduceMean takes its axes as an input."""
MOST_DIMENSIONS = 8
MOST_NODES = 1_000
MOST_CONSTANTS = 1_000  # integers in one table, which holds a shape or axes

Attribute = int | float | str | list[int]
Shape = tuple[int | None, ...]
"""None where a dimension is named, not numbered."""


@dataclass(frozen=True)
class Node:
    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class Graph:
    """`inputs` float32 by name, in order; `constants` int64 tables; `nodes` in the order of running."""

    inputs: dict[str, Shape]
    constants: dict[str, NDArray[np.int64]]
    nodes: tuple[Node, ...]
    output: str

    @classmethod
    def read(cls, content: bytes) -> "Graph":
        """From an ONNX model; raises Refused: "incompatible" for other bytes, "unsupported" for what is
        beyond this reader."""
        graph, versions = None, []
        for field in fields(memoryview(content)):
            if field.number == 7:
                graph = field.message()
            elif field.number == 8:
                versions += _operator_set(field.message())
            elif field.number == 25:
                raise Refused("unsupported", "a graph with functions of its own")
        if graph is None:
            raise broken("there is none in it")
        if not versions or min(versions) < OLDEST:
            raise Refused("unsupported", f"operators of ONNX {versions}, from {OLDEST} on are known")
        return cls._of(graph)

    @classmethod
    def _of(cls, message: memoryview) -> "Graph":
        inputs: dict[str, Shape] = {}
        constants: dict[str, NDArray[np.int64]] = {}
        nodes: list[Node] = []
        outputs: list[str] = []
        for field in fields(message):
            if field.number == 1:
                nodes.append(_node(field.message()))
            elif field.number == 5:
                name, table = _constant(field.message())
                constants[name] = table
            elif field.number == 11:
                name, shape = _value(field.message())
                if name in inputs:
                    raise broken(f"two inputs {name!r}")
                inputs[name] = shape
            elif field.number == 12:
                outputs.append(_name(field.message()))
            elif field.number == 15:
                raise Refused("unsupported", "a graph with sparse tensors")
            if len(nodes) > MOST_NODES:
                raise Refused("unsupported", f"a graph of more than {MOST_NODES} nodes")
        if len(outputs) != 1:
            raise broken(f"{len(outputs)} outputs")
        return cls(inputs, constants, tuple(nodes), outputs[0])


def _operator_set(message: memoryview) -> list[int]:
    """The version of ONNX's own operators; those of others come to light where a node names them."""
    domain, version = "", 0
    for field in fields(message):
        if field.number == 1:
            domain = field.text()
        elif field.number == 2:
            version = field.integer()
    return [version] if domain in ("", "ai.onnx") else []


def _node(message: memoryview) -> Node:
    inputs: list[str] = []
    outputs: list[str] = []
    op, domain = "", ""
    attributes: dict[str, Attribute] = {}
    for field in fields(message):
        if field.number == 1:
            inputs.append(field.text())
        elif field.number == 2:
            outputs.append(field.text())
        elif field.number == 4:
            op = field.text()
        elif field.number == 5:
            name, value = _attribute(field.message())
            attributes[name] = value
        elif field.number == 7:
            domain = field.text()
    if domain not in ("", "ai.onnx"):
        raise Refused("unsupported", f"operator {op!r} of {domain!r}")
    if len(outputs) != 1 or not outputs[0]:
        raise Refused("unsupported", f"operator {op!r} with outputs {outputs}")
    return Node(op, tuple(inputs), outputs[0], attributes)


def _attribute(message: memoryview) -> tuple[str, Attribute]:
    name, kind = "", 0
    value: Attribute | None = None
    listed: list[int] = []
    for field in fields(message):
        if field.number == 1:
            name = field.text()
        elif field.number == 2:
            value = _float(field)
        elif field.number == 3:
            value = field.integer()
        elif field.number == 4:
            value = field.text()
        elif field.number == 8:
            listed += field.integers()
        elif field.number == 20:
            kind = field.integer()
    defaults: dict[int, Attribute] = {1: 0.0, 2: 0, 3: ""}  # proto3 leaves out what is nothing
    if kind == 7:
        return name, listed
    if kind not in defaults:
        raise Refused("unsupported", f"attribute {name!r} of type {kind}")
    found = defaults[kind] if value is None else value
    if type(found) is not type(defaults[kind]):
        raise broken(f"attribute {name!r} is not of its type")
    return name, found


def _float(field: Field) -> float:
    if field.kind != FIXED32 or isinstance(field.value, int):
        raise broken(f"field {field.number} is no float")
    return float(struct.unpack("<f", field.value)[0])


def _constant(message: memoryview) -> tuple[str, NDArray[np.int64]]:
    """A tensor of int64 of one dimension."""
    name, kind = "", 0
    shape: list[int] = []
    listed: list[int] = []
    raw: memoryview | None = None
    for field in fields(message):
        if field.number == 1:
            shape += field.integers()
        elif field.number == 2:
            kind = field.integer()
        elif field.number == 7:
            listed += field.integers()
        elif field.number == 8:
            name = field.text()
        elif field.number == 9:
            raw = field.message()
        elif field.number in (13, 14):
            raise Refused("unsupported", f"tensor {name!r} in a file of its own")
    if kind != INT64 or len(shape) != 1:
        raise Refused(
            "unsupported", f"constant {name!r} of type {kind} and shape {shape}, not a list of int64"
        )
    size = len(listed) if raw is None else len(raw) // 8
    if size > MOST_CONSTANTS or (raw is not None and len(raw) % 8) or [size] != shape:
        raise broken(f"constant {name!r} of shape {shape} with {size} values")
    return name, np.array(listed, np.int64) if raw is None else np.frombuffer(raw, "<i8").astype(np.int64)


def _value(message: memoryview) -> tuple[str, Shape]:
    """Name and shape of a float32 input: ValueInfoProto → TypeProto → Tensor → shape → dimensions."""
    name = ""
    tensor: memoryview | None = None
    for field in fields(message):
        if field.number == 1:
            name = field.text()
        elif field.number == 2:
            for part in fields(field.message()):
                if part.number != 1:
                    raise Refused("unsupported", f"input {name!r} is no tensor")
                tensor = part.message()
    kind, shape = 0, []
    for field in fields(tensor if tensor is not None else memoryview(b"")):
        if field.number == 1:
            kind = field.integer()
        elif field.number == 2:
            shape = [_dimension(part) for part in fields(field.message()) if part.number == 1]
    if kind != FLOAT or len(shape) > MOST_DIMENSIONS:
        raise Refused("unsupported", f"input {name!r} of type {kind} and {len(shape)} dimensions")
    return name, tuple(shape)


def _dimension(field: Field) -> int | None:
    size = None
    for part in fields(field.message()):
        if part.number == 1:
            size = part.integer()
    if size is not None and size < 0:
        raise broken("a dimension below zero")
    return size


def _name(message: memoryview) -> str:
    return next((field.text() for field in fields(message) if field.number == 1), "")

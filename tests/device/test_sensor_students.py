"""Runtimes with a reader of our own beside onnxruntime: all sensor students, and graphs that are spoilt."""

import gzip
import io
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from iot_stream.device.runtime.graph import MOST_NODES, Graph
from iot_stream.device.runtime.litert import LiteRtRuntime
from iot_stream.device.runtime.numpy import NumpyRuntime
from iot_stream.device.runtime.onnx import OnnxRuntime
from iot_stream.device.runtime.operators import OPERATORS
from iot_stream.device.runtime.plan import Plan
from iot_stream.distill.export import fold, graph, named_weights
from iot_stream.distill.models import build
from iot_stream.errors import Refused
from iot_stream.spec import normalisation

CLASSES = 3
OURS = (NumpyRuntime, LiteRtRuntime)
EVERY: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "mlp": {
        "hidden": st.lists(st.integers(1, 9), max_size=3),
        "activation": st.sampled_from(["tanh", "relu"]),
    },
    "mobilenet1d": {
        "stem": st.integers(1, 6),
        "stem_kernel": st.integers(1, 16),
        "stem_stride": st.integers(1, 5),
        "widths": st.lists(st.integers(1, 7), max_size=2),
        "kernel": st.integers(1, 16),
    },
    "resnet1d": {
        "stem": st.integers(1, 6),
        "stem_kernel": st.integers(1, 16).filter(lambda size: size % 2),
        "stem_stride": st.integers(1, 4),
        "widths": st.lists(st.integers(1, 7), max_size=2),
        "kernel": st.sampled_from([1, 3, 5, 9]),  # an even one does not fit its shortcut
    },
}


@cache
def student(arch: str, length: int, channels: int, seed: int = 0, **options: object) -> tuple[bytes, dict]:
    model = fold(build(arch, length, channels, CLASSES, seed=seed, **options))
    return graph(model, length, channels), named_weights(model)


def spread(weights: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Weights as large as after training, so that logits are far from nothing."""
    rng = np.random.default_rng(seed)
    return {name: (w + rng.standard_normal(w.shape) / 2).astype(np.float32) for name, w in weights.items()}


def assert_alike(content: bytes, weights: dict[str, np.ndarray], x: np.ndarray) -> None:
    wanted = OnnxRuntime.load(content, weights).predict(x)
    for kind in OURS:
        got = kind.load(content, weights).predict(x)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("arch", EVERY)
@given(st.data())
@settings(max_examples=3)
def test_any_sensor_student_gives_what_onnxruntime_gives(arch: str, data: st.DataObject) -> None:
    options = {name: data.draw(values, name) for name, values in EVERY[arch].items()}
    length, channels = data.draw(st.integers(16, 40), "length"), data.draw(st.integers(1, 4), "channels")
    model = fold(build(arch, length, channels, CLASSES, **options))
    seed = data.draw(st.integers(0, 9), "seed")
    x = 3 * np.random.default_rng(seed).standard_normal((5, length, channels)).astype(np.float32)
    assert_alike(graph(model, length, channels), spread(named_weights(model), seed), x)


@pytest.mark.parametrize("arch", EVERY)
def test_recorded_windows_give_what_onnxruntime_gives(arch: str) -> None:
    path = Path(__file__).parents[2] / "examples" / "occupancy" / "data"
    (first, *_) = sorted(path.glob("*.csv.gz"))
    with gzip.open(first, "rt") as lines:
        head = next(lines).replace('"', "").strip().split(",")
        columns = [head.index(name) - len(head) for name in ("Temperature", "Humidity", "CO2")]
        rows = [[float(line.split(",")[column]) for column in columns] for line in lines]
    recorded = np.array(rows[: 64 * 32], np.float32).reshape(32, 64, 3)
    mean, scale = (np.array(each, np.float32) for each in normalisation(recorded))
    content, weights = student(arch, 64, 3)
    assert_alike(content, spread(weights, 1), (recorded - mean) / scale)


def test_many_windows_at_once_give_what_one_gives() -> None:
    content, weights = student("resnet1d", 256, 2)
    runtime = NumpyRuntime.load(content, weights)
    x = np.random.default_rng(0).standard_normal((100, 256, 2)).astype(np.float32)
    assert len(x) > runtime._at_once
    alone = np.concatenate([runtime.predict(window[None]) for window in x])
    np.testing.assert_allclose(runtime.predict(x), alone, rtol=1e-5, atol=1e-6)
    assert runtime.predict(x[:0]).shape == (0, CLASSES)


# --- graphs that it does not know


def edited(edit: Callable[[onnx.ModelProto], object], arch: str = "mobilenet1d") -> bytes:
    model = onnx.load(io.BytesIO(student(arch, 64, 2)[0]))
    edit(model)
    return bytes(model.SerializeToString())


def node(model: onnx.ModelProto, op: str) -> onnx.NodeProto:
    return next(each for each in model.graph.node if each.op_type == op)


def attribute(model: onnx.ModelProto, op: str, name: str) -> onnx.AttributeProto:
    return next(each for each in node(model, op).attribute if each.name == name)


def of_a_function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], [], [helper.make_opsetid("", 20)]))


STRANGE: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "operator": (lambda m: setattr(node(m, "Relu"), "op_type", "Gelu"), "operator 'Gelu'; .* Conv, "),
    "domain": (lambda m: setattr(node(m, "Relu"), "domain", "com.microsoft"), "'Relu' of 'com.microsoft'"),
    "dilation": (lambda m: attribute(m, "Conv", "dilations").ints.__setitem__(0, 2), r"dilations=\[2\]"),
    "auto_pad": (lambda m: setattr(attribute(m, "Conv", "auto_pad"), "s", b"VALID"), "auto_pad='VALID'"),
    "alpha": (lambda m: setattr(attribute(m, "Gemm", "alpha"), "f", 2.0), "alpha=2.0"),
    "keepdims": (lambda m: setattr(attribute(m, "ReduceMean", "keepdims"), "i", 1), "keepdims=1"),
    "perm": (lambda m: attribute(m, "Transpose", "perm").ints.reverse(), r"perm=\[1, 2, 0\]"),
    "attribute": (
        lambda m: node(m, "Relu").attribute.append(helper.make_attribute("slope", 0.1)),
        "attribute slope=0.1",
    ),
    "function": (of_a_function, "functions of its own"),
    "old operators": (lambda m: setattr(m.opset_import[0], "version", 12), r"ONNX \[12\]"),
    "float constant": (
        lambda m: m.graph.initializer.append(helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0])),
        "constant 'c' of type 1",
    ),
    "too many nodes": (
        lambda m: m.graph.node.extend([node(m, "Relu")] * MOST_NODES),
        f"more than {MOST_NODES} nodes",
    ),
}


@pytest.mark.parametrize("what", STRANGE)
def test_what_it_does_not_know_is_refused_by_name(what: str) -> None:
    edit, said = STRANGE[what]
    for kind in OURS:
        with pytest.raises(Refused, match=said) as refusal:
            kind.load(edited(edit), student("mobilenet1d", 64, 2)[1])
        assert refusal.value.reason == "unsupported"


def test_a_student_of_pictures_is_refused() -> None:
    weights = {"w": np.zeros((1, 1, 3, 3), np.float32)}
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["logits"])],
        "picture",
        [value("x", TensorProto.FLOAT, ["n", 8, 8]), value("w", TensorProto.FLOAT, [1, 1, 3, 3])],
        [value("logits", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)])
    with pytest.raises(Refused, match="runs along 2 dimensions; along one, time, is known"):
        NumpyRuntime.load(model.SerializeToString(), weights)


@pytest.mark.timeout(60)
def test_a_graph_that_would_take_all_memory_is_refused_at_once() -> None:
    def longer(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40

    with pytest.raises(Refused):
        NumpyRuntime.load(edited(longer), student("mobilenet1d", 64, 2)[1])


def test_every_operator_is_in_some_student() -> None:
    used = {type_ for arch in EVERY for type_ in (n.op for n in Graph.read(student(arch, 64, 2)[0]).nodes)}
    assert used | {"Flatten"} == set(OPERATORS)
    for arch in EVERY:
        plan = Plan.of(Graph.read(student(arch, 64, 2)[0]))
        assert plan.products >= sum(np.prod(shape) for shape in plan.weights.values() if len(shape) > 1)


# --- bytes that nobody made


def mutated(content: bytes, data: st.DataObject) -> bytes:
    spoilt = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        way = data.draw(st.sampled_from(["flip", "set", "drop", "add", "cut"]))
        if way == "flip":
            spoilt[at] ^= 1 << data.draw(st.integers(0, 7))
        elif way == "set":
            spoilt[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
        elif way == "drop":
            del spoilt[at : at + data.draw(st.integers(1, 8))]
        elif way == "add":
            spoilt[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            del spoilt[at:]
        if not spoilt:
            break
    return bytes(spoilt)


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("arch", EVERY)
@given(st.data())
@settings(max_examples=200)
def test_a_spoilt_graph_is_refused_or_gives_a_result(
    kind: type[NumpyRuntime | LiteRtRuntime], arch: str, data: st.DataObject
) -> None:
    content, weights = student(arch, 64, 2, **({} if arch == "mlp" else {"stem": 4, "widths": (6,)}))
    x = np.random.default_rng(0).standard_normal((2, 64, 2)).astype(np.float32)
    began, reason = time.perf_counter(), ""
    try:
        runtime = kind.load(mutated(content, data), weights)
        assert runtime.predict(x).shape == (2, runtime._plan.classes)
    except Refused as refused:
        reason = refused.reason
    assert reason in ("", "incompatible", "unsupported")
    assert time.perf_counter() - began < 20, "it hung"


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        Graph.read(content)

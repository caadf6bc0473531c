"""What every runtime promises, tried on all of them."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import iot_stream.device.runtime
from iot_stream.device.runtime import AUTO, RUNTIMES, Runtime, Weights, choose
from iot_stream.device.runtime.litert import LiteRtRuntime
from iot_stream.device.runtime.numpy import NumpyRuntime
from iot_stream.device.runtime.onnx import OnnxRuntime
from iot_stream.errors import ConfigError, Refused

LENGTH, CHANNELS, CLASSES = 4, 2, 3


def linear_graph(window_input: str = "x") -> bytes:
    """logits = flatten(x) · w + b, built by hand."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Flatten", [window_input], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"]),
    ]
    inputs = [
        value(window_input, TensorProto.FLOAT, ["n", LENGTH, CHANNELS]),
        value("w", TensorProto.FLOAT, [LENGTH * CHANNELS, CLASSES]),
        value("b", TensorProto.FLOAT, [CLASSES]),
    ]
    outputs = [value("logits", TensorProto.FLOAT, ["n", CLASSES])]
    graph = helper.make_graph(nodes, "linear", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def weights(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "w": generator.standard_normal((LENGTH * CHANNELS, CLASSES)).astype(np.float32),
        "b": generator.standard_normal(CLASSES).astype(np.float32),
    }


def windows(number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((number, LENGTH, CHANNELS)).astype(np.float32)


def expected(x: np.ndarray, of: Weights) -> np.ndarray:
    return x.reshape(len(x), -1) @ of["w"] + of["b"]


@pytest.fixture(params=RUNTIMES)
def kind(request: pytest.FixtureRequest) -> type[Runtime]:
    return choose(request.param)


@pytest.fixture
def runtime(kind: type[Runtime]) -> Runtime:
    return kind.load(linear_graph(), weights(1))


def test_no_runtime_is_left_out_here() -> None:
    assert [choose(name) for name in RUNTIMES] == [OnnxRuntime, NumpyRuntime, LiteRtRuntime]
    folder = Path(str(iot_stream.device.runtime.__file__)).parent
    classes = [path.stem for path in folder.glob("*.py") if "Runtime:\n" in path.read_text()]
    assert sorted(classes) == sorted(module for module, _ in RUNTIMES.values())


@pytest.mark.parametrize("number", [1, 7])
def test_predict_is_what_the_graph_says(runtime: Runtime, number: int) -> None:
    logits = runtime.predict(windows(number))
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected(windows(number), weights(1)), rtol=1e-5, atol=1e-5)


def test_predict_takes_any_layout_and_keeps_earlier_answers(runtime: Runtime) -> None:
    first = runtime.predict(windows(3, seed=1))
    kept = first.copy()
    turned = np.asfortranarray(windows(3, seed=2).astype(np.float64))
    np.testing.assert_allclose(
        runtime.predict(turned), expected(windows(3, seed=2), weights(1)), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_array_equal(first, kept)


def test_swap_acts_on_the_next_window(runtime: Runtime) -> None:
    x = windows(2)
    for version in range(2, 30):
        runtime.swap(weights(version))
        np.testing.assert_allclose(runtime.predict(x), expected(x, weights(version)), rtol=1e-5, atol=1e-5)


def test_the_runtime_keeps_its_own_copy(runtime: Runtime) -> None:
    given = weights(2)
    runtime.swap(given)
    given["w"][:] = 0
    np.testing.assert_allclose(
        runtime.predict(windows(2)), expected(windows(2), weights(2)), rtol=1e-5, atol=1e-5
    )


def faulty() -> list[dict[str, np.ndarray]]:
    missing, extra, reshaped = weights(2), weights(2), weights(2)
    del missing["b"]
    extra["c"] = extra["b"]
    reshaped["w"] = reshaped["w"].T
    return [missing, extra, reshaped, {}]


@pytest.mark.parametrize("wrong", faulty())
def test_weights_that_do_not_fit_are_refused_and_the_old_go_on(
    runtime: Runtime, kind: type[Runtime], wrong: dict[str, np.ndarray]
) -> None:
    with pytest.raises(Refused, match="do not fit") as refusal:
        runtime.swap(wrong)
    assert refusal.value.reason == "incompatible"
    np.testing.assert_allclose(
        runtime.predict(windows(2)), expected(windows(2), weights(1)), rtol=1e-5, atol=1e-5
    )
    with pytest.raises(Refused, match="do not fit"):
        kind.load(linear_graph(), wrong)


@pytest.mark.parametrize("graph", [b"", b"no graph", linear_graph()[:-20], linear_graph("window")])
def test_a_graph_that_is_none_is_refused_quietly(
    kind: type[Runtime], graph: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused) as refusal:
        kind.load(graph, weights(1))
    assert refusal.value.reason == "incompatible"
    assert capfd.readouterr() == ("", "")


def test_windows_of_another_shape_are_refused(runtime: Runtime) -> None:
    with pytest.raises(Refused, match=r"takes windows \(4, 2\)"):
        runtime.predict(np.zeros((1, LENGTH + 1, CHANNELS), np.float32))


@cache
def exported(arch: str, length: int, channels: int) -> tuple[bytes, Any, Any]:
    """A graph, and two nets of it."""
    from iot_stream.distill.export import fold, graph
    from iot_stream.distill.models import build

    one, other = (fold(build(arch, length, channels, 4, seed=seed)) for seed in (1, 2))
    return graph(one, length, channels), one, other


@pytest.mark.parametrize(
    ("arch", "length", "channels"),
    [("mlp", 1, 10), ("mobilenet1d", 256, 2), ("resnet1d", 256, 2)],
)
def test_exported_graphs_agree_with_torch(kind: type[Runtime], arch: str, length: int, channels: int) -> None:
    from iot_stream.distill.export import named_weights
    from iot_stream.distill.trainer import predict

    content, one, other = exported(arch, length, channels)
    x = np.random.default_rng(0).standard_normal((20, length, channels)).astype(np.float32)
    runtime = kind.load(content, named_weights(one))
    np.testing.assert_allclose(runtime.predict(x), predict(one, x), rtol=1e-4, atol=1e-5)
    runtime.swap(named_weights(other))
    np.testing.assert_allclose(runtime.predict(x), predict(other, x), rtol=1e-4, atol=1e-5)
    for window, alone in zip(x[:3], runtime.predict(x[:3]), strict=True):
        np.testing.assert_allclose(runtime.predict(window[None])[0], alone, rtol=1e-4, atol=1e-5)


def loaded(name: str, among: set[str], without: str = "other") -> str:
    """Which of these modules a device process has after it chose this runtime where `without` is missing."""
    code = (
        f"import sys; sys.modules[{without!r}] = None; import iot_stream.device.__main__\n"
        "from iot_stream.device.runtime import choose\n"
        f"print(choose({name!r}).name.split()[0], sorted({among!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_device_loads_the_runtime_that_it_chose_and_no_other() -> None:
    heavy = {"torch", "onnx", "onnxruntime", "ai_edge_litert"}
    assert loaded("onnxruntime", heavy) == "onnxruntime ['onnxruntime']"
    assert loaded("numpy", heavy) == "numpy []"
    assert loaded("litert", heavy) == "litert ['ai_edge_litert']"
    assert loaded(AUTO, heavy) == "onnxruntime ['onnxruntime']"


def test_auto_is_numpy_where_onnxruntime_is_missing() -> None:
    assert loaded(AUTO, {"torch", "onnx"}, without="onnxruntime") == "numpy []"


def test_a_runtime_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'tensorflow' is none of auto, onnxruntime, numpy, litert"):
        choose("tensorflow")
    monkeypatch.delitem(sys.modules, "iot_stream.device.runtime.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"onnxruntime cannot be loaded.*`auto` takes what is there"):
        choose("onnxruntime")

"""The files that other programs read: the same logits from raw windows, the same network."""

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.numpy
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from safetensors import safe_open

from iot_stream.config import Network
from iot_stream.distill.export import load_weights
from iot_stream.distill.models import build
from iot_stream.distill.trainer import predict
from iot_stream.errors import ConfigError, ModelError
from iot_stream.export import Released
from iot_stream.export.litert_file import litert_file
from iot_stream.export.onnx_file import WINDOW, onnx_file
from iot_stream.export.torch_file import torch_file
from tests.export.compiled import CLASSES, SMALL, released


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("arch", ["mlp", "mobilenet1d"])
def test_an_onnx_file_gives_the_devices_logits_from_raw_windows(arch: str, masks: bool) -> None:
    version, model = released(arch, masks=masks)
    content = onnx_file(version)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [(each.name, each.shape) for each in session.get_inputs()] == [(WINDOW, ["n", 64, 2])]
    rng = np.random.default_rng(5)
    windows = rng.normal(0, 2, (50, 64, 2)).astype(np.float32)
    windows[rng.random(windows.shape) < 0.05] = np.nan
    windows[0, 0, 0], windows[1, 0, 0] = 3e38, -3e38
    (logits,) = session.run(["logits"], {WINDOW: windows})
    np.testing.assert_allclose(logits, model.logits(windows), rtol=1e-5, atol=1e-5)
    assert onnx_file(version) == content


def test_an_onnx_file_says_what_its_channels_and_classes_are() -> None:
    version, _ = released("mlp")
    props = {each.key: each.value for each in onnx.load_from_string(onnx_file(version)).metadata_props}
    assert json.loads(props["inputs"]) == list(SMALL.inputs)
    assert props["name"] == version.name
    assert json.loads(props["classes"]) == list(CLASSES)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'iot-stream\[train\]'"):
        onnx_file(released("mlp")[0])
    monkeypatch.delitem(sys.modules, "iot_stream.device.runtime.tflite", raising=False)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ConfigError, match=r"pip install 'iot-stream\[litert\]'"):
        litert_file(released("mlp")[0])


@pytest.mark.parametrize("arch", ["mlp", "mobilenet1d"])
def test_a_litert_file_gives_the_devices_logits_from_normalised_windows(arch: str) -> None:
    version, model = released(arch, masks=True)
    interpreter = Interpreter(model_content=litert_file(version), num_threads=1)
    interpreter.allocate_tensors()
    (window,), (said,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (window["name"], window["shape"].tolist()) == ("x", [1, 64, 4])
    assert said["name"] == "logits"
    windows = np.random.default_rng(7).normal(0, 2, (20, 64, 2)).astype(np.float32)
    for one, wanted in zip(version.spec.model_input(windows), model.logits(windows), strict=True):
        interpreter.set_tensor(window["index"], one[None])
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(said["index"])[0], wanted, rtol=1e-4, atol=1e-4)


def test_a_litert_file_describes_itself() -> None:
    version, _ = released("mlp")
    known = json.loads(schema.ModelT.InitFromPackedBuf(litert_file(version)).description)
    assert (known["name"], known["classes"], known["masks"]) == (version.name, list(CLASSES), False)
    assert known["mean"] == pytest.approx(version.spec.mean)


def test_a_student_beyond_litert_is_refused() -> None:
    version, _ = released("mlp")
    broken = Released(**(vars(version) | {"graph": b"no graph"}))
    with pytest.raises(ModelError, match="cannot be exported to LiteRT: the graph cannot be read"):
        litert_file(broken)


@pytest.mark.parametrize("arch", ["mlp", "mobilenet1d"])
def test_a_torch_file_builds_the_network_that_the_next_round_starts_from(arch: str, tmp_path) -> None:
    options = {"hidden": (7,)} if arch == "mlp" else {"widths": (6,)}
    version, model = released(arch, **options)
    path = tmp_path / "student.safetensors"
    path.write_bytes(torch_file(version, Network(arch, (), tuple(options.items()))))
    with safe_open(path, "np") as file:
        known = json.loads(file.metadata()["iot_stream"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    assert (known["name"], known["classes"], known["inputs"]) == (version.name, list(CLASSES), ["a", "b"])
    np.testing.assert_equal(weights, safetensors.numpy.load(version.resume))
    student = build(
        known["arch"], known["length"], known["channels"], len(known["classes"]), **known["options"]
    )
    x = np.random.default_rng(6).standard_normal((20, 64, 2)).astype(np.float32)
    mean, scale = np.array(known["mean"], np.float32), np.array(known["scale"], np.float32)
    said = predict(load_weights(student, weights), (x - mean) / scale)
    np.testing.assert_allclose(said, model.logits(x), rtol=0.1, atol=0.1)  # the device's are encoded

"""torchvision's nets as teacher and student: windows as images, pretrained files, the way to a device."""

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision import models

from iot_stream.config import Network
from iot_stream.config.learning import DistillSettings
from iot_stream.cut import Cut
from iot_stream.device.runtime.onnx import OnnxRuntime
from iot_stream.distill import export
from iot_stream.distill.material import Material
from iot_stream.distill.models import build, options, parameters
from iot_stream.distill.models.image import OnImage
from iot_stream.distill.student import Architecture, spec_for
from iot_stream.distill.trainer import distil, predict
from iot_stream.errors import ModelError
from iot_stream.spec import Spec

LENGTH, CHANNELS, CLASSES = 32, 10, 2
TORCHVISION: dict[str, Callable[..., nn.Module]] = {
    "resnet18": models.resnet18,
    "mobilenet_v2": models.mobilenet_v2,
}
HEAD = {"resnet18": "fc.", "mobilenet_v2": "classifier."}
both = pytest.mark.parametrize("arch", sorted(TORCHVISION))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a shared machine take ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def windows(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise around a level of each window's own; the class is its sign."""
    generator = np.random.default_rng(seed)
    levels = generator.standard_normal((number, 1, 1))
    x = levels + 0.5 * generator.standard_normal((number, LENGTH, CHANNELS))
    return x.astype(np.float32), (levels[:, 0, 0] > 0).astype(np.int64)


def of_imagenet(arch: str) -> dict[str, Tensor]:
    """A state dict with the head of 1000 classes, as torchvision's files are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        return dict(TORCHVISION[arch]().state_dict())


@both
@pytest.mark.parametrize(("length", "channels", "classes"), [(32, 10, 2), (128, 1, 5)])
def test_windows_become_logits_of_the_tasks_classes(
    arch: str, length: int, channels: int, classes: int
) -> None:
    model = build(arch, length, channels, classes, seed=1).eval()
    x = torch.randn(3, length, channels, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    assert logits.shape == (3, classes)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(model(x[1:2]), logits[1:2], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("arch", "millions"), [("resnet18", 11.2), ("mobilenet_v2", 2.2)])
def test_the_head_is_replaced_not_followed(arch: str, millions: float) -> None:
    model = build(arch, LENGTH, CHANNELS, CLASSES)
    assert [m.out_features for m in model.modules() if isinstance(m, nn.Linear)] == [CLASSES]
    assert parameters(model) / 1e6 == pytest.approx(millions, abs=0.05)
    assert options(arch) == {"size": 32, "width": 0, "weights": "none"}


@both
def test_the_seed_decides_the_weights(arch: str) -> None:
    one, same, other = (build(arch, LENGTH, CHANNELS, CLASSES, seed=seed) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@both
def test_the_seed_decides_the_training(arch: str) -> None:
    x, y = windows(24)
    settings = DistillSettings(steps=2, batch=8, beta=1.0)
    states = []
    for other_work in (1, 2):
        torch.manual_seed(other_work)
        model = build(arch, LENGTH, CHANNELS, CLASSES, seed=5)
        distil(model, x, np.eye(CLASSES, dtype=np.float32)[y], y, settings, seed=3)
        states.append(safetensors.torch.save(model.state_dict()))
    assert states[0] == states[1]


class Seen(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        self.image = image
        return image


def test_a_window_is_one_channel_of_the_image_three_times() -> None:
    net = Seen()
    square = torch.arange(2 * 4 * 4.0).reshape(2, 4, 4)
    OnImage(net, 4, 0, 4)(square)
    assert net.image.shape == (2, 3, 4, 4)
    assert all(torch.equal(net.image[:, k], square) for k in range(3))
    OnImage(net, 6, 0, 10)(torch.full((1, 32, 10), 2.5))
    torch.testing.assert_close(net.image, torch.full((1, 3, 6, 6), 2.5))
    OnImage(net, 8, 0, 2)(torch.tensor([[[0.0, 1.0]]]))
    rows = net.image[0, 0]
    assert (rows == rows[0]).all()
    assert (rows[0].diff() >= 0).all()
    assert (rows[0, 0], rows[0, -1]) == (0.0, 1.0)


def test_a_reading_that_is_a_picture_keeps_its_shape() -> None:
    net = Seen()
    pictures = torch.arange(2 * 2 * 12.0).reshape(2, 2, 12)  # two windows of two frames 4x3
    OnImage(net, 6, 4, 12)(pictures)
    upright = torch.nn.functional.interpolate(
        pictures.reshape(2, 1, 6, 4), (6, 6), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(net.image[:, :1], upright)
    torch.testing.assert_close(net.image[:, 1], net.image[:, 2])


@both
def test_a_width_that_is_none_names_the_remedy(arch: str) -> None:
    build(arch, 1, 192, CLASSES, width=16)
    with pytest.raises(ModelError, match="width 7 does not divide 192 channels; of frames 16x12 it is 16"):
        build(arch, 1, 192, CLASSES, width=7)


@both
@pytest.mark.parametrize("size", [0, "large"])
def test_a_size_that_gives_no_image_is_said(arch: str, size: object) -> None:
    with pytest.raises(ModelError, match=f"{arch} cannot be built"):
        build(arch, LENGTH, CHANNELS, CLASSES, size=size)


@both
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_pretrained_weights_fill_all_but_the_head(arch: str, name: str, tmp_path: Path) -> None:
    state = of_imagenet(arch)
    if name.endswith(".pth"):
        old = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
        torch.save(old, tmp_path / name)
    else:
        safetensors.torch.save_file(state, tmp_path / name)
    fresh = build(arch, LENGTH, CHANNELS, CLASSES, seed=4).net.state_dict()
    filled = build(arch, LENGTH, CHANNELS, CLASSES, seed=4, weights=str(tmp_path / name)).net.state_dict()
    assert filled.keys() == state.keys()
    for key, tensor in filled.items():
        expected = fresh if key.startswith(HEAD[arch]) else state
        assert torch.equal(tensor, expected[key]), key


def test_a_file_of_another_net_names_its_tensors(tmp_path: Path) -> None:
    state = of_imagenet("resnet18")
    safetensors.torch.save_file(state, tmp_path / "r.safetensors")
    with pytest.raises(ModelError, match=r"another net: .*bn1\.bias.* and \d+ more"):
        build("mobilenet_v2", LENGTH, CHANNELS, CLASSES, weights=str(tmp_path / "r.safetensors"))
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    del state["layer2.0.bn1.running_mean"]
    safetensors.torch.save_file(state, tmp_path / "grey.safetensors")
    with pytest.raises(ModelError, match=r": conv1\.weight, layer2\.0\.bn1\.running_mean missing"):
        build("resnet18", LENGTH, CHANNELS, CLASSES, weights=str(tmp_path / "grey.safetensors"))


class Sneaky:
    """What a pickle may do when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"state_dict": of_imagenet("resnet18")}, tmp_path / "wrapped.pth")
    torch.save({"conv1.weight": Sneaky(made)}, tmp_path / "pickle.pth")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "empty.pth").write_text("")
    (tmp_path / "folder.pth").mkdir()
    faults = {
        "wrapped.pth": "is no state dict; save",
        "pickle.pth": "cannot be read",
        "text.pth": "cannot be read",
        "text.safetensors": "cannot be read",
        "empty.pth": "cannot be read",
        "folder.pth": "cannot be read",
        "nowhere.pth": "there is no file",
    }
    for name, message in faults.items():
        with pytest.raises(ModelError, match=message) as error:
            build("resnet18", LENGTH, CHANNELS, CLASSES, weights=str(tmp_path / name))
        assert name in str(error.value)
    assert not made.exists()


@both
def test_without_a_network_a_download_names_the_remedy(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # an empty cache
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setattr(urllib.request, "_opener", None)  # the one that is made here knows this proxy alone
    with pytest.raises(ModelError, match=r"cannot fetch .* give its path: `weights: FILE\.pth`"):
        build(arch, LENGTH, CHANNELS, CLASSES, weights="download")


def lessons() -> tuple[Material, Spec]:
    x, y = windows(200)
    names = tuple(f"f{k}" for k in range(CHANNELS))
    ends = np.arange(len(x), dtype=np.int64)
    material = Material(np.full(len(x), "d"), ends, ends, x, 8 * np.eye(CLASSES, dtype=np.float32)[y] - 4, y)
    cut = Cut(names, names, LENGTH, LENGTH, derive=(), period=0, gap=0, fill="linear", required=())
    return material, spec_for(material, cut, ("below", "above"), masks=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "millions"),
    [
        pytest.param("resnet18", 11.2, marks=pytest.mark.long),
        pytest.param("mobilenet_v2", 2.2, marks=pytest.mark.long),
    ],
)
def test_the_whole_way_of_a_student(arch: str, millions: float) -> None:
    material, spec = lessons()
    architecture = Architecture.of(Network(arch), spec, seed=0)
    settings = DistillSettings(first_steps=80, batch=32, rate=3e-3)  # batch norm settles after some 70
    net, _ = architecture.first(material, settings, seed=0)
    packed = architecture.pack(net)
    assert architecture.parameters / 1e6 == pytest.approx(millions, abs=0.05)
    assert len(packed.weights) < 1.1 * architecture.parameters

    x, truth = windows(200, seed=5)
    as_trained = predict(net, spec.model_input(x))
    assert (as_trained.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_array_equal(
        predict(architecture.resumed(packed.resume), spec.model_input(x)), as_trained
    )

    folded = export.fold(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    exact = OnnxRuntime.load(packed.graph, export.named_weights(folded))
    np.testing.assert_allclose(exact.predict(spec.model_input(x)), as_trained, rtol=1e-3, atol=1e-3)

    device = packed.model()  # int8, decoded, in the device's runtime
    device.self_test()
    logits = device.logits(x)
    assert np.abs(logits - as_trained).mean() < 0.1 * as_trained.std()
    assert (logits.argmax(axis=1) == as_trained.argmax(axis=1)).mean() >= 0.98

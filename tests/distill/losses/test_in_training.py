"""Losses as `distill.loss` chooses them: a student learns, and the same seed gives the same packed bytes."""

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from iot_stream.config import Network
from iot_stream.config.learning import DistillSettings, TrainSettings
from iot_stream.cut import Cut
from iot_stream.distill import teachers
from iot_stream.distill.losses import SOFT
from iot_stream.distill.material import Material
from iot_stream.distill.models import build
from iot_stream.distill.models.features import head
from iot_stream.distill.student import Architecture, spec_for
from iot_stream.distill.teachers import Lessons, Teacher
from iot_stream.distill.trainer import distil, hidden
from iot_stream.errors import ModelError

torch.set_num_threads(1)

CLASSES = ("low", "middle", "high")
CUT = Cut(channels=("a", "b"), inputs=("a", "b"), length=8, hop=8, period=10**9, gap=10**10)


def windows(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes are levels of the first channel."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, number)
    x = generator.normal(size=(number, 8, 2)).astype(np.float32)
    x[:, :, 0] += 1.5 * labels[:, None]
    return x, labels


def taught(network: str = "resnet1d") -> Teacher:
    x, y = windows(200, 0)
    options = {"stem": 8, "widths": [8], "stem_stride": 1} if network == "resnet1d" else {}
    made = Network.parse({"arch": network} | options)
    settings = TrainSettings(steps=60, batch=32, rate=1e-2)
    return teachers.train("key", Lessons(x, y), CUT, CLASSES, False, made, settings, seed=0)[0]


@pytest.fixture(scope="module")
def material() -> Material:
    x, y = windows(150, 1)
    teacher = taught()
    times = np.arange(150) * 10**10
    devices = np.full(150, "d")
    labels = np.where(y == 1, y, -1)
    return Material(
        devices, times, times, x, teacher.logits(x), labels, features=teachers.features(teacher, x)
    )


@pytest.mark.parametrize("loss", SOFT.names())
def test_a_student_learns_and_the_same_seed_gives_the_same_bytes(loss: str, material: Material) -> None:
    spec = spec_for(material, CUT, CLASSES, masks=False)
    architecture = Architecture.of(Network.parse({"arch": "mlp", "hidden": [8]}), spec, seed=0)
    settings = DistillSettings(
        loss=loss, first_steps=80, steps=20, batch=32, rate=2e-2, beta=0.1, plateau=0.01
    )

    def packed(seed: int) -> list[bytes]:
        """The first student, and a round's."""
        first, trained = architecture.first(material, settings, seed)
        assert {"soft", "labels"} <= trained.losses.keys()
        bundle = architecture.pack(first)
        further, _ = architecture.further(
            bundle.resume, material, np.ones(len(material)), settings, seed, bundle.resume
        )
        return [bundle.weights, architecture.pack(further).weights]

    first, again, other = packed(3), packed(3), packed(4)
    assert first == again
    assert first != other
    net, _ = architecture.first(material, settings, 3)
    x, y = windows(200, 2)
    assert (architecture.pack(net).model().logits(x).argmax(axis=1) == y).mean() > 0.8


# --- hints: the one loss that looks inside -------------------------------------------------------


def test_features_are_what_the_last_linear_map_sees() -> None:
    net = build("resnet1d", 8, 2, 3, stem=8, widths=[8], stem_stride=1).eval()
    x, _ = windows(5, 0)
    found = hidden(net, x, batch=2)
    assert found.shape == (5, 8)
    with torch.no_grad():
        torch.testing.assert_close(head(net)(torch.from_numpy(found)), net(torch.from_numpy(x)))


@pytest.mark.parametrize(("arch", "width"), [("mlp", 16), ("mobilenet1d", 16), ("resnet1d", 64)])
def test_all_built_in_series_networks_tell_their_features(arch: str, width: int) -> None:
    net = build(arch, 64, 2, 3)
    assert head(net).out_features == 3
    assert hidden(net, np.zeros((3, 64, 2), np.float32)).shape == (3, width)


def test_hints_bring_the_student_nearer_to_what_the_teacher_sees(material: Material) -> None:
    assert material.features is not None
    apart = []
    for weight in (0.0, 10.0):
        net = build("mlp", 8, 2, 3, seed=0, hidden=[8])
        settings = DistillSettings(
            loss="hints", loss_weights={"hints": weight}, steps=100, batch=32, rate=1e-2, schedule="constant"
        )
        trained = distil(net, material.x, material.logits, None, settings, 0, features=material.features)
        apart.append(trained.losses["hints"])
        assert trained.losses.keys() == {"soft", "kd", "hints"}
    assert apart[1] < 0.8 * apart[0]


def test_who_tells_no_features_is_refused() -> None:
    x, y = windows(50, 0)
    settings = DistillSettings(loss="hints", steps=2, batch=8)
    logits = np.zeros((50, 3), np.float32)
    with pytest.raises(ModelError, match="only a single network"):
        distil(build("mlp", 8, 2, 3), x, logits, None, settings, 0)
    with pytest.raises(ModelError, match="no hidden layer"):
        distil(build("mlp", 8, 2, 3, hidden=[]), x, logits, None, settings, 0, features=logits)
    with pytest.raises(ModelError, match="does not end in a linear map"):
        head(nn.Sequential(nn.Conv1d(2, 3, 1)))
    with pytest.raises(ModelError, match="only a single network"):
        teachers.features(taught("lda"), x)
    # Labels alone need no teacher, so no features of one.
    alone = msgspec.structs.replace(settings, alpha=0.0, beta=1.0)
    assert distil(build("mlp", 8, 2, 3), x, logits, y, alone, 0).losses.keys() == {"labels"}

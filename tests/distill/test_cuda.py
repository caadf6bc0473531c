"""Training on a GPU: what it comes to is what the processor comes to, and the same each time."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iot_stream.config.learning import DistillSettings, Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.cohorts import Lesson, distil_together
from iot_stream.distill.engine import CPU, LARGE, Engine
from iot_stream.distill.losses import Parts
from iot_stream.distill.models import build
from iot_stream.distill.trainer import Trained, distil, predict, train_supervised
from tests.distill.test_trainer import Crash, Kept, student, tones

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

CUDA = Hardware(device="cuda", precision="float32")
TRAIN = TrainSettings(steps=40, batch=32, rate=1e-2, device="cuda", precision="float32")
DISTILL = DistillSettings(steps=60, batch=32, rate=2e-2, device="cuda", precision="float32")


def doubting(seed: int = 0) -> nn.Module:
    """A network with chance in it."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def lesson() -> tuple[np.ndarray, np.ndarray]:
    """Windows, and what a teacher says of them."""
    x, y = tones(300, 0)
    teacher = build("resnet1d", 32, 2, 3, stem=8, widths=[12], stem_stride=1)
    train_supervised(teacher, x, y, TRAIN, seed=0)
    return x, predict(teacher, x)


def test_auto_takes_a_gpu_and_bfloat16_for_large_networks_only() -> None:
    large = Engine.of(Hardware(), nn.Linear(100, LARGE // 100))
    assert (large.device.type, large.bfloat16) == ("cuda", torch.cuda.get_device_capability() >= (8, 0))
    assert Engine.of(Hardware(), nn.Linear(4, 2)).device == CPU


def test_what_is_put_there_is_the_same() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    there = Engine.of(CUDA, nn.Linear(1, 1)).put(values[:, ::2])
    assert there.device.type == "cuda"
    np.testing.assert_array_equal(there.cpu().numpy(), values[:, ::2])


def test_a_network_says_there_what_it_says_here_and_comes_back(lesson: tuple[np.ndarray, np.ndarray]) -> None:
    net, (x, _) = student(), lesson
    np.testing.assert_allclose(predict(net, x, hardware=CUDA), predict(net, x), atol=1e-4)
    assert all(weight.device == CPU for weight in net.parameters())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("make", [student, doubting])
def test_the_same_seed_gives_the_same_weights_byte_for_byte(
    lesson: tuple[np.ndarray, np.ndarray], precision: str, make: object
) -> None:
    assert callable(make)
    settings = DistillSettings(steps=60, batch=32, rate=2e-2, device="cuda", precision=precision)
    found = []
    for _ in range(2):
        net = make()
        distil(net, *lesson, None, settings, seed=3)
        found.append(weights(net))
    assert alike(*found)
    assert (predict(net, lesson[0]).argmax(axis=1) == lesson[1].argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize(
    "more", [{}, {"loss": "decoupled"}, {"loss": "hints"}, {"ema": 0.9}, {"plateau": 0.2}]
)
def test_a_student_there_learns_what_it_learns_here(
    lesson: tuple[np.ndarray, np.ndarray], more: dict[str, object]
) -> None:
    x, said = lesson
    features = np.maximum(said, 0) if more.get("loss") == "hints" else None
    outcomes = []
    for device in ("cpu", "cuda"):
        settings = DistillSettings(steps=60, batch=32, rate=2e-2, device=device, precision="float32", **more)  # type: ignore[arg-type]
        net = student()
        anchor = weights(student(1))
        distil(net, x, said, said.argmax(axis=1), settings, 0, anchor=anchor, features=features)
        outcomes.append(float((predict(net, x).argmax(axis=1) == said.argmax(axis=1)).mean()))
    here, there = outcomes
    assert here > (0.9 if features is None else 0.75)  # made-up features are no help
    assert there == pytest.approx(here, abs=0.05)


@pytest.mark.parametrize("make", [student, doubting])
def test_a_training_that_was_cut_off_goes_on_to_the_same_weights(make: object) -> None:
    assert callable(make)

    def crash(done: int, _: int, __: Parts) -> None:
        if done == 17:
            raise Crash

    x, y = tones(200, 1)
    whole, kept = make(), Kept()
    expected = train_supervised(whole, x, y, TRAIN, 0)
    with pytest.raises(Crash):
        train_supervised(make(), x, y, TRAIN, 0, crash, checkpoints=Checkpoints(kept, 0))
    again = make()
    found = train_supervised(again, x, y, TRAIN, 0, checkpoints=Checkpoints(kept, 0))
    assert alike(weights(again), weights(whole))
    assert (found.losses, found.steps) == (expected.losses, expected.steps)


def test_students_of_many_cohorts_come_out_as_each_alone(lesson: tuple[np.ndarray, np.ndarray]) -> None:
    together = [Lesson(student(seed), *lesson, None, DISTILL, seed) for seed in range(3)]
    assert all(isinstance(outcome, Trained) for outcome in distil_together(together))
    for seed, each in enumerate(together):
        alone = student(seed)
        distil(alone, *lesson, None, DISTILL, seed)
        assert alike(weights(each.student), weights(alone))

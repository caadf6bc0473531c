"""Students trained in one stack come out as those trained one by one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from iot_stream.config.learning import DistillSettings
from iot_stream.distill.cohorts import Lesson, distil_together
from iot_stream.distill.models import build
from iot_stream.distill.trainer import Trained, distil
from iot_stream.errors import ModelError

torch.set_num_threads(1)

LENGTH, CHANNELS, CLASSES = 16, 2, 3
SETTINGS = DistillSettings(
    steps=30, batch=16, rate=1e-2, alpha=0.7, beta=0.3, weight_decay=0.05, ema=0.9, pull=0.2
)


def lesson(seed: int, rows: int, arch: str = "mobilenet1d", **more: object) -> Lesson:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, LENGTH, CHANNELS)).astype(np.float32)
    logits = (3 * x[:, 4:7].sum(axis=2)).astype(np.float32)
    options = {"stem": 4, "widths": [6], "stem_stride": 1} if arch == "mobilenet1d" else {"hidden": [8]}
    student = build(arch, LENGTH, CHANNELS, CLASSES, seed=seed, **options)
    known = {
        "labels": np.where(generator.random(rows) < 0.3, logits.argmax(axis=1), -1),
        "weights": generator.uniform(0.1, 1, rows) if seed % 2 else None,
        "anchor": dict(build(arch, LENGTH, CHANNELS, CLASSES, seed=99, **options).named_parameters()),
    }
    return Lesson(student, x, logits, seed=seed, **(known | more))  # type: ignore[arg-type]


def alone(each: Lesson, settings: DistillSettings) -> tuple[nn.Module, Trained]:
    student = copy.deepcopy(each.student)
    return student, distil(
        student,
        each.x,
        each.teacher_logits,
        each.labels,
        settings,
        each.seed,
        weights=each.weights,
        anchor=each.anchor,
    )


def same(lessons: list[Lesson], settings: DistillSettings) -> list[Trained]:
    """Together as alone: weights, running statistics, losses, steps."""
    expected = [alone(each, settings) for each in lessons]
    found = [each for each in distil_together(lessons, settings) if isinstance(each, Trained)]
    for each, (student, wanted), trained in zip(lessons, expected, found, strict=True):
        assert not each.student.training
        assert trained.steps == wanted.steps
        assert trained.windows == wanted.windows
        assert trained.losses == pytest.approx(wanted.losses, rel=1e-3, abs=1e-5)
        for name, value in student.state_dict().items():
            torch.testing.assert_close(each.student.state_dict()[name], value, rtol=1e-3, atol=1e-4)
        if wanted.last is None:
            assert trained.last is None
        else:
            assert trained.last is not None
            for name, value in wanted.last.items():
                torch.testing.assert_close(trained.last[name], value, rtol=1e-3, atol=1e-4)
    return found


@pytest.mark.parametrize("arch", ["mobilenet1d", "mlp"])
def test_together_as_alone_with_other_data_lengths_weights_and_seeds(arch: str) -> None:
    same([lesson(seed, 40 + 13 * seed, arch) for seed in range(4)], SETTINGS)


@pytest.mark.parametrize("loss", ["binary", "decoupled", "dist", "hints", "kd", "logit_mse", "standardised"])
def test_with_every_loss(loss: str) -> None:
    settings = DistillSettings(steps=8, batch=16, loss=loss, ema=0.0)
    lessons = [lesson(seed, 40, "mlp") for seed in range(2)]
    if loss == "hints":
        for failed in distil_together(lessons, settings):
            assert "loss hints" in str(failed)
    else:
        same(lessons, settings)


def test_each_stops_when_its_own_loss_does() -> None:
    """Two learn from noise, in which there is little to find; one from what is easy."""
    settings = DistillSettings(steps=100, batch=16, rate=0.02, plateau=0.1, ema=0.9)
    lessons = [lesson(seed, 60, "mlp") for seed in range(3)]
    noise = np.random.default_rng(0).normal(size=(60, CLASSES)).astype(np.float32)
    lessons[1] = Lesson(lessons[1].student, lessons[1].x * 0, noise, None, 1)
    steps = [trained.steps for trained in same(lessons, settings)]
    assert len(set(steps)) > 1


def test_what_has_no_like_learns_alone() -> None:
    """Other forms, and samples smaller than a batch."""
    lessons = [lesson(0, 40), lesson(1, 40, "mlp"), lesson(2, 9, "mlp"), lesson(3, 50), lesson(4, 9, "mlp")]
    same(lessons, SETTINGS)


def test_dropout_is_no_matter_of_company() -> None:
    def student() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(LENGTH * CHANNELS, 8), nn.Dropout(0.5), nn.Linear(8, CLASSES)
        )

    made = [lesson(seed, 40) for seed in range(2)]
    same([Lesson(student(), each.x, each.teacher_logits, None, each.seed) for each in made], SETTINGS)


def test_one_that_fails_is_named_and_the_others_have_learnt() -> None:
    lessons = [lesson(seed, 40, "mlp") for seed in range(3)]
    lessons[1].teacher_logits[:] = np.nan
    expected, _ = alone(lessons[2], SETTINGS)
    before, failed, after = distil_together(lessons, SETTINGS)
    assert isinstance(failed, ModelError)
    assert "the loss became" in str(failed)
    assert isinstance(before, Trained)
    assert isinstance(after, Trained)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(lessons[2].student.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_nothing_to_learn_from_is_said() -> None:
    assert distil_together([], SETTINGS) == []
    learnt, failed = distil_together([lesson(0, 40), lesson(1, 0)], SETTINGS)
    assert isinstance(learnt, Trained)
    assert "nothing to distil" in str(failed)


def test_the_same_seed_gives_the_same_bytes() -> None:
    made = []
    for _ in range(2):
        lessons = [lesson(seed, 40) for seed in range(3)]
        distil_together(lessons, SETTINGS)
        made.append(
            [b"".join(v.numpy().tobytes() for v in each.student.state_dict().values()) for each in lessons]
        )
    assert made[0] == made[1]

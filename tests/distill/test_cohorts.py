"""Students trained in one stack come out as those trained one by one."""

import copy
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from iot_stream.config.learning import DistillSettings
from iot_stream.distill.cohorts import Lesson, Outcome, Stack, distil_together, learn_here
from iot_stream.distill.losses import Parts
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
        "settings": SETTINGS,
        "labels": np.where(generator.random(rows) < 0.3, logits.argmax(axis=1), -1),
        "weights": generator.uniform(0.1, 1, rows) if seed % 2 else None,
        "anchor": dict(build(arch, LENGTH, CHANNELS, CLASSES, seed=99, **options).named_parameters()),
    }
    return Lesson(student, x, logits, seed=seed, **(known | more))  # type: ignore[arg-type]


def alone(each: Lesson) -> tuple[nn.Module, Trained]:
    student = copy.deepcopy(each.student)
    return student, distil(
        student,
        each.x,
        each.teacher_logits,
        each.labels,
        each.settings,
        each.seed,
        weights=each.weights,
        anchor=each.anchor,
    )


def same(lessons: list[Lesson], most: int = 16) -> list[Trained]:
    """Together as alone: weights, running statistics, losses, steps."""
    expected = [alone(each) for each in lessons]
    found = [each for each in distil_together(lessons, most) if isinstance(each, Trained)]
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
    same([lesson(seed, 40 + 13 * seed, arch) for seed in range(4)])


@pytest.mark.parametrize("loss", ["binary", "decoupled", "dist", "hints", "kd", "logit_mse", "standardised"])
def test_with_every_loss(loss: str) -> None:
    settings = DistillSettings(steps=8, batch=16, loss=loss, ema=0.0)
    lessons = [lesson(seed, 40, "mlp", settings=settings) for seed in range(2)]
    if loss == "hints":
        for failed in distil_together(lessons):
            assert "loss hints" in str(failed)
    else:
        same(lessons)


def test_each_stops_when_its_own_loss_does() -> None:
    """Two learn from noise, in which there is little to find; one from what is easy."""
    settings = DistillSettings(steps=100, batch=16, rate=0.02, plateau=0.1, ema=0.9)
    lessons = [lesson(seed, 60, "mlp", settings=settings) for seed in range(3)]
    noise = np.random.default_rng(0).normal(size=(60, CLASSES)).astype(np.float32)
    lessons[1] = Lesson(lessons[1].student, lessons[1].x * 0, noise, None, settings, 1)
    steps = [trained.steps for trained in same(lessons)]
    assert len(set(steps)) > 1


def test_what_has_no_like_learns_alone() -> None:
    """Other forms, and samples smaller than a batch."""
    lessons = [lesson(0, 40), lesson(1, 40, "mlp"), lesson(2, 9, "mlp"), lesson(3, 50), lesson(4, 9, "mlp")]
    same(lessons)


def test_each_learns_as_it_is_told_to() -> None:
    """Two by other settings than the others, as a search may choose them: each two are a stack."""
    slower = msgspec.structs.replace(SETTINGS, rate=2e-3, steps=20)
    told = [SETTINGS, slower, slower, SETTINGS]
    steps = [each.steps for each in same([lesson(n, 40, settings=each) for n, each in enumerate(told)])]
    assert steps == [each.steps for each in told]


def test_a_stack_is_no_larger_than_it_may_be() -> None:
    seen: list[int] = []

    def learn(stacks: Sequence[Stack]) -> list[list[Outcome]]:
        seen.extend(len(stack) for stack in stacks)
        return learn_here(stacks)

    lessons = [lesson(seed, 40, "mlp") for seed in range(7)]
    assert len(distil_together(lessons, most=3, learn=learn)) == 7
    assert seen == [3, 2, 2]
    same([lesson(seed, 40, "mlp") for seed in range(3)], most=1)


def test_threads_are_as_before_when_a_stack_has_learnt() -> None:
    before = torch.get_num_threads()
    learn_here([[lesson(0, 40, "mlp")]], threads=before + 1)
    assert torch.get_num_threads() == before


def test_of_each_stack_it_is_told_how_far_it_is_and_what_each_student_loses() -> None:
    told: list[tuple[int, int, dict[str, tuple[int, ...]]]] = []

    def progress(done: int, steps: int, parts: Parts) -> None:
        told.append((done, steps, {name: tuple(part.shape) for name, part in parts.items()}))

    learn_here([[lesson(0, 40)], [lesson(1, 40), lesson(2, 40)]], progress=progress)
    steps = SETTINGS.steps
    assert [each[:2] for each in told] == 2 * [(n, steps) for n in range(1, steps + 1)]
    assert told[0][2] == {"soft": (), "labels": ()}
    assert told[-1][2] == {"soft": (2,), "labels": (2,)}


def test_dropout_is_no_matter_of_company() -> None:
    def student() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(LENGTH * CHANNELS, 8), nn.Dropout(0.5), nn.Linear(8, CLASSES)
        )

    made = [lesson(seed, 40) for seed in range(2)]
    same([Lesson(student(), each.x, each.teacher_logits, None, SETTINGS, each.seed) for each in made])


def test_one_that_fails_is_named_and_the_others_have_learnt() -> None:
    lessons = [lesson(seed, 40, "mlp") for seed in range(3)]
    lessons[1].teacher_logits[:] = np.nan
    expected, _ = alone(lessons[2])
    before, failed, after = distil_together(lessons)
    assert isinstance(failed, ModelError)
    assert "the loss became" in str(failed)
    assert isinstance(before, Trained)
    assert isinstance(after, Trained)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(lessons[2].student.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_nothing_to_learn_from_is_said() -> None:
    assert distil_together([]) == []
    learnt, failed = distil_together([lesson(0, 40), lesson(1, 0)])
    assert isinstance(learnt, Trained)
    assert "nothing to distil" in str(failed)


def test_the_same_seed_gives_the_same_bytes() -> None:
    made = []
    for _ in range(2):
        lessons = [lesson(seed, 40) for seed in range(3)]
        distil_together(lessons)
        made.append(
            [b"".join(v.numpy().tobytes() for v in each.student.state_dict().values()) for each in lessons]
        )
    assert made[0] == made[1]

"""A teacher that goes on learning: from late labels, with what it was first taught replayed."""

import msgspec
import numpy as np
import pytest
import torch

from iot_stream.config import Network
from iot_stream.config.learning import TrainSettings
from iot_stream.distill.teachers import network as teachers
from iot_stream.distill.teachers.network import Lessons, NetworkTeacher
from iot_stream.windows import Cut

torch.set_num_threads(1)

CUT = Cut(("x", "y"), ("x", "y"), length=1, hop=1)
SETTINGS = TrainSettings(steps=150, batch=32, rate=1e-2, tune_steps=200, tune_rate=3e-2, tune_share=0.5)
MLP = Network("mlp", (), (("hidden", [32]),))


def blobs(number: int, seed: int, drifted: bool = False) -> Lessons:
    """Two blobs side by side; drifted, both further up and the classes changed over."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, number)
    middle = np.stack([2.0 * y - 1, np.full(number, 2.0 * drifted)], axis=1)
    points = middle + 0.3 * rng.standard_normal((number, 2))
    return Lessons(points[:, None, :].astype(np.float32), 1 - y if drifted else y)


KNOWN, FRESH = blobs(300, 0), blobs(60, 1, drifted=True)


@pytest.fixture(scope="module")
def teacher() -> NetworkTeacher:
    found, _ = teachers.train("the key", KNOWN.x, KNOWN.y, CUT, ("a", "b"), False, MLP, SETTINGS, 0)
    return found


def accuracy(teacher: NetworkTeacher, lessons: Lessons) -> float:
    return float((teacher.logits(lessons.x).argmax(axis=1) == lessons.y).mean())


def tuned(teacher: NetworkTeacher, seed: int = 0, **settings: object) -> NetworkTeacher:
    return teachers.tune(teacher, FRESH, KNOWN, msgspec.structs.replace(SETTINGS, **settings), seed)[0]


def test_it_learns_the_new_and_keeps_the_old(teacher: NetworkTeacher) -> None:
    old, new = blobs(500, 2), blobs(500, 3, drifted=True)
    assert accuracy(teacher, old) > 0.95
    assert accuracy(teacher, new) < 0.5
    both, alone = tuned(teacher), tuned(teacher, tune_share=1.0)
    assert accuracy(both, new) > 0.9
    assert accuracy(both, old) > 0.9
    assert accuracy(alone, new) > 0.9
    assert accuracy(both, old) > accuracy(alone, old) + 0.1


def test_the_given_teacher_stays_as_it_was(teacher: NetworkTeacher) -> None:
    before = teacher.to_bytes()
    after = tuned(teacher)
    assert teacher.to_bytes() == before
    assert after.to_bytes() != before
    assert not after.network.training


def test_key_and_spec_stay(teacher: NetworkTeacher) -> None:
    after = tuned(teacher)
    assert (after.key, after.spec) == (teacher.key, teacher.spec) == ("the key", teacher.spec)


def test_the_same_seed_gives_the_same_weights(teacher: NetworkTeacher) -> None:
    assert tuned(teacher, 3).to_bytes() == tuned(teacher, 3).to_bytes() != tuned(teacher, 4).to_bytes()


def test_steps_and_share_are_those_of_tuning(teacher: NetworkTeacher) -> None:
    _, cost = teachers.tune(teacher, FRESH, KNOWN, msgspec.structs.replace(SETTINGS, tune_steps=7), 0)
    assert cost.steps == 7
    # With a share of one the old is never drawn, whatever it says.
    lies = Lessons(np.full_like(KNOWN.x, np.nan), KNOWN.y)
    whole = msgspec.structs.replace(SETTINGS, tune_share=1.0)
    alone, _ = teachers.tune(teacher, FRESH, lies, whole, 0)
    assert alone.to_bytes() == tuned(teacher, tune_share=1.0).to_bytes()


def test_it_goes_on_without_anything_to_replay(teacher: NetworkTeacher) -> None:
    nothing = Lessons(KNOWN.x[:0], KNOWN.y[:0])
    alone, _ = teachers.tune(teacher, FRESH, nothing, SETTINGS, 0)
    assert accuracy(alone, FRESH) > 0.9


def test_a_tuned_teacher_survives_its_bytes(teacher: NetworkTeacher) -> None:
    after = tuned(teacher)
    again = teachers.from_bytes(after.key, after.to_bytes(), after.spec, MLP, 0)
    np.testing.assert_array_equal(again.logits(FRESH.x), after.logits(FRESH.x))

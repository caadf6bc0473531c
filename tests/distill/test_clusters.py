"""Cohorts by drift: who has become alike shares a student, and nobody flickers."""

import numpy as np
import pytest

from iot_stream.config import Cohorts
from iot_stream.distill.clusters import moves
from iot_stream.distill.material import Material

BY_DRIFT = Cohorts(by="drift", windows=10)
NAMES = [f"m{number}" for number in range(6)]


def material(levels: dict[str, float], count: int = 40, seed: int = 0) -> Material:
    """Of each device windows of two channels, noise about a level; a device drifted in its newer half."""
    generator = np.random.default_rng(seed)
    devices = np.repeat(np.array(list(levels)), count)
    x = generator.standard_normal((len(devices), 16, 2)).astype(np.float32)
    newer = np.tile(np.arange(count) >= count // 2, len(levels))
    x += (np.repeat(list(levels.values()), count) * newer)[:, None, None].astype(np.float32)
    ends = np.tile(np.arange(count), len(levels)) + 1
    nothing = np.zeros((len(devices), 2), np.float32)
    return Material(devices, ends - 1, ends, x, nothing, np.full(len(devices), -1))


def in_class(stream: Material, device: str, number: int, level: float) -> None:
    """The device is in a class of its own, whose level is another."""
    rows = stream.devices == device
    stream.x[rows] += level
    stream.logits[rows, number] = 5.0


BOOTSTRAP = material(dict.fromkeys(NAMES, 0.0), seed=1)


def test_a_fleet_that_stays_together_is_one_cohort() -> None:
    assert moves(material(dict.fromkeys(NAMES, 0.0)), BOOTSTRAP, BY_DRIFT, {}) == {}
    assert moves(material(dict.fromkeys(NAMES, 3.0)), BOOTSTRAP, BY_DRIFT, {}) == {}


def test_who_drifts_alike_gets_a_student_of_its_own() -> None:
    drifted = dict.fromkeys(NAMES, 0.0) | dict.fromkeys(NAMES[4:], 3.0)
    found = moves(material(drifted), BOOTSTRAP, BY_DRIFT, {})
    assert found == dict.fromkeys(NAMES[4:], "like-m4")
    assert moves(material(drifted, seed=2), BOOTSTRAP, BY_DRIFT, found) == {}  # and stays there


def test_who_comes_back_is_among_the_others_again() -> None:
    apart = dict.fromkeys(NAMES[4:], "like-m4")
    assert moves(material(dict.fromkeys(NAMES, 0.0)), BOOTSTRAP, BY_DRIFT, apart) == dict.fromkeys(
        NAMES[4:], "all"
    )


def test_the_larger_part_keeps_the_name_and_no_name_is_given_twice() -> None:
    levels = dict(zip(NAMES, (0.0, 0.0, 3.0, 3.0, 3.0, -3.0), strict=True))
    found = moves(material(levels), BOOTSTRAP, BY_DRIFT, {})
    assert found == {"m0": "like-m0", "m1": "like-m0", "m5": "like-m5"}
    before = dict.fromkeys(NAMES, "like-m0")
    found = moves(material(levels), BOOTSTRAP, BY_DRIFT, before)
    assert found == {"m0": "like-m0-2", "m1": "like-m0-2", "m5": "like-m5"}


def test_there_are_no_more_cohorts_than_wanted() -> None:
    levels = dict(zip(NAMES, (0.0, 3.0, 6.0, 9.0, 12.0, 15.0), strict=True))
    found = moves(material(levels), BOOTSTRAP, Cohorts(by="drift", most=3, windows=10), {})
    assert len({found.get(name, "all") for name in NAMES}) == 3


@pytest.mark.parametrize("few", [{}, {"m0": 0.0}])
def test_who_has_few_windows_stays_where_it_is(few: dict[str, float]) -> None:
    assert moves(material(few or {"m0": 0.0, "m1": 9.0}, count=9), BOOTSTRAP, BY_DRIFT, {}) == {}


def test_who_is_in_another_class_has_not_changed() -> None:
    stream = material(dict.fromkeys(NAMES, 0.0))
    in_class(stream, "m0", 1, 5.0)
    assert moves(stream, BOOTSTRAP, BY_DRIFT, {}) == {}
    assert moves(stream, BOOTSTRAP, BY_DRIFT, {"m0": "like-m0"}) == {}  # nor has it come back


def test_channels_that_say_nothing_do_not_matter() -> None:
    stream = material(dict.fromkeys(NAMES, 0.0))
    stream.x[:, :, 1] = np.nan
    assert moves(stream, BOOTSTRAP, BY_DRIFT, {}) == {}

"""A teacher that is not to be believed: broken channels, doubts, late labels against it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from iot_stream.config import Trust
from iot_stream.distill.teachers import check
from iot_stream.distill.teachers.check import Heard, Record
from iot_stream.readings import Times, Values

SETTINGS = Trust()
NOTHING = (np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
"""Logits and labels of no window."""


def windows(number: int, seed: int = 0) -> tuple[Values, np.ndarray, Times, Values, np.ndarray]:
    """A lamp that is off by night (40 windows) and flickers by day (20), a second channel of noise; the
    teacher is sure of what the lamp says."""
    rng = np.random.default_rng(seed)
    day = np.arange(number) % 60 >= 40
    lamp = np.where(day, rng.integers(300, 500, number), 0)
    x = np.stack([lamp, rng.standard_normal(number)], axis=1)[:, None].astype(np.float32)
    y = day.astype(np.int64)
    logits = np.stack([-2.0 * (2 * y - 1), 2.0 * (2 * y - 1)], axis=1) + 0.1 * rng.standard_normal(
        (number, 2)
    )
    return x, np.full(number, "d"), np.arange(number, dtype=np.int64), logits.astype(np.float32), y


def record(*, states: bool = False, labels: bool = True) -> Record:
    x, devices, ends, logits, y = windows(600)
    told = y if labels else np.full(600, -1)
    return Record.of(("lamp", "noise"), x, devices, ends, logits, told, logits.argmax(axis=1), states=states)


def doubt(known: Record, x: Values, ends: Times, logits: Values, *heard: np.ndarray) -> str:
    broken = known.broken(x, np.full(len(x), "d"), ends, logits)
    spoken, labels = heard or NOTHING
    return check.doubt(known, broken, logits, Heard(spoken, labels, np.full(len(labels), "d")), SETTINGS)


def test_more_of_the_same_is_believed() -> None:
    x, devices, ends, logits, y = windows(400, 1)
    known = record()
    assert not known.broken(x, devices, ends, logits).any()
    assert doubt(known, x, ends, logits, logits, y) == ""


@pytest.mark.parametrize(("value", "stuck"), [(433, True), (0, True)])
def test_a_channel_that_stays_as_it_never_did_is_stuck(value: float, stuck: bool) -> None:
    x, devices, ends, logits, _ = windows(400, 1)
    x[250:, 0, 0] = value
    broken = record().broken(x, devices, ends, logits)
    assert broken[250:, 0].all() == stuck
    assert not broken[:230].any()
    assert not broken[:, 1:].any()
    what = doubt(record(), x[250:], ends[250:], logits[250:])
    assert what == "lamp is stuck or missing in 100% of the new windows"


def test_a_lamp_may_be_off_twice_as_long_as_ever_and_no_longer() -> None:
    x, devices, ends, logits, _ = windows(200, 1)
    night = x.copy()
    night[60:140, 0, 0] = 0  # 40 and 40, with the day between them dark
    assert not record().broken(night, devices, ends, logits)[:60].any()
    dark = np.zeros_like(x)
    dark[:, :, 1] = x[:, :, 1]
    assert record().broken(dark, devices, ends, logits)[:, 0].all()


def test_each_device_has_its_own_runs() -> None:
    x, _, ends, logits, _ = windows(200, 1)
    x[:, 0, 0] = np.where(np.arange(200) % 2, 433, x[:, 0, 0])
    devices = np.where(np.arange(200) % 2, "broken", "whole")
    broken = record().broken(x, devices, ends, logits)[:, 0]
    np.testing.assert_array_equal(broken, devices == "broken")


def test_a_channel_that_is_gone_is_broken_and_one_that_was_seldom_there_is_not() -> None:
    x, devices, ends, logits, y = windows(600)
    x[::3, 0, 1] = np.nan
    known = Record.of(("lamp", "noise"), x, devices, ends, logits, y, y)
    x[300:] = np.nan
    assert known.broken(x, devices, ends, logits)[300:, 0].all()
    assert not known.broken(x, devices, ends, logits)[:, 1].any()


def test_an_output_that_stands_still_is_broken() -> None:
    x, _, ends, logits, _ = windows(400, 1)
    logits[:] = logits[0]
    assert doubt(record(), x, ends, logits).startswith("its output is stuck")


def test_states_rightly_stay_as_they_are() -> None:
    x, devices, ends, logits, _ = windows(400, 1)
    x[:], logits[:] = 1, logits[0]
    assert not record(states=True).broken(x, devices, ends, logits).any()


def test_a_teacher_that_is_hardly_sure_any_more_is_held() -> None:
    x, _, ends, logits, _ = windows(400, 1)
    assert doubt(record(), x, ends, logits * np.float32(0.1)).startswith("it is hardly sure of anything")
    assert doubt(record(), x, ends, logits * np.float32(0.7)) == ""


def test_late_labels_prove_a_teacher_wrong_and_right_again() -> None:
    x, _, ends, logits, y = windows(400, 1)
    found = doubt(record(), x, ends, logits, logits, 1 - y)
    assert found.startswith(
        "late labels prove it wrong: 0 of 200 right in 7 stretches of one class, at most 38%"
    )
    healed = np.concatenate([1 - y[:200], y[200:]])
    assert doubt(record(), x, ends, logits, logits, healed) == ""


def test_few_labels_are_no_evidence_and_no_word_is_no_error() -> None:
    x, _, ends, logits, y = windows(400, 1)
    few = np.where(np.arange(400) < SETTINGS.n_min - 1, 1 - y, -1)
    assert doubt(record(), x, ends, logits, logits, few) == ""
    silent = np.where(np.arange(400)[:, None] < 390, np.float32(np.nan), logits)
    assert doubt(record(), x, ends, logits, silent, 1 - y) == ""


def test_it_is_asked_what_the_same_classes_let_expect() -> None:
    """A teacher that knew one class in two of them right is not wrong when only that class comes."""
    x, devices, ends, logits, y = windows(600)
    said = np.where((y == 1) & (np.arange(600) % 2 == 0), 0, y)
    known = Record.of(("lamp", "noise"), x, devices, ends, logits, y, said)
    assert known.recall[0] == 1
    assert known.recall[1] == pytest.approx(0.5, abs=0.01)
    rare = np.ones(200, np.int64)
    half = np.where(np.arange(200)[:, None] % 2, logits[59], logits[0])
    assert doubt(known, x[:0], ends[:0], logits[:0], half, rare) == ""


def test_without_labels_in_the_bootstrap_labels_prove_nothing() -> None:
    x, _, ends, logits, y = windows(400, 1)
    assert doubt(record(labels=False), x, ends, logits, logits, 1 - y) == ""


def test_one_stretch_of_errors_proves_nothing() -> None:
    """A night in a room that is no proof against weeks of it, however many windows it has."""
    x, _, ends, logits, _ = windows(400, 1)
    night = np.ones(200, np.int64)
    assert doubt(record(), x[:0], ends[:0], logits[:0], np.repeat(logits[:1], 200, axis=0), night) == ""


def test_a_stretch_is_of_one_device() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    devices = np.array(["a", "b", "a", "b", "b", "a", "a", "b"])
    assert check.stretches(labels, devices).tolist() == [0, 3, 0, 4, 4, 1, 2, 4]


def test_windows_of_a_stretch_are_worth_what_an_analysis_of_variance_says() -> None:
    """By hand: three stretches of 4, 3 and 2 with 4, 1 and 0 right. Sum of squares between: 4·(4/9)² +
    3·(2/9)² + 2·(5/9)² = 14/9 of 2 degrees of freedom, within: 3·(1/3)(2/3) = 2/3 of 6; mean size
    (9 - 29/9)/2 = 26/9."""
    stretch = np.repeat([0, 1, 2], [4, 3, 2])
    right = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0], bool)
    between, within, size = 7 / 9, 1 / 9, 26 / 9
    correlation = (between - within) / (between + (size - 1) * within)
    assert check.independent(right, stretch) == pytest.approx(9 / (1 + (29 / 9 - 1) * correlation))


def test_independent_errors_count_each_and_common_ones_by_the_stretch() -> None:
    stretch = np.repeat(np.arange(500), 10)
    rng = np.random.default_rng(0)
    alone, together = rng.random(5000) < 0.7, np.repeat(rng.random(500) < 0.7, 10)
    assert check.independent(alone, stretch) > 4000
    assert check.independent(together, stretch) == pytest.approx(500)
    assert check.independent(np.ones(5000, bool), stretch) == pytest.approx(500)
    assert check.independent(alone[:500], np.arange(500)) == 500


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_bounds_are_scipys(counts: tuple[int, int]) -> None:
    expected = binomtest(*counts).proportion_ci(0.95, "wilson")
    found = check.wilson(*counts, z=1.959963984540054)
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=1e-9)

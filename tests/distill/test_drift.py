"""Signals of drift and their detectors: when a round is worth it, and in what words."""

import numpy as np
import pytest

from iot_stream.distill import traits
from iot_stream.distill.drift import Alarm, Fresh, Watch, detector_of

CLASSES = 3
REFERENCE = np.random.default_rng(0).standard_normal((400, 8, 2)).astype(np.float32)


def windows(
    count: int, wrong: float, seed: int, shift: float = 0.0, sure: float = 4.0, spread: float = 1.0
) -> Fresh:
    """Windows of which the student says another class than the teacher with probability `wrong`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(CLASSES, size=count)
    said = np.where(rng.random(count) < wrong, (truth + 1) % CLASSES, truth)
    x = rng.standard_normal((count, 8, 2)) * spread + shift
    logits = np.eye(CLASSES, dtype=np.float32)
    return Fresh(x.astype(np.float32), logits[truth], sure * logits[said])


def watch(*signals: str, name: str = "adwin") -> Watch:
    return Watch(name, signals or ("disagreement",), 0.002, 0.05, REFERENCE)


@pytest.mark.parametrize("name", ["adwin", "page_hinkley"])
@pytest.mark.parametrize("seed", range(5))
def test_a_student_that_errs_more_raises_an_alarm_and_a_steady_one_none(name: str, seed: int) -> None:
    watching = watch(name=name)
    watching.take(windows(2000, 0.05, seed))
    assert watching.reason(1) is None
    watching.take(windows(300, 0.4, seed + 100))
    assert watching.alarm is not None
    assert watching.alarm.before == pytest.approx(0.05, abs=0.03)
    assert watching.alarm.since > 0.1
    assert watching.reason(1) == watching.alarm.reason


def test_an_alarm_says_what_rose() -> None:
    alarm = Alarm("disagreement", 0.03, 0.21, 400)
    assert alarm.reason == "drift: disagreement with the teacher rose from 0.03 to 0.21 over 400 windows"


def test_a_student_that_gets_better_raises_none() -> None:
    watching = watch()
    watching.take(windows(1000, 0.5, 1))
    watching.take(windows(1000, 0.05, 2))
    assert watching.alarm is None


def test_a_rise_too_small_to_matter_raises_none() -> None:
    watching = watch()
    watching.take(windows(20_000, 0.01, 1))
    watching.take(windows(20_000, 0.02, 2))
    assert watching.alarm is None


@pytest.mark.parametrize(
    ("signal", "drifted"),
    [
        ("confidence", windows(400, 0.0, 2, sure=0.5)),
        ("features", windows(400, 0.0, 2, shift=3.0)),
        ("features", windows(400, 0.0, 2, spread=4.0)),
    ],
)
def test_each_signal_sees_its_own_change(signal: str, drifted: Fresh) -> None:
    watching, other = watch(signal), watch("disagreement")
    for each in (watching, other):
        each.take(windows(1000, 0.0, 1))
        each.take(drifted)
    assert watching.alarm is not None
    assert watching.alarm.signal == signal
    assert other.alarm is None


def test_a_round_that_was_an_answer_ends_the_alarm_and_one_that_was_none_does_not() -> None:
    watching = watch()
    watching.take(windows(1000, 0.05, 1))
    watching.take(windows(300, 0.5, 2))
    assert watching.started()
    assert watching.reason(100) is None  # nothing is known of the new version yet
    watching.learnt(REFERENCE)
    watching.take(windows(200, 0.45, 3))
    said = watching.reason(100)
    assert said is not None
    assert said.startswith("drift: disagreement with the teacher is still 0.4")
    assert not watching.started()
    watching.take(windows(200, 0.06, 4))
    assert watching.reason(100) is None
    assert watching.alarm is None


def test_the_features_that_a_version_learnt_from_are_no_news_to_it() -> None:
    watching = watch("features")
    watching.take(windows(1000, 0.0, 1))
    watching.take(windows(300, 0.0, 2, shift=3.0))
    assert watching.started()
    watching.learnt(windows(300, 0.0, 3, shift=3.0).x)
    watching.take(windows(300, 0.0, 4, shift=3.0))
    assert watching.reason(100) is None


@pytest.mark.parametrize("signal", ["disagreement", "features"])
def test_a_round_that_started_just_after_the_drift_does_not_hide_it(signal: str) -> None:
    watching = watch(signal)
    watching.take(windows(1000, 0.02, 1))
    watching.take(windows(20, 0.5, 2, shift=3.0))
    assert watching.alarm is None
    assert not watching.started()  # for its period
    watching.learnt(np.concatenate([REFERENCE, windows(20, 0.5, 2, shift=3.0).x]))
    watching.take(windows(300, 0.4, 3, shift=3.0))
    assert watching.alarm is not None


def test_many_small_rises_are_a_large_one() -> None:
    watching = watch()
    for step in range(8):
        watching.take(windows(4000, 0.02 + 0.02 * step, step))
    assert watching.alarm is not None


def test_the_same_windows_raise_the_same_alarm_however_they_are_batched() -> None:
    whole = windows(1500, 0.05, 1), windows(400, 0.4, 2)
    x, teacher, student = (np.concatenate(column) for column in zip(*map(vars_of, whole), strict=True))
    reasons = []
    for size in (1, 7, 1900):
        watching = watch()
        for begin in range(0, 1900, size):
            rows = slice(begin, begin + size)
            watching.take(Fresh(x[rows], teacher[rows], student[rows]))
            if watching.alarm:
                break
        reasons.append(watching.alarm.windows if watching.alarm else None)
    assert reasons[0] == reasons[1]  # a large batch goes on to its end, and knows more
    assert None not in reasons


def vars_of(fresh: Fresh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return fresh.x, fresh.teacher, fresh.student


def test_nothing_is_no_news() -> None:
    watching = watch("features", "disagreement", "confidence")
    watching.take(windows(0, 0.0, 0))
    assert watching.reason(1) is None


def test_the_detectors_are_rivers() -> None:
    from river import drift

    assert isinstance(detector_of("adwin", 0.01), drift.ADWIN)
    assert isinstance(detector_of("page_hinkley", 0.01), drift.PageHinkley)


# --- traits ---------------------------------------------------------------------------------


def test_traits_by_hand() -> None:
    x = np.array([[[1.0], [3.0], [1.0], [3.0]]], np.float32)
    level, spread, roughness = traits.traits(x)[0]
    # Deviation 1 around 2; steps 2, −2, 2 have mean 2/3 and deviation √(32/9).
    assert (level, spread) == (2.0, pytest.approx(0.0, abs=1e-9))
    assert roughness == pytest.approx(0.5 * np.log(32 / 9))
    assert traits.names(("a",), x) == ["level of a", "spread of a", "roughness of a"]


def test_of_one_reading_the_values_are_the_traits_and_a_picture_is_summed_up() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    np.testing.assert_array_equal(traits.traits(x), x[:, 0])
    assert traits.names(("a", "b", "c"), x) == ["a", "b", "c"]
    picture = np.zeros((2, 1, traits.PICTURE + 1), np.float32)
    assert traits.traits(picture).shape == (2, 3)
    assert len(traits.names(("p",) * (traits.PICTURE + 1), picture)) == 3


def test_what_is_missing_or_never_varied_is_no_distance() -> None:
    reference = np.array([[0.0, 5.0, 1.0], [1.0, 5.0, np.nan], [2.0, 5.0, 3.0]])
    scale = traits.Scale.of(reference)
    measured = scale.measure(np.array([[np.nan, 9.0, 1e9], [1.0 + 1.4826, 5.0, 2.0]]))
    np.testing.assert_allclose(measured, [[0.0, 0.0, traits.MOST], [1.0, 0.0, 0.0]])


def test_a_window_without_a_single_value_has_no_traits() -> None:
    x = np.full((1, 4, 1), np.nan, np.float32)
    assert np.isnan(traits.traits(x)[0, 0])
    np.testing.assert_array_equal(traits.Scale.of(np.ones((3, 3))).measure(traits.traits(x)), 0.0)

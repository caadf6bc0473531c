import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Gate
from iot_stream.release.gate import Z95, judge, judge_old, judge_teacher, truth_of

CLASSES = ("a", "b")
NONE = -1


def _logits(classes: np.ndarray, k: int = 2) -> np.ndarray:
    return np.eye(k, dtype=np.float32)[classes]


def _truth(n: int = 200) -> np.ndarray:
    return np.arange(n) % 2


def _flip(classes: np.ndarray, rows: slice) -> np.ndarray:
    flipped = classes.copy()
    flipped[rows] = 1 - flipped[rows]
    return flipped


def _judge(candidate, running, teacher, labels=None, size=100, settings=None):
    labels = np.full(len(candidate), NONE) if labels is None else labels
    return judge(
        _logits(candidate), _logits(running), _logits(teacher), labels, size, settings or Gate(), CLASSES
    )


def test_judge_better_candidate_passes_by_teacher():
    truth = _truth()
    verdict = _judge(truth, _flip(truth, slice(0, 50)), truth)
    assert verdict.passed
    assert verdict.basis == "teacher"
    assert (verdict.candidate, verdict.running, verdict.gain) == (1.0, 0.75, 0.25)


def test_judge_worse_candidate_is_rejected():
    truth = _truth()
    verdict = _judge(_flip(truth, slice(0, 50)), truth, truth)
    assert verdict.outcome == "rejected"
    assert verdict.gain == -0.25


def test_judge_equal_candidate_passes():
    truth = _truth()
    assert _judge(truth, truth, truth).passed


def test_judge_lower_bound_is_the_paired_one_by_hand():
    # 3 windows won, 1 lost, 96 equal: mean 0.02, sample deviation of the differences by definition.
    truth = _truth(100)
    candidate, running = truth.copy(), truth.copy()
    running[:3] = 1 - running[:3]
    candidate[3] = 1 - candidate[3]
    verdict = _judge(candidate, running, truth)
    differences = np.array([1] * 3 + [-1] + [0] * 96)
    expected = 0.02 - Z95 * np.sqrt(((differences - 0.02) ** 2).sum() / 99) / 10
    assert verdict.gain == pytest.approx(0.02)
    assert verdict.lower == pytest.approx(expected)
    assert verdict.outcome == "rejected"  # better on these windows, and yet
    assert verdict.reason == "it may be worse by 0.019, 0.01 is allowed: +0.020 on 100 windows by teacher"


def test_judge_goes_by_labels_where_there_are_enough():
    truth, wrong_teacher = _truth(), 1 - _truth()
    verdict = _judge(truth, wrong_teacher, wrong_teacher, labels=truth)
    assert verdict.basis == "labels"
    assert verdict.candidate == 1.0


def test_judge_goes_by_the_teacher_where_labels_are_few():
    truth = _truth()
    labels = np.full(len(truth), NONE)
    labels[:10] = 1 - truth[:10]
    assert _judge(truth, truth, truth, labels=labels).basis == "teacher"


@pytest.mark.parametrize(
    ("labels", "truth", "basis"),
    [
        ([0, 1, NONE, 1], [0, 1, NONE, 1], "labels"),
        ([0, 1, NONE, NONE], [1, 0, 1, 0], "teacher"),  # too few
        ([1, 1, 1, NONE], [1, 0, 1, 0], "teacher"),  # one class alone
        ([NONE] * 4, [1, 0, 1, 0], "teacher"),
    ],
)
def test_truth_is_what_enough_labels_say_else_what_the_teacher_says(labels, truth, basis):
    found, name = truth_of(_logits(np.array([1, 0, 1, 0])), np.array(labels), n_min=3)
    assert (found.tolist(), name) == (truth, basis)


def test_judge_holds_with_too_few_windows():
    truth = _truth(10)
    verdict = _judge(truth, truth, truth)
    assert verdict.outcome == "held"
    assert "10 windows" in verdict.reason


def test_judge_holds_on_a_one_class_night():
    night = np.zeros(500, np.int64)
    verdict = _judge(night, 1 - night, night)
    assert verdict.outcome == "held"
    assert "one class" in verdict.reason
    assert verdict.reason.split(": ")[1].startswith("500 ")


def test_judge_holds_when_a_second_class_is_a_rare_error_of_the_teacher():
    night = np.zeros(500, np.int64)
    night[7] = 1
    assert _judge(night, night, night).outcome == "held"


def test_judge_rejects_a_candidate_that_is_too_large():
    truth = _truth()
    assert _judge(truth, truth, truth, size=2000, settings=Gate(max_bytes=1000)).outcome == "rejected"


def test_judge_rejects_nan():
    truth = _truth()
    bad = _logits(truth)
    bad[0, 0] = np.nan
    verdict = judge(bad, _logits(truth), _logits(truth), np.full(200, NONE), 1, Gate(), CLASSES)
    assert verdict.outcome == "rejected"


def test_judge_rejects_a_class_given_up_for_another():
    truth = np.array([0] * 160 + [1] * 40)
    running = _flip(truth, slice(0, 40))  # wrong on a quarter of the large class
    candidate = np.zeros(200, np.int64)
    candidate[160:190] = 1  # right on all of it, but the small class loses a quarter
    verdict = _judge(candidate, running, truth)
    assert verdict.gain > 0
    assert verdict.outcome == "rejected"
    assert "recall of b" in verdict.reason


@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_judge_never_passes_what_loses_more_than_delta(seed, n):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    running = np.where(rng.random(n) < 0.8, truth, 1 - truth)
    candidate = np.where(rng.random(n) < rng.random(), truth, 1 - truth)
    verdict = _judge(candidate, running, truth)
    lost = (running == truth).sum() - (candidate == truth).sum()
    if verdict.passed:
        assert lost <= Gate().delta * n
    else:
        assert verdict.outcome in ("held", "rejected")


def _judge_old(candidate, running, truth, settings, labels=None):
    recent = _truth()
    verdict = _judge(recent, recent, recent)
    labels = np.full(len(truth), NONE) if labels is None else labels
    return judge_old(verdict, _logits(candidate), _logits(running), _logits(truth), labels, settings)


def test_judge_old_rejects_what_forgets_old_regimes():
    old = _truth(400)
    verdict = _judge_old(_flip(old, slice(0, 40)), old, old, Gate(old_drop=0.05))
    assert verdict.outcome == "rejected"
    assert "old regimes" in verdict.reason
    assert verdict.old["gain"] == pytest.approx(-0.1)


def test_judge_old_passes_by_the_lower_bound_and_says_it():
    # 8 of 400 lost: mean −0.02, by hand −0.02 − 1.96·√(0.02·0.98·400/399)/20 = −0.0337
    old = _truth(400)
    for bound, outcome in ((0.03, "rejected"), (0.04, "passed")):
        verdict = _judge_old(_flip(old, slice(0, 8)), old, old, Gate(old_drop=bound))
        assert verdict.old["lower"] == pytest.approx(-0.0337, abs=1e-4)
        assert verdict.outcome == outcome


def test_judge_old_goes_by_labels_and_without_them_by_the_teacher():
    truth = _truth(200)
    teacher = _flip(truth, slice(0, 100))  # wrong on the first half
    labels = np.where(np.arange(200) < 100, truth, NONE)  # which has labels
    assert _judge_old(truth, truth, teacher, Gate(old_drop=0.0), labels).old["gain"] == 0
    assert _judge_old(teacher, truth, teacher, Gate(old_drop=0.4), labels).old["gain"] == -0.5


def test_judge_old_changes_nothing_without_a_bound_or_with_too_few_windows():
    old = _truth(400)
    lost = _flip(old, slice(0, 200))
    assert _judge_old(lost, old, old, Gate()).old == {}
    assert _judge_old(lost[:59], old[:59], old[:59], Gate(old_drop=0.01)).passed


def test_judge_old_never_lifts_a_rejection():
    truth = _truth()
    rejected = _judge(_flip(truth, slice(0, 50)), truth, truth)
    verdict = judge_old(
        rejected, _logits(truth), _logits(truth), _logits(truth), np.full(200, NONE), Gate(old_drop=0.05)
    )
    assert (verdict.outcome, verdict.reason) == (rejected.outcome, rejected.reason)


@pytest.mark.parametrize(
    ("worse", "labelled", "outcome"),
    [
        (0, 200, "passed"),
        (1, 200, "passed"),  # 0.005, within δ
        (3, 200, "rejected"),
        (50, 59, "passed"),  # too few labels to say
        (50, 60, "rejected"),
    ],
)
def test_a_teacher_that_labels_show_to_be_worse_is_rejected(worse: int, labelled: int, outcome: str) -> None:
    truth = _truth()
    labels = np.where(np.arange(200) < labelled, truth, NONE)
    verdict = judge_teacher(_logits(_flip(truth, slice(0, worse))), _logits(truth), labels, Gate())
    assert verdict["outcome"] == outcome
    assert verdict["windows"] == labelled
    if labelled >= 60:
        assert verdict["gain"] == pytest.approx(-min(worse, labelled) / labelled)


def test_a_teacher_that_gives_no_numbers_is_rejected() -> None:
    truth = _truth(10)
    broken = _logits(truth)
    broken[0] = np.nan
    assert judge_teacher(broken, _logits(truth), truth, Gate())["outcome"] == "rejected"

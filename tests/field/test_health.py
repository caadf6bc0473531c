"""When a version in the field is good, bad, or not known yet: by hand-made groups and hand calculation."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Health
from iot_stream.field.health import Evidence, Finding, Group, Period, judge

RULES = Health()


def period(right: int, of: int, mean_p: float = 0.9) -> Period:
    return Period(of, of, right, mean_p * of)


def found(stage: Group, control: Group, failed: int = 0) -> Finding:
    return judge(Evidence(stage, control, failed), RULES)


GOOD, FAIR = period(950, 1000), period(800, 1000)
STEADY = Group(20, GOOD, GOOD)


def test_what_does_as_well_as_before_is_good() -> None:
    assert found(Group(5, GOOD, GOOD), STEADY).outcome == "good"


def test_a_collapse_is_bad_and_says_by_how_much() -> None:
    finding = found(Group(5, period(300, 600), GOOD), STEADY)
    assert finding.outcome == "bad"
    # .95 before, .5 now; the others stayed: fell by .45 more than they.
    variance = sum(p * (1 - p) / n for p, n in ((302 / 604, 604), *[(952 / 1004, 1004)] * 3))
    assert f"-0.450 ± {1.64 * sqrt(variance):.3f}" in finding.why


def test_a_fall_that_all_share_is_not_the_versions_fault() -> None:
    assert found(Group(5, FAIR, GOOD), Group(20, FAIR, GOOD)).outcome == "good"


def test_devices_that_were_worse_before_are_not_held_against_it() -> None:
    assert found(Group(5, FAIR, FAIR), STEADY).outcome == "good"


def test_standing_still_while_the_others_recover_is_bad() -> None:
    assert found(Group(5, FAIR, FAIR), Group(20, GOOD, FAIR)).outcome == "bad"


def test_without_a_control_group_it_is_compared_with_before() -> None:
    assert found(Group(5, FAIR, GOOD), Group()).outcome == "bad"
    assert found(Group(5, GOOD, GOOD), Group()).outcome == "good"


def test_new_devices_are_compared_with_the_others_as_they_are() -> None:
    assert found(Group(5, FAIR), Group(20, GOOD)).outcome == "bad"


@given(st.integers(0, RULES.n_min - 1))
def test_few_windows_are_waited_for(windows: int) -> None:
    assert found(Group(5, period(0, windows), GOOD), STEADY).outcome == "wait"


def test_windows_that_nobody_has_judged_yet_are_waited_for() -> None:
    finding = found(Group(5, Period(500, 0, 0, 450.0), GOOD), STEADY)
    assert (finding.outcome, finding.why) == ("wait", "0 windows could be judged, 60 are needed")


def test_where_nothing_can_ever_judge_certainty_must_do() -> None:
    silent = Period(500, 0, 0, 450.0)
    assert found(Group(5, silent, silent), Group(20, silent, silent)).outcome == "good"
    doubting = Period(500, 0, 0, 250.0)
    assert found(Group(5, doubting, silent), Group(20, silent, silent)).outcome == "bad"
    assert found(Group(5, doubting, silent), Group(20, doubting, silent)).outcome == "good"  # all doubt


@pytest.mark.parametrize(("failed", "outcome"), [(0, "good"), (1, "good"), (2, "bad")])
def test_devices_that_refuse_it_stop_it(failed: int, outcome: str) -> None:
    assert found(Group(10 - failed, GOOD, GOOD), STEADY, failed).outcome == outcome


def test_all_refuse_it_before_any_window() -> None:
    assert found(Group(0), STEADY, 3).outcome == "bad"


def test_a_slow_model_is_stopped() -> None:
    stage = Group(5, GOOD, GOOD, infer_us=400.0)
    assert found(stage, Group(20, GOOD, GOOD, infer_us=100.0)).outcome == "bad"
    assert found(stage, Group(20, GOOD, GOOD, infer_us=200.0)).outcome == "good"
    assert found(stage, STEADY).outcome == "good"  # nobody knows how fast the others are


def test_nothing_is_known_of_nobody() -> None:
    assert found(Group(), Group()).outcome == "wait"

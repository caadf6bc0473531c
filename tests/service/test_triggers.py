import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config import Gate, Pipeline, Task, Triggers, Window
from iot_stream.distill.drift import Fresh
from iot_stream.service.budget import Budget
from iot_stream.service.triggers import Trigger
from iot_stream.units import Duration, Spending

EVERY = Triggers(every=Duration(10 * SECOND), at_least=5)


def test_period_starts_with_the_first_windows_and_does_not_creep():
    trigger = Trigger(EVERY, 0, 0)
    assert trigger.reason(100 * SECOND, 4) is None
    assert trigger.reason(100 * SECOND, 5) == "period"
    trigger.started(100 * SECOND, 5)
    assert trigger.reason(109 * SECOND, 50) is None
    trigger_at = 113 * SECOND
    assert trigger.reason(trigger_at, 50) == "period"
    trigger.started(trigger_at, 50)
    assert trigger.reason(120 * SECOND, 100) == "period"


def test_period_after_a_long_silence_does_not_catch_up():
    trigger = Trigger(EVERY, 0, 0)
    trigger.started(100 * SECOND, 5)
    trigger.started(500 * SECOND, 50)
    assert trigger.reason(505 * SECOND, 100) is None


def test_number_of_new_windows():
    trigger = Trigger(Triggers(windows=100, at_least=5), 0, 20)
    assert trigger.reason(0, 119) is None
    assert trigger.reason(0, 120) == "windows"


def test_goes_on_after_a_restart_where_it_was():
    trigger = Trigger(EVERY, 100 * SECOND, 40)
    assert trigger.reason(105 * SECOND, 100) is None
    assert trigger.reason(110 * SECOND, 44) is None
    assert trigger.reason(110 * SECOND, 45) == "period"


def test_labels_that_have_come():
    trigger = Trigger(Triggers(labels=20, at_least=5), 0, 0)
    assert trigger.reason(0, 100, 19) is None
    assert trigger.reason(0, 4, 20) is None
    assert trigger.reason(0, 100, 20) == "labels: 20 have come"


def test_no_round_sooner_than_the_cooldown():
    trigger = Trigger(Triggers(windows=10, at_least=5, cooldown=Duration(60 * SECOND)), 0, 0)
    assert trigger.reason(SECOND, 50) == "windows"
    trigger.started(SECOND, 50)
    assert trigger.reason(60 * SECOND, 500) is None
    assert trigger.reason(61 * SECOND, 500) == "windows"


# --- drift ----------------------------------------------------------------------------------

WATCHING = Triggers(every=Duration(10 * SECOND), longest=Duration(25 * SECOND), drift="adwin", at_least=5)
REFERENCE = np.random.default_rng(0).standard_normal((200, 1, 2)).astype(np.float32)


def fresh(count: int, wrong: float, seed: int) -> Fresh:
    rng = np.random.default_rng(seed)
    said = np.eye(2, dtype=np.float32)
    x = rng.standard_normal((count, 1, 2)).astype(np.float32)
    return Fresh(x, said[np.zeros(count, int)], said[(rng.random(count) < wrong).astype(int)])


def test_the_period_grows_while_it_is_quiet_and_an_alarm_makes_it_short_again():
    trigger = Trigger(WATCHING, 0, 0, REFERENCE)
    started = []
    seen = 0
    for now in range(SECOND, 100 * SECOND, SECOND):
        trigger.watch(fresh(20, 0.02, now // SECOND))
        seen += 20
        if trigger.reason(now, seen):
            trigger.started(now, seen)
            started.append(now // SECOND)
    assert started == [1, 21, 46, 71, 96]  # 20 s, then 25 s, the longest
    trigger.watch(fresh(300, 0.5, 1))
    assert (trigger.reason(100 * SECOND, seen + 300) or "").startswith("drift: disagreement")
    trigger.started(100 * SECOND, seen + 300)
    assert trigger.reason(109 * SECOND, seen + 900) is None
    assert trigger.reason(110 * SECOND, seen + 900) == "period"


def test_without_a_period_what_was_no_answer_is_tried_again_each_time_later():
    trigger = Trigger(Triggers(drift="adwin", at_least=50), 0, 0, REFERENCE)
    trigger.watch(fresh(1000, 0.02, 1))
    trigger.watch(fresh(300, 0.5, 2))
    seen, waits = 1300, []
    assert "rose" in (trigger.reason(SECOND, seen) or "")
    for number in range(3):
        trigger.started(SECOND, seen)
        trigger.released(REFERENCE)
        began = seen
        while not (reason := trigger.reason(SECOND, seen)):
            trigger.watch(fresh(50, 0.5, 10 * number + seen))
            seen += 50
            assert seen < 10_000
        assert "is still 0." in reason
        waits.append(seen - began)
    assert waits == [50, 100, 150]
    trigger.started(SECOND, seen)
    trigger.watch(fresh(500, 0.02, 99))
    assert trigger.reason(SECOND, seen + 500) is None


def test_drift_is_watched_only_where_it_is_asked_for():
    assert not Trigger(EVERY, 0, 0, REFERENCE).watches
    assert Trigger(WATCHING, 0, 0, REFERENCE).watches
    with pytest.raises(ValueError, match="longest: needs"):
        Triggers(longest=Duration(SECOND), every=Duration(SECOND))


# --- budget ---------------------------------------------------------------------------------

HOUR = 3600 * SECOND


def test_an_hours_worth_can_be_spent_at_once_and_then_comes_back_steadily():
    trigger = Trigger(Triggers(windows=1, at_least=1, budget=Spending.parse("60 s/h")), 0, 0)
    for number in range(3):
        assert trigger.reason(HOUR + number, number + 1) == "windows"
        trigger.started(HOUR + number, number + 1)
        trigger.spent(HOUR + number, 20.0)
    assert trigger.reason(HOUR + 9, 99) is None
    assert trigger.reason(HOUR + 19 * 60 * SECOND, 99) is None
    assert trigger.reason(HOUR + 21 * 60 * SECOND, 99) == "windows"


def test_a_round_that_costs_more_than_an_hours_worth_is_paid_off_first():
    budget = Budget(Spending.parse("60 s/h"))
    assert budget.allows(0)
    budget.spend(0, 150.0)
    assert not budget.allows(2 * HOUR)
    assert budget.allows(round(2.51 * HOUR))


@given(
    st.lists(st.tuples(st.integers(0, HOUR), st.floats(0.1, 50.0)), max_size=60),
    st.floats(0.001, 0.2),
)
def test_the_budget_is_kept_between_any_two_moments(rounds: list[tuple[int, float]], share: float):
    budget = Budget(Spending(share))
    now, spent = 0, []
    for pause, cost in rounds:
        now += pause
        if budget.allows(now):
            budget.spend(now, cost)
            spent.append((now, cost))
    largest = max((cost for _, cost in spent), default=0.0)
    for first in range(len(spent)):
        for last in range(first, len(spent)):
            total = sum(cost for _, cost in spent[first : last + 1])
            time = spent[last][0] - spent[first][0] + HOUR
            assert total <= share * time / SECOND + largest + 1e-6


def test_by_itself_no_round_starts_that_the_gate_could_only_hold():
    every = Triggers(every=Duration(10 * SECOND))
    for triggers, fewest in ((every, 80), (msgspec.structs.replace(every, at_least=30), 30)):
        pipeline = Pipeline(
            window=Window(length=1),
            task=Task(classify=("a", "b")),
            triggers=triggers,
            gate=Gate(n_min=40),
        )
        trigger = Trigger.of(pipeline, 0, 0, REFERENCE)
        assert trigger.reason(100 * SECOND, fewest - 1) is None
        assert trigger.reason(100 * SECOND, fewest) == "period"

"""Fault or drift: who leaves the cohort is held, and where the cohort moves nobody is."""

from collections.abc import Callable

import numpy as np
import pytest

from iot_stream.config import Hold
from iot_stream.distill import outliers
from iot_stream.distill.material import Material
from iot_stream.distill.outliers import Found
from simulator.world import Condition, world

INPUTS = ("drive_end", "fan_end")
BEARING = world("bearing")
SECOND = 10**9
Conditions = Callable[[int], Condition]


def said(machines: range, bursts: range, condition: Conditions) -> Material:
    """A window of 256 readings a second of each machine; logits and labels are of no matter."""
    x, devices, starts = [], [], []
    for index in machines:
        machine = BEARING.machine(index, 1)
        for burst in bursts:
            x.append(machine.burst(burst * SECOND, condition(index), 256).values)
            devices.append(f"m{index}")
            starts.append(burst * SECOND)
    begins = np.array(starts, np.int64)
    nothing = np.zeros((len(x), 4), np.float32)
    return Material(
        np.array(devices), begins, begins + SECOND // 50, np.stack(x), nothing, np.full(len(x), -1, np.int64)
    )


@pytest.fixture(scope="module")
def bootstrap() -> Material:
    return said(range(100, 160), range(4), lambda _: BEARING.condition())


def find(stream: Material, bootstrap: Material, **accepted: int) -> Found:
    return outliers.find(stream, bootstrap, INPUTS, Hold(), accepted)


def before_and(condition: Conditions, machines: int = 8) -> Material:
    """Thirty seconds as commissioned, then thirty in other conditions."""
    usual = said(range(machines), range(30), lambda _: BEARING.condition())
    return usual.and_then(said(range(machines), range(30, 60), condition))


def only(index: int, **changes: float) -> Conditions:
    return lambda each: BEARING.condition(**changes) if each == index else BEARING.condition()


def stuck(stream: Material, device: str, since: int, channel: int = 0) -> Material:
    x = stream.x.copy()
    rows = (stream.devices == device) & (stream.starts >= since)
    x[rows, :, channel] = 17.0
    return Material(stream.devices, stream.starts, stream.ends, x, stream.logits, stream.labels)


def test_nobody_is_held_where_nothing_happens(bootstrap: Material) -> None:
    assert find(before_and(lambda _: BEARING.condition()), bootstrap) == Found()


@pytest.mark.parametrize("regime", ["heavy", "light", "medium"])
@pytest.mark.parametrize("machines", [4, 8, 12])
def test_where_all_move_it_is_drift(bootstrap: Material, regime: str, machines: int) -> None:
    stream = before_and(lambda _: BEARING.condition(regime), machines)
    assert find(stream, bootstrap).leavers == ()


def test_where_the_half_moves_it_is_drift(bootstrap: Material) -> None:
    stream = before_and(lambda index: BEARING.condition("heavy" if index < 4 else None))
    assert find(stream, bootstrap).leavers == ()


def test_who_moves_to_where_others_are_has_not_left(bootstrap: Material) -> None:
    """A machine that develops a defect is what the model is to tell: it is like others that have one."""
    healthy = said(range(8), range(60), lambda _: BEARING.condition())
    x = healthy.x.copy()
    broken = said(range(13, 14), range(30, 60), lambda _: BEARING.condition())
    x[(healthy.devices == "m0") & (healthy.starts >= 30 * SECOND)] = broken.x
    stream = Material(healthy.devices, healthy.starts, healthy.ends, x, healthy.logits, healthy.labels)
    assert find(stream, bootstrap).leavers == ()


def test_a_stuck_sensor_is_held_since_it_stuck(bootstrap: Material) -> None:
    stream = stuck(before_and(lambda _: BEARING.condition("heavy")), "m2", 35 * SECOND)
    (leaver,) = find(stream, bootstrap).leavers
    assert (leaver.device, leaver.since) == ("m2", 35 * SECOND)
    assert leaver.reason == "stuck: drive_end does not change any more, 7 other devices' do"


def test_where_most_stand_still_nobody_is_stuck(bootstrap: Material) -> None:
    stream = before_and(lambda _: BEARING.condition())
    for index in range(5):
        stream = stuck(stream, f"m{index}", 35 * SECOND)
    assert not [leaver for leaver in find(stream, bootstrap).leavers if leaver.reason.startswith("stuck")]


@pytest.mark.parametrize("changes", [{"gain": 8.0}, {"gain": 0.05}])
def test_a_machine_like_nothing_else_is_held(bootstrap: Material, changes: dict[str, float]) -> None:
    stream = before_and(only(5, **changes))
    (leaver,) = find(stream, bootstrap).leavers
    assert leaver.device == "m5"
    assert leaver.since == 30 * SECOND
    assert leaver.reason.startswith("like nothing known: ")
    assert "most in spread of" in leaver.reason or "level of" in leaver.reason
    assert "cohort of 8" in leaver.reason


def test_stuck_broken_and_drift_at_once(bootstrap: Material) -> None:
    def conditions(index: int) -> Condition:
        return BEARING.condition("heavy", gain=10.0 if index == 5 else 1.0)

    stream = stuck(before_and(conditions), "m2", 30 * SECOND)
    found = find(stream, bootstrap)
    assert {leaver.device for leaver in found.leavers} == {"m2", "m5"}
    kept = outliers.without(stream, found.leavers)
    assert set(kept.devices.tolist()) == {f"m{index}" for index in range(8)}
    late = kept.starts >= 30 * SECOND
    assert set(kept.devices[late].tolist()) == {f"m{index}" for index in range(8)} - {"m2", "m5"}
    assert [each["device"] for each in found.report()["held"]] == [each.device for each in found.leavers]


@pytest.mark.parametrize("machines", [1, 2])
def test_of_one_or_two_it_is_said_that_it_cannot_be_told(bootstrap: Material, machines: int) -> None:
    found = find(before_and(only(0, gain=8.0), machines), bootstrap)
    assert found.leavers == ()
    assert "fault and drift can be told apart from 3 on" in found.note


def test_a_device_with_few_windows_is_not_judged_yet(bootstrap: Material) -> None:
    stream = before_and(only(5, gain=8.0))
    early = stream.rows((stream.devices != "m5") | (stream.starts >= 50 * SECOND))
    assert find(early, bootstrap).leavers == ()


def test_what_a_person_has_accepted_is_not_held_again_but_another_fault_is(bootstrap: Material) -> None:
    stream = before_and(only(5, gain=8.0))
    assert find(stream, bootstrap, m5=50 * SECOND).leavers == ()
    worse = stream.and_then(said(range(8), range(60, 90), only(5, gain=0.02)))
    (leaver,) = find(worse, bootstrap, m5=50 * SECOND).leavers
    assert leaver.device == "m5"
    assert 50 * SECOND <= leaver.since <= 60 * SECOND


def test_it_can_be_turned_off(bootstrap: Material) -> None:
    stream = before_and(only(5, gain=8.0))
    assert outliers.find(stream, bootstrap, INPUTS, Hold(far=0), {}) == Found()

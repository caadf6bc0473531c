"""What every world keeps: tried on all of them by discovery."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.errors import ConfigError
from simulator.world import WORLDS, World, world
from simulator.world.base import sample_times

START = 1_700_000_000_123_456_789
EACH = pytest.mark.parametrize("place", WORLDS.values(), ids=list(WORLDS))


def test_all_worlds_are_tried_here() -> None:
    assert sorted(WORLDS) == ["bearing", "features"]


@EACH
def test_a_burst_has_the_form_that_its_world_promises(place: World) -> None:
    for readings in (None, 1, 33):
        burst = place.machine(3, 7).burst(START, place.condition(), readings)
        number = place.readings if readings is None else readings
        assert burst.times.dtype == np.int64
        assert burst.values.dtype == np.float32
        assert burst.values.shape == (number, len(place.channels))
        assert np.isfinite(burst.values).all()
        assert burst.times[0] == START
        assert 0 <= burst.label < len(place.classes)
        if number > 1:
            np.testing.assert_allclose(np.diff(burst.times), 1e9 / place.rate_hz, atol=1)


@EACH
def test_bursts_of_one_machine_do_not_overlap(place: World) -> None:
    burst = place.machine(0, 0).burst(START, place.condition())
    assert burst.times[-1] < START + place.period_ns


@EACH
def test_seed_machine_and_time_decide_a_burst(place: World) -> None:
    def values(index: int, seed: int, start: int) -> np.ndarray:
        return place.machine(index, seed).burst(start, place.condition()).values

    known = values(4, 1, START)
    np.testing.assert_array_equal(values(4, 1, START), known)
    for other in (values(8, 1, START), values(4, 2, START), values(4, 1, START + place.period_ns)):
        assert not np.array_equal(other, known)


@EACH
def test_a_burst_does_not_depend_on_those_before_it(place: World) -> None:
    condition = place.condition()
    asked_twice, asked_once = place.machine(2, 5), place.machine(2, 5)
    asked_twice.burst(START, condition)
    later = START + place.period_ns
    np.testing.assert_array_equal(
        asked_twice.burst(later, condition).values, asked_once.burst(later, condition).values
    )


@EACH
def test_every_class_occurs(place: World) -> None:
    labels = {
        place.machine(index, 0).burst(START + step * 10**10, place.condition()).label
        for index in range(8)
        for step in range(8)
    }
    assert labels == set(range(len(place.classes)))


@EACH
def test_regimes_name_the_same_numbers_and_drift_shows(place: World) -> None:
    assert {"commissioned", "heavy"} <= set(place.regimes)
    assert place.default_regime == "commissioned"
    assert len({frozenset(regime) for regime in place.regimes.values()}) == 1
    before, after = (
        place.machine(1, 0).burst(START, place.condition(name)).values for name in ("commissioned", "heavy")
    )
    assert not np.array_equal(before, after)


@EACH
def test_conditions_are_a_regime_with_changes(place: World) -> None:
    key = next(iter(place.condition()))
    changed = place.condition("heavy", **{key: 0.25})
    assert changed == {**place.regimes["heavy"], key: 0.25}
    assert place.regimes["heavy"][key] != 0.25  # the regime itself is as it was


def test_unknown_names_are_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="is bearing meant"):
        world("bearings")
    with pytest.raises(ConfigError, match="is heavy meant"):
        world("bearing").condition("hevy")
    with pytest.raises(ConfigError, match="is speed meant"):
        world("bearing").condition(sped=3000.0)
    with pytest.raises(ConfigError, match="there are bearing, features"):
        world("zzz")


@given(st.integers(0, 2**62), st.integers(1, 2000), st.floats(0.01, 1e6))
def test_sample_times_never_drift_from_the_rate(start: int, readings: int, rate: float) -> None:
    times = sample_times(start, readings, rate)
    assert times[0] == start
    assert abs(int(times[-1] - start) - (readings - 1) * 1e9 / rate) <= 1 + readings * 1e9 / rate * 1e-12
    assert (np.diff(times) > 0).all()

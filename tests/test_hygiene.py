"""What cannot be true is refused with a reason, or marked missing."""

import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.cut import Cut
from iot_stream.errors import DataError
from iot_stream.hygiene import AHEAD, EARLIEST, Counts, Judge, Limit, clean
from iot_stream.readings import Block
from tests.streams import START

NAN = np.nan


def block(*values: float, time: int = START) -> Block:
    times = time + np.arange(len(values))
    return Block("d", ("a",), times, np.array(values, np.float32)[:, None])


def test_infinite_values_become_missing() -> None:
    cleaned = clean(block(1, np.inf, -np.inf, np.nan, 999.9), START)
    np.testing.assert_array_equal(cleaned.values[:, 0], np.array([1, NAN, NAN, NAN, 999.9], np.float32))


def judged(limit: Limit | None, *values: float, errors: tuple[float, ...] = ()) -> tuple[list[float], Counts]:
    """One reading a second of channel a; the values with None for what was struck, and the counts."""
    judge = Judge(("a",), errors, (limit,) if limit else ())
    found = judge.judged(START + np.arange(len(values)) * SECOND, np.array(values, np.float32)[:, None])[:, 0]
    return [None if value != value else value for value in found.tolist()], judge.counts


def test_error_codes_are_missing_and_counted() -> None:
    found = judged(None, 21.5, 999.9, -127, 65535, 21, errors=(999.9, -127, 65535))
    assert found == ([21.5, None, None, None, 21], {("error_value", "a"): 3})


def test_what_is_out_of_range_is_missing_and_the_bounds_are_in_it() -> None:
    found = judged(Limit("a", low=-10, high=40), -10.5, -10, 0, 40, 41)
    assert found == ([None, -10, 0, 40, None], {("out_of_range", "a"): 2})


def test_a_spike_is_missing_and_a_new_level_is_not_once_it_is_confirmed() -> None:
    found = judged(Limit("a", jump=5), 20, 21, 85, 22, 80, 81, 82, 20, NAN, 21)
    assert found == ([20, 21, None, 22, None, 81, 82, None, None, 21], {("jump", "a"): 3})


def test_a_value_that_stays_the_same_for_too_long_is_missing_until_it_changes() -> None:
    found = judged(Limit("a", stuck=2 * SECOND), 1, 1, 1, 1, NAN, 1, 2, 2)
    assert found == ([1, 1, 1, None, None, None, 2, 2], {("stuck", "a"): 2})


def test_what_is_struck_for_one_reason_is_not_judged_by_another() -> None:
    found = judged(Limit("a", high=100, jump=5), 20, 999, 21)
    assert found == ([20, None, 21], {("out_of_range", "a"): 1})


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        (Limit("a", low=2, high=2), "low 2 is not below high 2"),
        (Limit("a", jump=0), "jump 0 must be more"),
        (Limit("a", jump=NAN), "jump nan must be more"),
        (Limit("a", stuck=-1), "stuck counts from 0"),
    ],
)
def test_limits_that_nothing_could_keep_are_refused(limit: Limit, says: str) -> None:
    assert says in limit.fault()
    with pytest.raises(ValueError, match=says):
        Cut(("a",), ("a",), 1, 1, limits=(limit,))


def test_a_clean_block_stays_the_same_object() -> None:
    good = block(1, 2, 999)
    assert clean(good, START) is good


@pytest.mark.parametrize("time", [0, EARLIEST - 1, START + AHEAD + 1])
def test_absurd_times_are_refused(time: int) -> None:
    with pytest.raises(DataError, match=r"absurd_time: d: .*is its clock set"):
        clean(block(1, time=time), START)


@pytest.mark.parametrize("time", [EARLIEST, START + AHEAD])
def test_the_bounds_themselves_are_taken(time: int) -> None:
    clean(block(1, time=time), START)


def test_without_a_clock_only_the_past_is_judged() -> None:
    clean(block(1, time=START + 100 * 365 * 86400 * SECOND), 0)
    with pytest.raises(DataError, match="absurd_time"):
        clean(block(1, time=5), 0)


def test_no_readings_are_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        clean(block(), START)

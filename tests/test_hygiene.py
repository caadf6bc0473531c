"""What cannot be true is refused with a reason, or marked missing."""

import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.errors import DataError
from iot_stream.hygiene import AHEAD, EARLIEST, MAX_PAYLOAD, check_size, clean
from iot_stream.readings import Block
from tests.streams import START


def block(*values: float, time: int = START) -> Block:
    times = time + np.arange(len(values))
    return Block("d", ("a",), times, np.array(values, np.float32)[:, None])


def test_infinite_values_and_error_codes_become_missing() -> None:
    cleaned = clean(
        block(1, np.inf, -np.inf, np.nan, 999.9, -127, 65535), START, frozenset({999.9, -127, 65535})
    )
    np.testing.assert_array_equal(cleaned.values[:, 0], [1] + [np.nan] * 6)


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


def test_a_message_may_be_large_but_not_too_large() -> None:
    check_size(b"x" * MAX_PAYLOAD)
    with pytest.raises(DataError, match="too_large"):
        check_size(b"x" * (MAX_PAYLOAD + 1))

"""Readings for a plot: one axis, gaps where a channel was silent, the envelope where there are too many."""

import numpy as np

from iot_stream.clock import SECOND
from iot_stream.readings import Block
from iot_stream.watch.dashboard.views.readings import POINTS, lines


def block(first: int, values: list[list[float]], *names: str) -> Block:
    times = (first + np.arange(len(values))) * SECOND
    return Block("pump", names, times, np.array(values, np.float32))


def test_channels_that_come_apart_share_an_axis() -> None:
    found = lines([block(2, [[5], [6]], "b"), block(1, [[1, 10], [2, np.nan]], "a", "c")], 0, 9 * SECOND)
    assert found.times == [1, 2, 2, 3]
    assert found.values == {"b": [None, 5, None, 6], "a": [1, None, 2, None], "c": [10, None, None, None]}
    assert found.readings == 4


def test_only_what_is_asked_for_is_shown() -> None:
    found = lines([block(1, [[1], [2], [3], [4]], "a")], 2 * SECOND, 3 * SECOND)
    assert (found.times, found.values) == ([2, 3], {"a": [2, 3]})
    nothing = lines([], 0, SECOND)
    assert (nothing.times, nothing.values, nothing.readings) == ([], {}, 0)


def test_of_many_readings_every_peak_is_seen() -> None:
    values = np.zeros(50_000)
    values[31_234], values[44_444] = 7, -3
    found = lines([block(0, values[:, None].tolist(), "a")], 0, 10**6 * SECOND)
    assert len(found.times) == POINTS
    assert found.readings == 50_000
    assert (max(found.values["a"]), min(found.values["a"])) == (7, -3)  # type: ignore[type-var]
    assert found.times == sorted(found.times)
    place = found.values["a"].index(7)
    assert abs(found.times[place] - 31_234) < 50_000 / (POINTS / 2)


def test_values_keep_five_figures() -> None:
    found = lines([block(0, [[21.123456789], [0.00012345]], "a")], 0, 9 * SECOND)
    assert found.values["a"] == [21.123, 0.0]
    assert lines([block(0, [[0.00012345]], "a")], 0, 9 * SECOND).values["a"] == [0.00012345]
    assert lines([block(0, [[123456.7]], "a")], 0, 9 * SECOND).values["a"] == [123457]

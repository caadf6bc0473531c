import numpy as np
import pytest

from iot_stream.evaluate.metrics import accuracy, balanced, over_time


def test_accuracy_and_balanced_by_hand():
    truth = np.array([0, 0, 0, 0, 1, 1])
    said = np.array([0, 0, 0, 1, 1, 0])
    assert accuracy(said, truth) == pytest.approx(4 / 6)
    assert balanced(said, truth) == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_of_nothing_is_none():
    empty = np.zeros(0, np.int64)
    assert accuracy(empty, empty) is None
    assert balanced(empty, empty) is None


def test_over_time_leaves_gaps():
    times = np.array([0, 1, 25])
    assert over_time(times, np.array([True, False, True]), np.array([0, 10, 20, 30])) == [0.5, None, 1.0]

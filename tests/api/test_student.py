"""A student that is asked from Python answers as the device does."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import iot_stream
from iot_stream.cut import Cut
from iot_stream.device.model import Model, softmax
from iot_stream.errors import DataError
from iot_stream.readings import Values
from iot_stream.spec import Spec
from iot_stream.store.registry import Version

T0 = datetime(2026, 5, 1, tzinfo=UTC)


class Doubling:
    """A runtime whose logits are the sums of an input's column, and twice that."""

    name = "doubling"

    def predict(self, x: Values) -> Values:
        total = x[:, :, 0].sum(axis=1)
        return np.stack([total, 2 * total], axis=1)


@pytest.fixture
def student() -> iot_stream.Student:
    """Windows of two readings."""
    cut = Cut(("a", "b"), ("a", "b"), 2, 1)
    spec = Spec(cut, ("low", "high"), (0.0, 0.0), (1.0, 1.0))
    version = Version("p", "all", 7, "r", 0, "g", "s", "w", "int8", "f", {})
    return iot_stream.Student(version, Model(7, spec, Doubling(), None))  # type: ignore[arg-type]


def times(count: int) -> list[datetime]:
    return [T0 + timedelta(seconds=i) for i in range(count)]


def test_one_window_is_answered_with_class_and_certainty(student: iot_stream.Student) -> None:
    said = student.predict_one([[1, 0], [1, 0]])
    wanted = softmax(np.array([2.0, 4.0]))
    assert said.name == "high"
    assert said.p == pytest.approx(wanted[1])
    assert said.probabilities == pytest.approx({"low": wanted[0], "high": wanted[1]})


def test_many_windows_are_answered_in_their_order(student: iot_stream.Student) -> None:
    windows = np.array([[[1, 0], [1, 0]], [[-1, 0], [-1, 0]]], np.float32)
    assert student.predict(windows).tolist() == [1, 0]
    assert student.probabilities(windows).sum(axis=1) == pytest.approx([1, 1])
    assert student.predict(np.zeros((0, 2, 2))).tolist() == []


def test_readings_make_the_window_that_a_device_would_cut(student: iot_stream.Student) -> None:
    said = student.predict_one({"b": [0, 0, 0], "a": [9, 1, 1], "other": []}, times(3))
    assert said == student.predict_one([[1, 0], [1, 0]])


def test_readings_are_put_in_order_of_time(student: iot_stream.Student) -> None:
    late = times(3)
    late[0], late[2] = late[2], late[0]
    assert student.predict_one({"a": [3, 2, 100], "b": [0] * 3}, late) == student.predict_one(
        [[2, 0], [3, 0]]
    )


def test_a_missing_value_is_missing(student: iot_stream.Student) -> None:
    assert student.predict_one({"a": [None, 3], "b": [0, 0]}, times(2)) == student.predict_one(
        [[np.nan, 0], [3, 0]]
    )


@pytest.mark.parametrize(
    "moments",
    [
        [1_777_593_600_000_000_000, 1_777_593_601_000_000_000],
        [1_777_593_600.0, 1_777_593_601.0],
        ["2026-05-01T00:00:00Z", "2026-05-01 02:00:01+02:00"],
        [datetime(2026, 5, 1), datetime(2026, 5, 1, 0, 0, 1)],
        list(np.array(["2026-05-01", "2026-05-01T00:00:01"], "datetime64[ns]")),
    ],
)
def test_times_may_be_written_in_many_ways(student: iot_stream.Student, moments: list[object]) -> None:
    said = student.predict_one({"a": [1, 1], "b": [0, 0]}, moments)  # type: ignore[arg-type]
    assert said == student.predict_one([[1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("readings", "count", "says"),
    [
        ({"a": [1]}, 1, "readings have no b; there are a"),
        ({"a": [1, 2], "b": [1]}, 2, "b has 1 values, and there are 2 times"),
        ({"a": [1], "b": [1]}, 1, "1 readings make no window: it takes 2, one after the other"),
    ],
)
def test_readings_that_make_no_window_say_why(
    student: iot_stream.Student, readings: dict[str, list[float]], count: int, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        student.predict_one(readings, times(count))


def test_readings_without_times_and_windows_of_another_shape_are_refused(
    student: iot_stream.Student,
) -> None:
    with pytest.raises(DataError, match="need `times`"):
        student.predict_one({"a": [1], "b": [1]})
    with pytest.raises(DataError, match=r"windows of shape \(1, 3, 2\), not \(n, 2, 2\) of a, b"):
        student.predict_one(np.zeros((3, 2)))


def test_it_says_who_it_is(student: iot_stream.Student) -> None:
    assert repr(student) == "<Student p all 7: low, high>"
    assert (student.classes, student.cut.length, student.version.version) == (("low", "high"), 2, 7)

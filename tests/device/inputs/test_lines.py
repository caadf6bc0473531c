"""Lines of text become readings, or are left out."""

import io

import numpy as np
import pytest

from iot_stream.clock import SECOND, wall
from iot_stream.device.inputs import lines
from iot_stream.device.inputs.left_out import LeftOut

CHANNELS = ("x", "y")


def read(text: bytes, columns: tuple[str, ...] = ()) -> tuple[list[list[float]], list[int], LeftOut]:
    left_out = LeftOut("test")
    found = list(lines.rows(lines.of_stream(io.BytesIO(text)), CHANNELS, columns, left_out))
    assert all(times.shape == (1,) and values.shape == (1, 2) for times, values in found)
    return [values[0].tolist() for _, values in found], [int(times[0]) for times, _ in found], left_out


@pytest.mark.parametrize(
    "line",
    [
        b'{"x": 1.5, "y": 2}\n',
        b'  {"y": "2", "x": 1.5, "other": [1]}\r\n',
        b"1.5,2\n",
        b"1.5; 2\n",
        b"1.5\t2\r\n",
        b" 1.5   2 ",
    ],
)
def test_a_line_is_an_object_or_values_in_columns(line: bytes) -> None:
    before = wall()
    values, times, left_out = read(line)
    assert values == [[1.5, 2.0]]
    assert before <= times[0] <= wall()
    assert not left_out.counts


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (b'{"x": 1, "y": 2, "time": "2026-03-01T08:00:00Z"}', ()),
        (b'{"x": 1, "y": 2, "time": 1772352000000}', ()),
        (b"1772352000,9,1,2", ("time", "-", "x", "y")),
        (b"2026-03-01T09:00:00+01:00;2;1", ("time", "y", "x")),
    ],
)
def test_its_time_may_stand_in_it(line: bytes, columns: tuple[str, ...]) -> None:
    values, times, _ = read(line, columns)
    assert (values, times) == ([[1.0, 2.0]], [1772352000 * SECOND])


def test_what_is_missing_is_missing() -> None:
    values, _, left_out = read(b'{"x": 1}\n{"x": null, "y": 3}\n5,\n,nan\n\n   \n')
    assert np.array_equal(values, [[1, np.nan], [np.nan, 3], [5, np.nan], [np.nan, np.nan]], equal_nan=True)
    assert not left_out.counts


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"x": 1, "y": }', "malformed"),
        (b"1,2,3", "malformed"),
        (b"1,\xff", "malformed"),
        (b"x,y", "wrong_type"),
        (b'{"x": [1], "y": 2}', "wrong_type"),
        (b'{"z": 1}', "unknown_channel"),
        (b'{"x": 1, "y": 2, "time": "yesterday"}', "absurd_time"),
        (b'{"x": ' + b"1" * lines.LONGEST + b"}", "malformed"),
    ],
)
def test_what_is_no_reading_is_left_out_and_the_next_is_read(line: bytes, reason: str) -> None:
    values, _, left_out = read(line + b"\n7,8\n")
    assert values == [[7.0, 8.0]]
    assert left_out.counts[reason] >= 1


def test_the_same_complaint_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    _, _, left_out = read(b"1,2,3\n" * 5000 + b"x,y\n")
    assert left_out.counts == {"malformed": 5000, "wrong_type": 1}
    assert len(caplog.messages) == 5
    assert "(1000 of this kind so far)" in caplog.text

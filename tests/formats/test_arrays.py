"""Raw numbers."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.arrays import ArrayDecoder, encode
from iot_stream.formats.source import Source
from iot_stream.readings import Block, Values
from iot_stream.units import Duration
from tests.streams import START

XY = {"x": "0", "y": "1"}
TYPES = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<i2", ">i2", "<i4", ">i4", "<u2", ">u2", "<u4", ">u4"]
TYPES += ["i1", "u1", "<i1", ">u1"]


def read(payload: bytes, **settings: Any) -> Block:
    source = Source(**{"format": "array", "channels": XY, "step": Duration(10)} | settings)
    (block,) = ArrayDecoder(source, 3).decode(Heard(payload, START, {"device": "d"}))
    return block


def test_rows_of_channels_the_newest_of_now() -> None:
    block = read(struct.pack("<6f", 1, 2, 3, 4, 5, 6.5))
    assert (block.device, block.channels, block.source) == ("d", ("x", "y"), 3)
    assert block.values.tolist() == [[1, 2], [3, 4], [5, 6.5]]
    assert block.times.tolist() == [START - 20, START - 10, START]
    assert block.arrival_stamped


def test_both_orders_of_bytes_scaled() -> None:
    for order in "<>":
        block = read(struct.pack(f"{order}2h", -200, 100), dtype=f"{order}i2", scale=0.1, offset=5.0)
        np.testing.assert_allclose(block.values, [[-15, 15]])


def test_columns_may_be_left_out_and_taken_twice() -> None:
    payload = bytes([1, 2, 3, 4, 5, 6])
    block = read(payload, dtype="u1", channels={"z": "2", "x": "0", "again": "0"})
    assert block.values.tolist() == [[3, 1, 1], [6, 4, 4]]
    block = read(payload, dtype="u1", channels={"a": "0", "b": "0"})  # as wide as there are channels
    assert len(block) == 3


def test_the_device_may_be_told() -> None:
    assert read(b"\0" * 8, device="pump").device == "pump"


def test_one_row_needs_no_step() -> None:
    assert read(b"\0" * 8, step=None).times.tolist() == [START]
    with pytest.raises(DataError, match="absurd_time: d: 2 readings arrived at once; say `step`"):
        read(b"\0" * 16, step=None)


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"", "empty"), (b"\0" * 7, "malformed"), (b"\0" * 12, "malformed")]
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read(payload)
    assert error.value.reason == reason


def test_readings_do_not_reach_back_before_1970() -> None:
    with pytest.raises(DataError, match="absurd_time: d: 2 readings reach back"):
        read(b"\0" * 16, step=Duration(START + 1))


def test_numbers_beyond_float32_are_not_finite() -> None:
    block = read(struct.pack("<2d", 1e300, float("nan")), dtype="<f8", scale=1e300)
    assert not np.isfinite(block.values).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "f4"}, "dtype: 'f4': write <f4"),
        ({"dtype": "<i8"}, "dtype: '<i8'"),
        ({"dtype": "=f4"}, "dtype"),
        ({"dtype": ""}, "dtype"),
        ({"dtype": "O"}, "dtype"),
        ({"scale": 0.0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"offset": float("inf")}, "offset"),
        ({"channels": {}}, "channels: format array needs the columns"),
        ({"channels": {"x": "a"}}, "channels: x: 'a' is no column"),
        ({"channels": {"x": ""}}, "channels: x: ''"),
        ({"channels": {"x": "-1"}}, "channels: x: '-1'"),
        ({"channels": {"x": "99999"}}, "channels: x: '99999'"),
        ({"channels": {"x": "٣"}}, "channels: x"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(b"", **settings)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_is_read_as_it_was_written(dtype: str) -> None:
    values = np.array([[1, 0], [2, 100]], np.float32)
    np.testing.assert_array_equal(read(encode(values, dtype), dtype=dtype).values, values)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(2))), st.sampled_from("<>"))
def test_what_is_encoded_as_float32_is_decoded(values: Values, order: str) -> None:
    np.testing.assert_array_equal(read(encode(values, f"{order}f4"), dtype=f"{order}f4").values, values)


@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 20), st.just(2)), elements=st.floats(-300, 300, width=32)
    )
)
def test_what_is_encoded_in_whole_numbers_is_decoded_to_half_a_step(values: Values) -> None:
    payload = encode(values, "<i2", scale=0.01, offset=3.0)
    block = read(payload, dtype="<i2", scale=0.01, offset=3.0)
    np.testing.assert_allclose(block.values, values, atol=0.0051)


def test_whole_numbers_are_kept_in_their_range() -> None:
    values = np.array([[1e9, np.nan], [-np.inf, np.inf]], np.float32)
    assert read(encode(values, "u1"), dtype="u1").values.tolist() == [[255, 0], [0, 255]]
    values = np.array([[3e38, -3e38]], np.float32)
    assert read(encode(values, "<i4"), dtype="<i4").values.tolist() == [[2**31, -(2**31)]]


@given(st.binary(max_size=64), st.sampled_from(TYPES))
def test_any_bytes_are_read_or_refused(payload: bytes, dtype: str) -> None:
    try:
        block = read(payload, dtype=dtype, scale=1e30)
    except DataError:
        return
    assert block.values.shape == (len(block.times), 2)

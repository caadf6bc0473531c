"""iot-stream's own telemetry: what a device encodes is what the collector reads."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iot_stream.config import Source
from iot_stream.errors import DataError
from iot_stream.formats import Heard, decoder
from iot_stream.formats.telemetry import encode
from iot_stream.readings import Block
from tests.streams import START

TIMES = START + np.arange(3) * 20_000_000


def read(payload: bytes, **channels: str) -> Block:
    (block,) = decoder(Source(channels=channels), 5).decode(Heard(payload, START, {"device": "d"}))
    return block


@given(st.data())
def test_decoding_gives_the_very_float32_that_were_encoded(data: st.DataObject) -> None:
    count, channels = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 3))
    values = data.draw(arrays(np.float32, (count, channels), elements=st.floats(width=32)))
    steps = data.draw(st.lists(st.integers(-5, 50), min_size=count, max_size=count))
    times = START + np.cumsum(steps, dtype=np.int64)
    names = tuple(f"c{i}" for i in range(channels))
    block = read(encode(names, times, values, "boot", 12))
    assert (block.device, block.channels, block.boot, block.seq, block.source) == ("d", names, "boot", 12, 5)
    assert not block.arrival_stamped
    np.testing.assert_array_equal(block.times, times)
    np.testing.assert_array_equal(block.values, np.where(np.isfinite(values), values, np.nan))


def test_encode_writes_whole_numbers_and_even_steps_briefly() -> None:
    payload = encode(("a",), TIMES, np.array([[1], [-2], [3]], np.float32), "x", 0)
    assert json.loads(payload) == {
        "channels": {"a": [1, -2, 3]}, "boot": "x", "seq": 0, "time": int(TIMES[0]), "step": 20_000_000,
    }  # fmt: skip
    assert b'"a":[1,-2,3]' in payload


def test_encode_writes_a_float32_in_few_digits() -> None:
    assert b"[21.7]" in encode(("a",), TIMES[:1], np.array([[21.7]], np.float32), "x", 0)


def test_only_the_channels_that_are_wanted_are_taken() -> None:
    payload = encode(("a", "b"), TIMES, np.ones((3, 2), np.float32), "x", 0)
    assert read(payload, b="").channels == ("b",)
    with pytest.raises(DataError, match="unknown_channel"):
        read(payload, c="")


def test_readings_without_time_get_the_time_of_arrival() -> None:
    block = read(b'{"channels":{"a":[1]}}')
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


def test_numbers_without_a_boot_id_do_not_count() -> None:
    assert not read(b'{"channels":{"a":[1]},"seq":7}').numbered


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "malformed"),
        (b"\xff", "malformed"),
        (b"[]", "wrong_type"),
        (b'{"channels":{"a":["1"]}}', "wrong_type"),
        (b'{"channels":{"a":[1]},"sequence":1}', "wrong_type"),
        (b'{"channels":{"a":[1],"b":[]}}', "malformed"),
        (b'{"channels":{"a":[1]},"times":[1,2]}', "malformed"),
        (b'{"channels":{"a":[1]},"times":[-1]}', "absurd_time"),
        (b'{"channels":{"a":[1,2]},"time":5,"step":-1}', "absurd_time"),
        (b'{"channels":{"a":[1,2]},"time":9223372036854775807,"step":1}', "absurd_time"),
        (b'{"channels":{}}', "unknown_channel"),
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read(payload)
    assert error.value.reason == reason

"""iot-stream's own telemetry: what a device encodes is what the collector reads."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iot_stream.columns import Columns
from iot_stream.config import Source
from iot_stream.errors import DataError
from iot_stream.formats import Heard, Together, decoder
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


PIECES = (
    b'{"channels":{"a":[1.5],"b":[null]},"boot":"x","seq":%d,"time":1423000000000000000}',
    b'{"channels":{"a":[2]},"boot":"x","seq":%d,"time":1423000000000000000,"step":7}',
    b'{"channels":{"a":[1,2,3],"b":[4,1e300,6]},"boot":"","seq":%d,"time":1423000000000000000,"step":1000}',
    b'{"channels":{"b":[1,2],"a":[4,5]},"boot":"y","seq":%d,"time":1423000000000000000}',
)
ODD = (
    b'{"channels":{"a":[1,2],"b":[3]},"boot":"x","seq":1,"time":1423000000000000000}',
    b'{"channels":{"a":[],"b":[]},"boot":"x","seq":1,"time":1423000000000000000}',
    b'{"channels":{"a":[1],"b":[2]},"boot":"x","seq":1}',
    b'{"channels":{"a":[1],"b":[2]},"boot":"x","seq":1,"times":[1423000000000000000]}',
    b'{"channels":{"a":[1,2]},"time":9223372036854775807,"step":9223372036854775807}',
    b'{"channels":{"a":[1]},"time":9223372036854775808}',
    b'{"channels":{"a":[1]},\n"time":1423000000000000000}',
    b'{"channels":{"a":[1]},',
    b'"time":1423000000000000000}',
    b'{"channels":{"a":[1]}}\n{"channels":{"a":[1]}}',
    b'{"channels":{}}',
    b"",
    b"\xff",
)


def test_a_message_without_readings_is_not_read_among_others() -> None:
    together = decoder(Source(), 0)
    assert isinstance(together, Together)
    one, none = b'{"channels":{"a":[1]},"time":5}', b'{"channels":{"a":[]},"time":5}'
    together.decode(Heard(one, 0, {"device": "d"}))
    places = [{"device": "d"}] * 2
    assert together.decode_together([one, one], places) is not None
    assert together.decode_together([none, one], places) is None
    assert together.decode_together([none, none], places) is None


@settings(max_examples=1000)
@given(st.data())
def test_read_together_or_one_by_one_is_the_same(data: st.DataObject) -> None:
    """Or they are not read together at all, as where any of them is refused."""
    together, apart = (decoder(Source(channels={"a": "", "b": ""}), 5) for _ in range(2))
    assert isinstance(together, Together)
    for piece in PIECES:  # what it has not seen before it does not read together
        together.decode(Heard(piece % 0, 0, {"device": "d"}))
    plain = st.builds(lambda piece, seq: piece % seq, st.sampled_from(PIECES), st.integers(-1, 9))
    among = plain | st.sampled_from(ODD) if data.draw(st.booleans()) else plain
    payloads = data.draw(st.lists(among, min_size=1))
    places = [{"device": f"d{i % 3}"} for i in range(len(payloads))]
    columns = together.decode_together(payloads, places)
    try:
        blocks = [
            block
            for payload, levels in zip(payloads, places, strict=True)
            for block in apart.decode(Heard(payload, 0, levels))
        ]
    except DataError:
        assert columns is None
        return
    if all(payload not in ODD for payload in payloads):
        assert columns is not None
    if columns is not None:
        one_by_one = Columns.of(blocks)
        np.testing.assert_array_equal(columns.times, one_by_one.times)
        np.testing.assert_array_equal(columns.values, one_by_one.values)
        assert replace(columns, times=one_by_one.times, values=one_by_one.values) == one_by_one

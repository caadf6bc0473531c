"""Lines of text."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.csv_lines import CsvDecoder, encode
from iot_stream.formats.source import Source
from iot_stream.readings import Block, Times, Values
from iot_stream.units import Duration
from tests.streams import START, streams

NUMBERS = {"co2": "0", "t": "1"}
NAMES = {"co2": "CO2 (ppm)", "t": "temp"}
NAN = float("nan")


def blocks(text: str | bytes, **settings: Any) -> list[Block]:
    payload = text.encode() if isinstance(text, str) else text
    source = Source(**{"format": "csv", "channels": NUMBERS} | settings)
    return CsvDecoder(source, 3).decode(Heard(payload, START, {"device": "d"}))


def read(text: str | bytes, **settings: Any) -> Block:
    (block,) = blocks(text, **settings)
    return block


@pytest.mark.parametrize(
    "text",
    [
        "512,21.5",
        "512;21.5\n",
        "512\t21.5\r\n",
        " 512 , 21.5 ",
        '"512","21.5"',
        "\n512,21.5\n\n",
        "\ufeff512,21.5",
    ],
)
def test_one_line_of_columns_by_number(text: str) -> None:
    block = read(text)
    assert (block.device, block.channels, block.source) == ("d", ("co2", "t"), 3)
    assert block.values.tolist() == [[512, 21.5]]
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


def test_lines_without_a_time_are_a_step_apart_the_newest_of_now() -> None:
    block = read("512,21\n513,\n514,23\n", step=Duration(10))
    np.testing.assert_array_equal(block.values, [[512, 21], [513, NAN], [514, 23]])
    assert block.times.tolist() == [START - 20, START - 10, START]
    assert len(read(",\n1,2", step=Duration(10))) == 2  # a reading of which nothing is known
    with pytest.raises(DataError, match="absurd_time: d: 2 lines arrived at once; say `time` or `step`"):
        read("512,21\n513,22")
    with pytest.raises(DataError, match="absurd_time: d: 2 lines reach back before 1970"):
        read("512,21\n513,22", step=Duration(START + 1))


def test_columns_by_the_names_of_a_header() -> None:
    block = read(
        'when;"CO2 (ppm)"; temp\n1423072260;512;21.5\n1423072270;513;on\n', channels=NAMES, time="when"
    )
    assert block.values.tolist() == [[512, 21.5], [513, 1]]
    assert block.times.tolist() == [1_423_072_260 * 10**9, 1_423_072_270 * 10**9]
    assert not block.arrival_stamped


@pytest.mark.parametrize(
    ("when", "zone"),
    [("2015-02-04T17:51:00Z", "UTC"), ("2015-02-04 18:51:00", "Europe/Berlin"), ("1423072260.0", "UTC")],
)
def test_times_are_read_in_their_zone(when: str, zone: str) -> None:
    block = read(f"{when},1,2", channels={"a": "1"}, time="0", zone=zone)
    assert block.times.tolist() == [1_423_072_260 * 10**9]


def test_a_header_above_numbered_columns_is_passed_over() -> None:
    assert read("co2,temp\n512,21.5").values.tolist() == [[512, 21.5]]
    assert read("heat,idle\nidle,heat", values={"heat": 1, "idle": 0}, step=Duration(1)).values.tolist() == [
        [1, 0],
        [0, 1],
    ]
    with pytest.raises(DataError, match="wrong_type: column 0: 'co2' is no number"):
        read("co2,temp")


def test_by_default_all_columns_of_numbers_are_taken() -> None:
    text = "time,id,co2,state,note,empty,co2\n1423072260,k1,512,on,fine,,9\n1423072270,k1,513,off,bad,,9"
    block = read(text, channels={}, time="time", device="id")
    assert (block.device, block.channels) == ("k1", ("co2", "state", "empty"))
    np.testing.assert_array_equal(block.values, [[512, 1, NAN], [513, 0, NAN]])


def test_columns_taken_by_number_are_no_channels() -> None:
    block = read("time,id,co2\n1423072260,7,512", channels={}, time="0", device="1")
    assert (block.device, block.channels) == ("7", ("co2",))


@pytest.mark.parametrize(
    ("device", "text"), [("2", "1,2,k1\n3,4,k2\n5,6,k1"), ("id", "a,b,id\n1,2,k1\n3,4,k2\n5,6,k1")]
)
def test_lines_of_many_devices(device: str, text: str) -> None:
    found = blocks(text, device=device, step=Duration(10))
    assert [(block.device, block.values.tolist()) for block in found] == [
        ("k1", [[1, 2], [5, 6]]),
        ("k2", [[3, 4]]),
    ]
    assert [block.times.tolist() for block in found] == [[START - 10, START], [START]]


def test_a_device_that_is_no_column_is_the_name() -> None:
    assert read("1,2", device="attic").device == "attic"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", {}, "empty"),
        (" \n,\n", {}, "empty"),
        (",\n,\n1", {}, "malformed: lines of d: line 3 has 1 columns, not 2"),
        ("a,b", {"channels": {"x": "a"}}, "empty: no readings from d"),
        ("a,b\n,1", {"channels": {"x": "a"}}, "empty: d: no value in 1 lines"),
        (b"\xff\xfe1,2", {}, "malformed"),
        ('"1,2', {}, "malformed"),
        ('"1"2,3', {}, "malformed"),
        ("1,2\n1,2,3", {}, "malformed: lines of d: line 2 has 3 columns, not 2; is it a decimal comma"),
        ("a;b\n21,5;1", {"channels": {"x": "a"}}, "wrong_type: column a: '21,5' .* is it a decimal comma"),
        ("1", {}, "unknown_channel: no column 1 among 1"),
        ("a,b\n1,2", {"channels": {"x": "c"}}, "unknown_channel: no column c among 'a', 'b'"),
        ("a,b\nx,y", {"channels": {}}, "unknown_channel: no column of numbers among 'a', 'b'"),
        ("1,2\n3,4", {"channels": {}}, "malformed: no header; tell the numbers"),
        ("1,2,", {"device": "2"}, "device_name: nothing in column 2"),
        ("1,2,soon", {"time": "2"}, "absurd_time"),
        ("1,2", {"time": "2"}, "unknown_channel"),
        ("1,2", {"device": "2"}, "unknown_channel"),
        ("\n" * 2000, {}, "empty"),
        ("1," * 2000, {}, "too_large"),
        ('"' + "x" * 200_000 + '",1', {}, "malformed"),
    ],
)
def test_what_is_wrong_has_a_reason(text: str | bytes, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(text, **settings)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match='channels: a column is told by its number, "0" for the first'):
        read("", channels={"x": ""})
    with pytest.raises(ConfigError, match="write one like Europe/Berlin"):
        read("", zone="Berlin")


SOURCES = [
    Source(format="csv", channels=NUMBERS),
    Source(format="csv", channels={"x": "0"}, time="1", device="2"),
    Source(format="csv", channels={"x": "a"}, step=Duration(1)),
    Source(format="csv", device="a", step=Duration(1)),
]


def _decodes_or_refuses(payload: bytes) -> None:
    for source in SOURCES:
        try:
            found = CsvDecoder(source, 0).decode(Heard(payload, START, {"device": "d"}))
        except DataError:
            continue
        for block in found:
            assert len(block)
            assert block.values.shape == (len(block.times), len(block.channels))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    _decodes_or_refuses(payload)


@given(st.text(st.sampled_from('ab01.,;\t"\n\r -e\0'), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    _decodes_or_refuses(text.encode())


@given(streams(2))
def test_what_is_encoded_is_decoded(stream: tuple[Times, Values]) -> None:
    times, values = stream
    payload = encode(("co2", 'a "b", c'), times, values)
    if not np.isfinite(values).any():
        return
    block = read(payload, channels={}, time="time")
    assert block.channels == ("co2", 'a "b", c')
    assert block.times.tolist() == times.tolist()
    np.testing.assert_array_equal(block.values, np.where(np.isfinite(values), values, np.nan))

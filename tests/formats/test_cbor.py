"""CBOR: examples of RFC 8949, appendix A, by the paths of JSON, and messages made to do harm."""

import sys
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.cbor import LARGE, CborDecoder, parse_cbor
from iot_stream.formats.source import Source
from iot_stream.readings import Block
from tests.streams import START


def read(payload: bytes, **settings: Any) -> Block:
    source = Source(**{"format": "cbor", "channels": {"co2": "$.co2", "t": "$.t"}} | settings)
    (block,) = CborDecoder(source, 3).decode(Heard(payload, START, {"device": "d"}))
    return block


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00", 0),
        ("1bffffffffffffffff", 2**64 - 1),
        ("c249010000000000000000", 2**64),
        ("3bffffffffffffffff", -(2**64)),
        ("c349010000000000000000", -(2**64) - 1),
        ("f93c00", 1.0),
        ("fb3ff199999999999a", 1.1),
        ("f9c400", -4.0),
        ("f97c00", float("inf")),
        ("f5", True),
        ("f6", None),
        ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
        ("c11a514b67b0", 1_363_896_240),
        ("c1fb41d452d9ec200000", 1_363_896_240.5),
        ("c48221196ab3", 273.15),  # section 3.4.4
        ("c5822003", 1.5),
        ("d74401020304", b"\1\2\3\4"),
        ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", "http://www.example.com"),
        ("8301820203820405", [1, [2, 3], [4, 5]]),
        ("a201020304", {"1": 2, "3": 4}),
        ("a26161016162820203", {"a": 1, "b": [2, 3]}),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("7f657374726561646d696e67ff", "streaming"),
        ("d9d9f7a1617401", {"t": 1}),  # section 3.4.6
        ("c68182a1010203", [[{"1": 2}, 3]]),  # a tag that nobody knows
        ("d82550000102030405060708090a0b0c0d0e0f", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
    ],
)
def test_values_are_read(text: str, value: object) -> None:
    found = parse_cbor(bytes.fromhex(text), "it")
    assert found == value
    assert type(found) is type(value)


def test_nan_is_missing() -> None:
    block = read(bytes.fromhex("a2") + cbor2.dumps("co2") + b"\xf9\x7e\x00" + cbor2.dumps("t") + b"\x15")
    np.testing.assert_array_equal(block.values, [[np.nan, 21]])


def test_paths_are_those_of_json() -> None:
    message = {"id": "k1", "list": [{"co2": 512, "n": {7: 1.5}, "at": 1}, {"co2": 513, "at": 2}]}
    block = read(
        cbor2.dumps(message),
        channels={"co2": "$.co2", "x": "$.n.7"},
        readings="$.list",
        device="$.id",
    )
    assert (block.device, block.source, block.arrival_stamped) == ("k1", 3, True)
    np.testing.assert_array_equal(block.values, [[512, 1.5], [513, np.nan]])


@pytest.mark.parametrize(
    "when",
    [
        cbor2.CBORTag(0, "2015-02-04T17:51:00.25Z"),
        cbor2.CBORTag(1, 1_423_072_260.25),
        cbor2.CBORTag(1, cbor2.CBORTag(4, [-2, 142_307_226_025])),
        "2015-02-04T17:51:00.25Z",
        1_423_072_260_250_000_000,
    ],
)
def test_times_are_tagged_or_not(when: object) -> None:
    block = read(cbor2.dumps({"co2": 1, "ts": when}), time="$.ts")
    assert block.times.tolist() == [1_423_072_260_250_000_000]
    assert not block.arrival_stamped


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b'{"co2": 1}', "malformed"),
        (b"\xa1", "malformed"),
        (b"\x62\xff\xff", "malformed"),
        (cbor2.dumps({"co2": b"\1"}), "wrong_type"),
        (cbor2.dumps({"co2": cbor2.undefined}), "wrong_type"),
        (cbor2.dumps({"co2": cbor2.CBORSimpleValue(99)}), "wrong_type"),
        (cbor2.dumps({"other": 1}), "unknown_channel"),
        (b"\x01", "unknown_channel"),
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read(payload)
    assert error.value.reason == reason


SHARED = bytes.fromhex("d81c81d81d00")  # a list that holds itself
NAMED = bytes.fromhex("d901008263616263d81900")  # a text and a reference to it


@pytest.mark.parametrize(
    "payload",
    [
        b"\x81" * 4_000_000,
        b"\x9f" * 4_000_000,
        b"\xa1\x00" * 2_000_000,
        b"\xd9\xd9\xf7" * 1_000_000,
        b"\x81" * 100 + b"\0",
        bytes.fromhex("9a7fffffff00"),
        bytes.fromhex("9bffffffffffffffff00"),
        bytes.fromhex("bb7fffffffffffffff00"),
        bytes.fromhex("5bffffffffffffffff00"),
        bytes.fromhex("7b00000007ffffffff00"),
        b"\x9a\x00\xff\xff\xff" * 300,
        SHARED,
        NAMED,
        b"\xc2\x5a" + (4_000_000).to_bytes(4, "big") + b"\xff" * 4_000_000,
        bytes.fromhex("c4821b7fffffffffffffff61" + "31"),
        bytes.fromhex("c5821b7fffffffffffffff01"),
        bytes.fromhex("c401"),
        bytes.fromhex("d82540"),
    ],
    ids=range(18),
)
@pytest.mark.timeout(60)
def test_what_would_take_all_time_or_memory_is_refused(payload: bytes) -> None:
    with pytest.raises(DataError, match="malformed"):
        parse_cbor(payload, "it")


def test_fractions_beyond_all_numbers_are_infinite_or_none() -> None:
    assert parse_cbor(bytes.fromhex("c4821b7fffffffffffffff01"), "it") == float("inf")
    assert parse_cbor(bytes.fromhex("c4823b7fffffffffffffff01"), "it") == 0


def test_text_inside_pattern_and_mail_tags_is_not_followed() -> None:
    assert parse_cbor(cbor2.dumps(cbor2.CBORTag(35, "(a+)+$")), "it") == "(a+)+$"
    assert parse_cbor(cbor2.dumps(cbor2.CBORTag(36, "Subject: x")), "it") == "Subject: x"


@pytest.mark.timeout(60)  # each compared with all before would take many minutes
def test_keys_that_hash_alike_take_no_longer() -> None:
    keys = (b"\x92" + bytes(0x20 + (i >> j & 1) for j in range(18)) + b"\0" for i in range(200_000))
    with pytest.raises(DataError, match="malformed"):
        parse_cbor(b"\xba" + (200_000).to_bytes(4, "big") + b"".join(keys), "it")


def test_large_messages_with_keys_of_text_are_read() -> None:
    payload = cbor2.dumps({"co2": list(range(100_000))})
    assert len(payload) > LARGE
    assert len(read(payload, channels={"co2": "$.co2"})) == 100_000


def test_huge_numbers_are_no_names_no_times_and_missing() -> None:
    huge = cbor2.dumps({"co2": 2**500, "t": 1, "id": 2**500})
    np.testing.assert_array_equal(read(huge).values, [[np.nan, 1]])
    assert read(huge, device="$.id").device == str(2**500)
    with pytest.raises(DataError, match="absurd_time"):
        read(huge, time="$.id")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["co2", "t", "list", 1]), inner, max_size=3)
        | st.builds(cbor2.CBORTag, st.integers(0, 300), inner)
    ),
)
SOURCES = [
    Source(format="cbor", channels={"co2": "$.co2", "x": "$[0]"}),
    Source(format="cbor", channels={"co2": "$.co2", "x": "$"}, readings="$.list", time="$.t", device="$.t"),
]


def _decodes_or_refuses(payload: bytes) -> None:
    for source in SOURCES:
        try:
            blocks = CborDecoder(source, 0).decode(Heard(payload, START, {"device": "d"}))
        except DataError:
            continue
        for block in blocks:
            assert block.values.shape == (len(block.times), len(block.channels))


@given(ANY)
def test_any_message_is_read_or_refused(message: object) -> None:
    _decodes_or_refuses(cbor2.dumps(message))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    _decodes_or_refuses(payload)


def test_a_missing_library_is_an_error_of_the_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cbor2", None)
    with pytest.raises(ConfigError, match=r"format cbor needs cbor2: pip install 'iot-stream\[formats\]'"):
        CborDecoder(SOURCES[0], 0)


def test_channels_are_needed() -> None:
    with pytest.raises(ConfigError, match="channels: format cbor needs"):
        CborDecoder(Source(format="cbor"), 0)

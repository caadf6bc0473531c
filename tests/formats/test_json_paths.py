"""Any JSON, by paths to its fields."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, decoder
from iot_stream.formats.json_paths import Path, parse_time, time_zone
from iot_stream.readings import Block
from tests.streams import START

MESSAGE = {"a": {"b": [10, {"c d": 20}]}, "x.y": 30}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", MESSAGE),
        ("$.a.b[0]", 10),
        ('$.a.b[1]["c d"]', 20),
        ('$["x.y"]', 30),
        ("$.a.b[2]", None),
        ("$.a[0]", None),
        ("$.nowhere.b", None),
        ("$.a.b.c", None),
    ],
)
def test_path_finds_its_value_or_none(path: str, value: object) -> None:
    assert Path(path).find(MESSAGE) == value


@pytest.mark.parametrize("text", ["", "a", "a.b", "$a", "$.", "$..a", "$[a]", "$[0", "$.a.", "$[-1]", "x$.a"])
def test_what_is_no_path_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write \$\.field"):
        Path(text)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab"), inner),
    )
)
def test_find_never_fails_on_any_message(message: object) -> None:
    for path in ("$.a.b", "$[0].a", "$.a[1][0]"):
        Path(path).find(message)


def read(payload: bytes, **settings: object) -> Block:
    source = Source(**{"format": "json", "channels": {"co2": "$.co2", "t": "$.t"}} | settings)
    (block,) = decoder(source, 3).decode(Heard(payload, START, {"device": "d"}))
    return block


def test_one_reading_a_message_missing_values_stay_missing() -> None:
    block = read(b'{"co2": 512}')
    assert block.channels == ("co2", "t")
    np.testing.assert_array_equal(block.values, [[512, np.nan]])
    assert block.arrival_stamped
    assert block.times.tolist() == [START]
    assert (block.numbered, block.source) == (False, 3)


def test_a_list_of_readings_becomes_one_block() -> None:
    block = read(
        b'{"boot": 7, "n": 40, "list": [{"co2": 1, "ts": 1424357000}, {"t": 2, "ts": 1424357001}]}',
        readings="$.list",
        time="$.ts",
        boot="$.boot",
        seq="$.n",
    )
    np.testing.assert_array_equal(block.values, [[1, np.nan], [np.nan, 2]])
    assert (block.times // 10**9).tolist() == [1424357000, 1424357001]
    assert (block.boot, block.seq) == ("7", 40)
    assert not block.arrival_stamped


def test_numbers_may_stand_in_the_first_reading() -> None:
    block = read(b'{"list": [{"co2": 1, "n": 3, "b": "x"}]}', readings="$.list", boot="$.b", seq="$.n")
    assert (block.boot, block.seq) == ("x", 3)


@pytest.mark.parametrize(
    "head", [b'"n": 3', b'"b": "x"', b'"n": true, "b": "x"', b'"n": -3, "b": "x"', b'"n": 3, "b": {}']
)
def test_half_a_number_is_none(head: bytes) -> None:
    assert not read(b'{"co2": 1, ' + head + b"}", boot="$.b", seq="$.n").numbered


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "malformed"),
        (b'"\xff"', "malformed"),
        (b'{"co2": "many"}', "wrong_type"),
        (b'{"co2": {"ppm": 512}}', "wrong_type"),
        (b'{"co2": [[512]]}', "wrong_type"),
        (b'{"co2": [512, 513], "t": [21]}', "malformed"),
        (b'{"co2": [512, 513], "t": 21}', "malformed"),
        (b'{"co2": [' + b"1," * 100_000 + b"1]}", "too_large"),
        (b'{"other": 1}', "unknown_channel"),
        (b"[]", "unknown_channel"),
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read(payload)
    assert error.value.reason == reason


@pytest.mark.parametrize("payload", [b'{"list": 3}', b"{}", b'{"list": {}}'])
def test_no_list_where_one_should_be_is_of_the_wrong_type(payload: bytes) -> None:
    with pytest.raises(DataError, match=r"wrong_type: d: no list of readings at \$\.list"):
        read(payload, readings="$.list")


# --- times


@pytest.mark.parametrize(
    ("value", "zone", "nanoseconds"),
    [
        (1_423_072_260.25, "UTC", 1_423_072_260_250_000_000),
        (1_423_072_260_250, "UTC", 1_423_072_260_250_000_000),
        (1_423_072_260_250_125, "UTC", 1_423_072_260_250_125_000),
        (1_423_072_260_250_125_999, "UTC", 1_423_072_260_250_125_999),
        ("2015-02-04T17:51:00.25", "UTC", 1_423_072_260_250_000_000),
        ("2015-02-04 18:51:00", "Europe/Berlin", 1_423_072_260_000_000_000),
        ("2015-07-04 19:51:00", "Europe/Berlin", 1_436_032_260_000_000_000),
        ("2015-02-04T17:51:00+00:00", "Europe/Berlin", 1_423_072_260_000_000_000),
        ("2015-02-04", "UTC", 1_423_008_000_000_000_000),
        (0, "UTC", 0),
    ],
)
def test_time_is_told_by_its_form_and_size(value: object, zone: str, nanoseconds: int) -> None:
    assert parse_time(value, zone) == nanoseconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1,
        float("nan"),
        float("inf"),
        10**19,
        10**400,
        "yesterday",
        "",
        [1],
        {},
        "2015-02-30",
        "1900-01-01",
    ],
)
def test_what_is_no_time_is_absurd(value: object) -> None:
    with pytest.raises(DataError, match="absurd_time"):
        parse_time(value, "UTC")


def test_a_message_without_its_time_is_told_where_that_should_be() -> None:
    said = r"absurd_time: d: no value at \$\.meta\.ts, which is to be its time"
    with pytest.raises(DataError, match=said):
        read(b'{"x":1,"meta":{"at":5}}', channels={"x": "$.x"}, time="$.meta.ts")


def test_an_unknown_word_is_told_beside_those_that_are_known() -> None:
    few = {"idle": 0, "running": 1}
    with pytest.raises(DataError, match=r"d: .*'eco' is none of idle, running, and no number; see `values`"):
        read(b'{"x":"eco"}', channels={"x": "$.x"}, values=few)
    many = {f"w{i}": float(i) for i in range(500)}
    with pytest.raises(DataError, match="w19, …, and no number"):
        read(b'{"x":"eco"}', channels={"x": "$.x"}, values=many)


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../etc/passwd", "\0"])
def test_an_unknown_zone_is_an_error_of_the_configuration(name: str) -> None:
    with pytest.raises(ConfigError, match="write one like Europe/Berlin"):
        time_zone(name)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1700000000", 1_700_000_000 * 10**9),
        ("1700000000.25", 1_700_000_000_250_000_000),
        ("1700000000123", 1_700_000_000_123_000_000),
        ("20150204", 1_423_008_000 * 10**9),
    ],
)
def test_a_number_as_text_is_a_time_and_eight_digits_are_a_date(text: str, time: int) -> None:
    assert parse_time(text, "UTC") == time

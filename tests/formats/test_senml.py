"""SenML: the examples of RFC 8428, its rules, and whatever bytes."""

import json
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.errors import DataError
from iot_stream.formats import Heard
from iot_stream.formats.cbor import LARGE
from iot_stream.formats.senml import (
    LABELS,
    SenmlCborDecoder,
    SenmlDecoder,
    encode,
    encode_cbor,
    parted,
)
from iot_stream.formats.source import Source
from iot_stream.readings import Block, Times, Values
from tests.streams import START, streams

URN = "urn:dev:ow:10e2073a01080063"
NAN = float("nan")


def heard(payload: bytes, device: str = "") -> Heard:
    return Heard(payload, START, {"device": device} if device else {})


def read(pack: object, device: str = "", **settings: Any) -> list[Block]:
    text = pack if isinstance(pack, str) else json.dumps(pack)
    return SenmlDecoder(Source(format="senml", **settings), 3).decode(heard(text.encode(), device))


def only(blocks: list[Block]) -> Block:
    (block,) = blocks
    return block


def table(block: Block) -> dict[str, list[float]]:
    return {name: block.values[:, i].tolist() for i, name in enumerate(block.channels)}


# --- examples of RFC 8428, section 5.1


def test_single_datapoint() -> None:
    block = only(read(f'[{{"n":"{URN}","u":"Cel","v":23.1}}]'))
    assert (block.device, block.channels, block.source) == (URN, ("Cel",), 3)
    np.testing.assert_array_equal(block.values, np.array([[23.1]], np.float32))
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


def test_multiple_datapoints_now() -> None:
    block = only(
        read(f'[{{"bn":"{URN}:","n":"voltage","u":"V","v":120.1}},{{"n":"current","u":"A","v":1.2}}]')
    )
    assert (block.device, block.channels) == (URN, ("voltage", "current"))
    np.testing.assert_array_equal(block.values, np.array([[120.1, 1.2]], np.float32))
    assert block.arrival_stamped


MULTIPLE = """[
    {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,
     "n":"voltage","u":"V","v":120.1},
    {"n":"current","t":-5,"v":1.2},
    {"n":"current","t":-4,"v":1.3},
    {"n":"current","t":-3,"v":1.4},
    {"n":"current","t":-2,"v":1.5},
    {"n":"current","t":-1,"v":1.6},
    {"n":"current","v":1.7}
]"""


def check_multiple(block: Block) -> None:
    last = 1_276_020_076_001_000_000
    assert (block.device, block.channels) == ("urn:dev:ow:10e2073a0108006", ("voltage", "current"))
    assert block.times.tolist() == [last, *(last - second * SECOND for second in (5, 4, 3, 2, 1))]
    volts = [120.1, NAN, NAN, NAN, NAN, NAN]
    amperes = [1.7, 1.2, 1.3, 1.4, 1.5, 1.6]
    np.testing.assert_array_equal(block.values, np.array([volts, amperes], np.float32).T)
    assert not block.arrival_stamped


def test_multiple_datapoints_with_times() -> None:
    check_multiple(only(read(MULTIPLE)))


def test_the_stream_of_a_sensor() -> None:
    values = [21.2, 21.3, 21.4, 21.4, 21.5, 21.5, 21.5, 21.6, 21.7]
    records: list[dict[str, Any]] = [{"bn": URN, "bt": 1.320067464e09, "bu": "%RH", "v": values[0]}]
    records += [{"t": 10 * i, "v": value} for i, value in enumerate(values) if i]
    block = only(read(records))
    assert (block.device, block.channels) == (URN, ("%RH",))
    assert block.times.tolist() == [(1_320_067_464 + 10 * i) * SECOND for i in range(9)]
    np.testing.assert_array_equal(block.values[:, 0], np.array(values, np.float32))


MEASUREMENTS = (
    '[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},'
    '{"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3},'
    '{"u":"lon","t":60,"v":24.30622},{"u":"lat","t":60,"v":60.07965},{"t":120,"v":20.7},'
    '{"u":"lon","t":120,"v":24.30623},{"u":"lat","t":120,"v":60.07966},{"u":"%EL","t":150,"v":98},'
    '{"t":180,"v":21.2},{"u":"lon","t":180,"v":24.30628},{"u":"lat","t":180,"v":60.07967}]'
)
RESOLVED = (  # section 5.1.4
    '[{"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067464e+09,"v":20},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067464e+09,"v":24.30621},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067464e+09,"v":60.07965},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067524e+09,"v":20.3},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067524e+09,"v":24.30622},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067524e+09,"v":60.07965},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067584e+09,"v":20.7},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067584e+09,"v":24.30623},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067584e+09,"v":60.07966},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"%EL","t":1.320067614e+09,"v":98},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"%RH","t":1.320067644e+09,"v":21.2},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lon","t":1.320067644e+09,"v":24.30628},'
    '{"n":"urn:dev:ow:10e2073a01080063","u":"lat","t":1.320067644e+09,"v":60.07967}]'
)


@pytest.mark.parametrize("pack", [MEASUREMENTS, RESOLVED])
def test_multiple_measurements_told_apart_by_their_units(pack: str) -> None:
    block = only(read(pack))
    assert (block.device, block.channels) == (URN, ("%RH", "lon", "lat", "%EL"))
    assert (block.times // SECOND - 1_320_067_464).tolist() == [0, 60, 120, 150, 180]
    expected = [
        [20, 24.30621, 60.07965, NAN],
        [20.3, 24.30622, 60.07965, NAN],
        [20.7, 24.30623, 60.07966, NAN],
        [NAN, NAN, NAN, 98],
        [21.2, 24.30628, 60.07967, NAN],
    ]
    np.testing.assert_array_equal(block.values, np.array(expected, np.float32))


TYPES = (  # section 5.1.5
    '[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},'
    '{"n":"label","vs":"Machine Room"},{"n":"open","vb":false},{"n":"nfc-reader","vd":"aGkgCg"}]'
)


def test_multiple_data_types_of_which_numbers_are_taken() -> None:
    block = only(read(TYPES))
    assert table(block) == {"temp": [pytest.approx(23.1)], "open": [0.0]}


def test_text_that_is_asked_for_must_count_as_something() -> None:
    block = only(read(TYPES, channels={"room": "label"}, values={"Machine Room": 7}))
    assert table(block) == {"room": [7.0]}
    for name in ("label", "nfc-reader"):
        with pytest.raises(DataError, match=f"wrong_type: {name}: "):
            read(TYPES, channels={"x": name})


def test_a_collection_of_resources() -> None:  # section 5.1.6
    blocks = read(
        '[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},'
        '{"n":"humidity","u":"%RH","v":30},'
        '{"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},{"n":"humidity","u":"%RH","v":67}]'
    )
    assert [block.device for block in blocks] == ["2001:db8::2", "2001:db8::1"]
    for block, values in zip(blocks, [(25.2, 30), (12.3, 67)], strict=True):
        assert block.channels == ("temperature", "humidity")
        assert block.times.tolist() == [1_320_078_429 * SECOND]
        np.testing.assert_array_equal(block.values, np.array([values], np.float32))


def test_setting_an_actuator() -> None:  # section 5.1.7
    block = only(
        read(
            '[{"bn":"urn:dev:ow:10e2073a01080063:"},{"n":"temp","u":"Cel","v":23.1},'
            '{"n":"heat","u":"/","v":1},{"n":"fan","u":"/","v":0}]'
        )
    )
    assert (block.device, block.channels) == (URN, ("temp", "heat", "fan"))


def test_two_lights_on_and_off() -> None:
    blocks = read(
        '[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":1},{"n":"2001:db8::4","v":1}]',
    )
    assert [(block.device, block.channels) for block in blocks] == [
        ("2001:db8::3", ("/",)),
        ("2001:db8::4", ("/",)),
    ]
    blocks = read(
        '[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":0.5},{"n":"2001:db8::4","v":0.5},'
        '{"n":"2001:db8::3","t":0.1,"v":0},{"n":"2001:db8::4","t":0.1,"v":0}]'
    )
    for block in blocks:
        assert block.times.tolist() == [1_320_078_429 * SECOND, 1_320_078_429_100_000_000]
        assert block.values.tolist() == [[0.5], [0.0]]


CBOR = bytes.fromhex(  # section 6
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a"
    "22fb41d303a15b001062236141200500"
    "67766f6c7461676501615602fb405e066666666666"
    "a3006763757272656e74062402fb3ff3333333333333"
    "a3006763757272656e74062302fb3ff4cccccccccccd"
    "a3006763757272656e74062202fb3ff6666666666666"
    "a3006763757272656e74062102f93e00"
    "a3006763757272656e74062002fb3ff999999999999a"
    "a3006763757272656e74060002fb3ffb333333333333"
)


def read_cbor(payload: bytes, device: str = "", **settings: Any) -> list[Block]:
    return SenmlCborDecoder(Source(format="senml_cbor", **settings), 3).decode(heard(payload, device))


def test_the_example_in_cbor() -> None:
    check_multiple(only(read_cbor(CBOR)))


def test_decimal_fractions_count_as_numbers() -> None:
    tenths = cbor2.CBORTag(4, [-1, 215])
    millis = cbor2.CBORTag(4, [-3, 1_276_020_076_001])
    block = only(read_cbor(cbor2.dumps([{0: "a/t", 2: tenths, 6: millis}])))
    assert block.values.tolist() == [[21.5]]
    assert block.times.tolist() == [1_276_020_076_001_000_000]


# --- names


@pytest.mark.parametrize(
    ("name", "device", "channel"),
    [
        ("urn:dev:ow:10e2073a01080063:temp", URN, "temp"),
        ("urn:dev:ow:10e2073a01080063", URN, "Cel"),
        ("urn:dev:ow:10e2073a01080063:", URN, "Cel"),
        ("urn:dev:mac:0024befffe804ff1/temp", "urn:dev:mac:0024befffe804ff1", "temp"),
        (
            "urn:uuid:e3b5f0c2-93f7-4d3b-8b4e-1d8f5c1f3a5b",
            "urn:uuid:e3b5f0c2-93f7-4d3b-8b4e-1d8f5c1f3a5b",
            "Cel",
        ),
        ("00:24:be:80:4f:f1", "00:24:be:80:4f:f1", "Cel"),
        ("00:24:be:80:4f:f1:temp", "00:24:be:80:4f:f1", "temp"),
        ("2001:db8::2/3311/0/5850", "2001:db8::2/3311/0", "5850"),
        ("2001:db8:0:0:0:0:0:2", "2001:db8:0:0:0:0:0:2", "Cel"),
        ("sensor1", "sensor1", "Cel"),
        ("room/temp", "room", "temp"),
    ],
)
def test_a_name_is_parted_into_device_and_channel(name: str, device: str, channel: str) -> None:
    assert parted(name, "Cel") == (device, channel)


def test_a_value_without_name_and_unit_is_called_so() -> None:
    assert only(read([{"bn": "d", "v": 1}])).channels == ("value",)


def test_where_the_topic_names_the_device_the_records_name_is_the_channel() -> None:
    block = only(read([{"bn": URN + ":", "n": "room/temp", "v": 1}, {"n": "co2", "v": 2}], "d7"))
    assert (block.device, block.channels) == ("d7", ("room/temp", "co2"))
    block = only(read([{"bn": URN + ":temp", "v": 1}], "d7"))
    assert (block.device, block.channels) == ("d7", ("temp",))
    block = only(read([{"n": "temp", "v": 1}], device="d8"))
    assert (block.device, block.channels) == ("d8", ("temp",))


def test_device_may_be_told() -> None:
    source = Source(format="senml", device="attic")
    block = only(SenmlDecoder(source, 0).decode(heard(b'[{"n":"temp","v":1}]', "d7")))
    assert (block.device, block.channels) == ("attic", ("temp",))


def test_channels_are_chosen_by_their_name_alone_or_in_full() -> None:
    pack = [{"bn": URN + ":", "n": "temp", "v": 1}, {"n": "co2", "v": 2}, {"n": "x", "v": 3}]
    assert table(only(read(pack, channels={"t": "temp", "c": f"{URN}:co2"}))) == {"t": [1.0], "c": [2.0]}
    with pytest.raises(DataError, match="unknown_channel: pack of : none of rain among 3 records"):
        read(pack, channels={"r": "rain"})


# --- times


@pytest.mark.parametrize(
    ("base", "moment", "nanoseconds"),
    [
        ("1276020076.123456789", "0.000000001", 1_276_020_076_123_456_790),
        ("1.276020076001e+09", "1e-6", 1_276_020_076_001_001_000),
        ("1276020076001e-3", "-0.001", 1_276_020_076_000_000_000),
        ("268435456", "0", 2**28 * SECOND),
        ("268435455", "1", 2**28 * SECOND),
        ("0", "1276020076", 1_276_020_076 * SECOND),
        ("268435455", "0", START + (2**28 - 1) * SECOND),
        ("-5", "-0.5", START - 5_500_000_000),
        ("5", "1e-9", START + 5_000_000_001),
    ],
)
def test_base_and_time_add_up_to_every_digit(base: str, moment: str, nanoseconds: int) -> None:
    block = only(read(f'[{{"n":"a/b","v":1,"bt":{base},"t":{moment}}}]'))
    assert block.times.tolist() == [nanoseconds]
    assert block.arrival_stamped == (float(base) + float(moment) < 2**28)


def test_times_of_both_kinds_are_parted() -> None:
    blocks = read([{"n": "a/b", "t": START / SECOND, "v": 1}, {"n": "a/b", "v": 2}])
    assert [(block.values.tolist(), block.arrival_stamped) for block in blocks] == [
        ([[1.0]], False),
        ([[2.0]], True),
    ]


@pytest.mark.parametrize(
    "moment", ["1e10", "1e400", "-1e300", "9223372037", "-1424357001", "1" * 4000 + ".5"]
)
def test_times_that_cannot_be_are_absurd(moment: str) -> None:
    with pytest.raises(DataError, match="absurd_time"):
        read(f'[{{"n":"a/b","v":1,"t":{moment}}}]')


# --- values


def test_base_values_are_added_until_the_next() -> None:
    block = only(
        read([{"bn": "d/", "bv": 20, "n": "a", "v": 1.5}, {"n": "b"}, {"bv": -1}, {"n": "c", "v": 1}])
    )
    assert table(block) == {"a": [21.5], "b": [20.0], "c": [0.0]}


def test_a_sum_stands_for_the_value_that_is_not_there() -> None:
    block = only(read([{"bn": "d/", "bs": 100, "n": "a", "s": 5}, {"n": "b", "s": 1, "v": 7}, {"n": "c"}]))
    assert table(block) == {"a": [105.0], "b": [7.0], "c": [100.0]}


def test_what_is_not_known_is_ignored_unless_it_must_be_understood() -> None:
    assert only(read([{"n": "a/b", "v": 1, "ut": 60, "x": {}, "href": "y"}])).values.tolist() == [[1.0]]
    with pytest.raises(DataError, match="unsupported: pack of : record 2: a field 'x_'"):
        read([{"n": "a/b", "v": 1}, {"n": "a/b", "v": 1, "x_": 0}])
    with pytest.raises(DataError, match="unsupported"):
        read_cbor(cbor2.dumps([{0: "a/b", 2: 1, "x_": 0}]))


def test_a_later_value_of_the_same_time_stands() -> None:
    assert only(read([{"n": "a/b", "v": 1}, {"n": "a/b", "v": 2}])).values.tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        ("{", "malformed"),
        ("", "malformed"),
        ("[" * 100_000, "malformed"),
        ('[{"n":"a/b","v":1e99999999999999999999}]', "malformed"),
        ("{}", "wrong_type"),
        ("[1]", "wrong_type"),
        ("[]", "empty"),
        ('[{"bn":"a"}]', "unknown_channel"),
        ('[{"n":"a/b","vs":"x"}]', "unknown_channel"),
        ('[{"n":"a/b"}]', "malformed"),
        ('[{"n":"a/b","v":1,"vb":true}]', "malformed"),
        ('[{"n":"a/b","v":true}]', "wrong_type"),
        ('[{"n":"a/b","v":"1"}]', "wrong_type"),
        ('[{"n":"a/b","vs":1}]', "wrong_type"),
        ('[{"n":"a/b","vb":1}]', "wrong_type"),
        ('[{"n":"a/b","vd":1}]', "wrong_type"),
        ('[{"n":"a/b","v":1,"bv":"1"}]', "wrong_type"),
        ('[{"n":"a/b","v":1,"t":"1"}]', "wrong_type"),
        ('[{"n":"a/b","v":1,"u":1}]', "wrong_type"),
        ('[{"n":1,"v":1}]', "wrong_type"),
        ('[{"n":"a/b","v":1,"bver":"5"}]', "wrong_type"),
        ('[{"n":"a/b","v":1,"bver":11}]', "unsupported"),
        ('[{"v":1}]', "device_name"),
        ('[{"n":"a b","v":1}]', "device_name"),
        ('[{"n":"-ab","v":1}]', "device_name"),
        ('[{"n":"größe","v":1}]', "device_name"),
        (f'[{{"n":"{"a" * 300}","v":1}}]', "too_large"),
        (f'[{{"n":"a","u":"{"a" * 300}","v":1}}]', "too_large"),
        ('[{"n":"a/b","u":"lon","v":1},{"n":"a/b","u":"lat","v":1}]', "malformed"),
    ],
)
def test_what_is_wrong_has_a_reason(pack: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read(pack)
    assert error.value.reason == reason


def test_versions_up_to_ten_are_read() -> None:
    assert only(read([{"n": "a/b", "v": 1, "bver": 10}])).values.tolist() == [[1.0]]


def test_a_pack_cannot_make_a_table_of_any_size() -> None:
    pack = [{"bn": "d/", "n": f"c{i}", "t": i, "v": 1} for i in range(3000)]
    with pytest.raises(DataError, match="too_large: d: 3000 channels at 3000 times"):
        read(pack)


@pytest.mark.timeout(60)  # once a record would take an hour
def test_long_base_values_are_read_once() -> None:
    digits = "1" * 1_000_000
    records = ',{"v":1}' * 10_000
    block = only(read(f'[{{"bn":"a","bv":1.{digits},"bt":-1.{digits},"v":1}}{records}]'))
    assert block.values.tolist() == [[pytest.approx(2.1111112)]]


def test_numbers_beyond_float32_are_missing() -> None:
    block = only(read('[{"bn":"d/","n":"a","v":1e999},{"n":"b","v":3e38,"bv":3e38},{"n":"c","v":1,"bv":0}]'))
    np.testing.assert_array_equal(block.values, [[NAN, NAN, 1]])


# --- whatever the bytes


def _decodes_or_refuses(payload: bytes) -> None:
    for decoder in (
        SenmlDecoder(Source(format="senml"), 0),
        SenmlCborDecoder(Source(format="senml_cbor"), 0),
    ):
        try:
            blocks = decoder.decode(heard(payload))
        except DataError:
            continue
        for block in blocks:
            assert block.values.shape == (len(block.times), len(block.channels))
            assert block.times.min() >= 0


FIELDS = st.dictionaries(
    st.sampled_from([*LABELS.values(), "x", "x_"]),
    st.sampled_from(["a", "b/c", "urn:dev:ow:1"])
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none(),
)


@given(st.lists(FIELDS))
def test_any_records_are_read_or_refused(pack: list[dict[str, Any]]) -> None:
    _decodes_or_refuses(json.dumps(pack).encode())
    codes = {label: int(digits) for digits, label in LABELS.items()}
    _decodes_or_refuses(
        cbor2.dumps([{codes.get(label, label): value for label, value in record.items()} for record in pack])
    )


@given(st.sampled_from([MULTIPLE.encode(), CBOR, TYPES.encode()]), st.data())
def test_a_spoilt_pack_is_read_or_refused(sample: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(sample) - 1))
    _decodes_or_refuses(sample[:position] + data.draw(st.binary(max_size=3)) + sample[position + 1 :])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    _decodes_or_refuses(payload)


# --- encoding


@given(streams(2), st.sampled_from(["urn:dev:ow:1", "kitchen", "a/b"]))
def test_what_is_encoded_is_decoded(stream: tuple[Times, Values], device: str) -> None:
    times, values = stream
    times, first = np.unique(times, return_index=True)  # a pack has one value at a time
    times, values = times + 123, values[first]
    told = np.isfinite(values).any(axis=1)
    if not told.any():
        return
    expected = np.where(np.isfinite(values), values, np.nan)[told]
    for payload, decode in (
        (encode(device, ("co2", "t"), times, values), SenmlDecoder(Source(format="senml"), 0).decode),
        (encode_cbor(device, ("co2", "t"), times, values), SenmlCborDecoder(Source(), 0).decode),
    ):
        block = only(decode(heard(payload)))
        assert block.device == device
        assert block.times.tolist() == times[told].tolist()
        columns = [block.channels.index(name) if name in block.channels else -1 for name in ("co2", "t")]
        for column, place in enumerate(columns):
            got = block.values[:, place] if place >= 0 else np.full(len(block), np.nan)
            np.testing.assert_array_equal(got, expected[:, column])


def test_encoded_packs_are_as_the_specification_has_them() -> None:
    payload = encode("urn:dev:ow:1", ("a",), np.array([START, START + 1]), np.array([[1.5], [2]], np.float32))
    assert json.loads(payload) == [
        {"bn": "urn:dev:ow:1:"},
        {"n": "a", "v": 1.5, "bt": START // SECOND},
        {"n": "a", "v": 2.0, "t": 1e-9},
    ]


def test_keys_of_a_large_pack_in_cbor_must_be_text() -> None:
    pack = cbor2.dumps([{0: "a/b", 2: 1.5, 6: i} for i in range(LARGE // 8)])
    with pytest.raises(DataError, match="malformed"):
        read_cbor(pack)

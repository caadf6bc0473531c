"""Tasmota: sensors as JSON on tele/<device>/SENSOR."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.json_paths import parse_time
from iot_stream.formats.tasmota import TasmotaDecoder
from iot_stream.readings import Block
from tests.streams import START


def decode(payload: bytes | dict[str, object], **settings: object) -> list[Block]:
    told = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return TasmotaDecoder(Source(format="tasmota", **settings), 3).decode(
        Heard(told, START, {"device": "plug"})
    )


def read(payload: bytes | dict[str, object], **settings: object) -> Block:
    (block,) = decode(payload, **settings)
    return block


# From tasmota.github.io/docs/AM2301
AM2301 = {
    "Time": "2019-01-01T00:00:00",
    "AM2301": {"Temperature": 24.6, "Humidity": 58.2},
    "TempUnit": "C",
}
# As Tasmota 13.3's read_sensors() gives it, a distance out of range
MANY = (
    b'{"Time":"2024-02-11T23:49:43","SHTC3":{"Temperature":12.1,"Humidity":19.8,"DewPoint":-10.3},'
    b'"VL53L0X":{"Distance":null},"ESP32":{"Temperature":13.4},"TempUnit":"C"}'
)
ENERGY = {
    "Time": "2024-05-01T12:00:00",
    "ENERGY": {"TotalStartTime": "2023-01-01T00:00:00", "Total": 7.5, "Power": [12, 0, 30], "Voltage": 230},
}
STATE = {
    "Time": "2024-05-01T12:00:00",
    "Uptime": "0T00:10:15",
    "UptimeSec": 615,
    "Heap": 26,
    "POWER": "ON",
    "Wifi": {"RSSI": 100, "Signal": -48},
}


def test_all_numbers_by_default() -> None:
    block = read(AM2301)
    assert (block.device, block.source) == ("plug", 3)
    assert block.channels == ("AM2301.Temperature", "AM2301.Humidity")
    np.testing.assert_array_equal(block.values, np.array([[24.6, 58.2]], np.float32))
    assert block.times.tolist() == [parse_time("2019-01-01T00:00:00Z", "UTC")]
    assert not block.arrival_stamped


def test_what_is_null_is_left_out_or_missing() -> None:
    assert read(MANY).channels == (
        "SHTC3.Temperature",
        "SHTC3.Humidity",
        "SHTC3.DewPoint",
        "ESP32.Temperature",
    )
    block = read(MANY, channels={"t": "SHTC3.Temperature", "d": "$.VL53L0X.Distance"})
    np.testing.assert_array_equal(block.values, np.array([[12.1, np.nan]], np.float32))


def test_the_name_of_a_number_is_its_path() -> None:
    block = read(ENERGY)
    assert block.channels == (
        "ENERGY.Total",
        "ENERGY.Power[0]",
        "ENERGY.Power[1]",
        "ENERGY.Power[2]",
        "ENERGY.Voltage",
    )
    again = read(ENERGY, channels={name: name for name in block.channels})
    np.testing.assert_array_equal(again.values, block.values)


def test_times_are_of_the_zone() -> None:
    block = read(AM2301, zone="Europe/Berlin")
    assert block.times.tolist() == [parse_time("2018-12-31T23:00:00Z", "UTC")]
    zoned = read(AM2301 | {"Time": "2019-01-01T00:00:00+02:00"}, zone="Europe/Berlin")
    assert zoned.times.tolist() == [parse_time("2018-12-31T22:00:00Z", "UTC")]


def test_without_a_time_it_is_of_arrival() -> None:
    block = read(b'{"ANALOG":{"A0":612}}')
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


@pytest.mark.parametrize(
    "payload",
    [
        b"Online",
        b"Offline",
        b"",
        STATE,
        {"Info1": {"Module": "Sonoff Basic", "Version": "13.3.0", "CrashCount": 3}},
        {"Time": "2024-05-01T12:00:00", "TempUnit": "C"},
        {},
    ],
)
@pytest.mark.parametrize("channels", [{}, {"t": "AM2301.Temperature"}])
def test_what_else_is_under_tele_is_passed_over(payload: bytes, channels: dict[str, str]) -> None:
    assert decode(payload, channels=channels) == []


def test_a_state_can_be_asked_for() -> None:
    block = read(STATE, channels={"on": "POWER", "signal": "Wifi.Signal"})
    assert block.values.tolist() == [[1, -48]]


def test_a_device_may_be_named_by_the_settings() -> None:
    assert read(AM2301, device="cellar").device == "cellar"


@pytest.mark.parametrize("path", ["", "a..b", "$a", "a["])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="not a path"):
        TasmotaDecoder(Source(format="tasmota", channels={"x": path}), 0)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        TasmotaDecoder(Source(format="tasmota", zone="nowhere"), 0)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "malformed"),
        (b"online", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"3", "wrong_type"),
        (b'{"Time":"yesterday","A":{"B":1}}', "absurd_time"),
        (b'{"Time":[],"A":{"B":1}}', "absurd_time"),
        (b'{"A":[' + b"1," * 5000 + b"1]}", "too_large"),
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        decode(payload)
    assert error.value.reason == reason


def test_text_where_a_number_was_asked_for_is_refused() -> None:
    with pytest.raises(DataError, match=r"wrong_type: plug: \$\.TempUnit: 'C' is no number"):
        decode(AM2301, channels={"x": "TempUnit"})


def test_no_device_nests_so_deeply() -> None:
    assert decode(b'{"a":' * 500 + b"1" + b"}" * 500) == []


@given(st.data())
def test_whatever_the_bytes_only_data_errors_are_raised(data: st.DataObject) -> None:
    changed = bytearray(MANY)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for payload in (bytes(changed), data.draw(st.binary(max_size=30))):
        for channels in ({}, {"t": "SHTC3.Temperature"}):
            try:
                for block in decode(payload, channels=channels):
                    assert block.values.shape == (1, len(block.channels))
                    assert block.times.min() >= 0
            except DataError:
                continue

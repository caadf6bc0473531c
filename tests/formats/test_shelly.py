"""Shelly: text on a topic a value (Gen1), JSON by component (Gen2 and later)."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.shelly import ShellyDecoder
from iot_stream.readings import Block
from tests.streams import START

# shelly-api-docs.shelly.cloud/gen2, "Notifications", example 1
BUTTON = {
    "src": "shellypro4pm-f008d1d8b8b8",
    "dst": "user_1",
    "method": "NotifyStatus",
    "params": {"ts": 1631186545.04, "switch:0": {"id": 0, "output": True, "source": "button"}},
}
# As above, example 2
CLOUD = {
    "src": "shellypro4pm-f008d1d8b8b8",
    "dst": "user_1",
    "method": "NotifyStatus",
    "params": {"ts": 1624348482.25, "cloud": {"connected": False}},
}
# What a Shelly Plus H&T says when it wakes up
WEATHER = {
    "src": "shellyplusht-b8d61a8b17cc",
    "dst": "shellyplusht-b8d61a8b17cc/events",
    "method": "NotifyFullStatus",
    "params": {
        "ts": 1680962879.62,
        "ble": {},
        "cloud": {"connected": False},
        "devicepower:0": {"id": 0, "battery": {"V": 0.43, "percent": 0}, "external": {"present": True}},
        "humidity:0": {"id": 0, "rh": 42.2},
        "sys": {"mac": "B8D61A8B17CC", "time": None, "uptime": 3, "ram_size": 235300},
        "temperature:0": {"id": 0, "tC": 19.8, "tF": 67.6},
        "wifi": {"sta_ip": "192.168.3.183", "rssi": -63},
    },
}
# shelly-api-docs.shelly.cloud/gen2, "Switch", status
SWITCH = {
    "id": 0,
    "source": "WS_in",
    "output": False,
    "apower": 8.5,
    "voltage": 237.5,
    "current": 0.25,
    "aenergy": {"total": 6.5, "by_minute": [0, 1, 2], "minute_ts": 1654511972},
    "temperature": {"tC": 53.25, "tF": 127.75},
}


def decode(
    payload: bytes | dict[str, object], places: dict[str, str] | None = None, **settings: object
) -> list[Block]:
    told = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    decoder = ShellyDecoder(Source(format="shelly", **settings), 3)
    return decoder.decode(Heard(told, START, {"device": "d"} if places is None else places))


def at(channel: str) -> dict[str, str]:
    return {"device": "d", "channel": channel}


# --- Gen1: shelly-api-docs.shelly.cloud/gen1, "MQTT" of each device


@pytest.mark.parametrize(
    ("channel", "payload", "value"),
    [
        ("sensor/temperature", b"21.88", 21.88),
        ("sensor/humidity", b"45.0", 45),
        ("relay/0", b"on", 1),
        ("relay/0/power", b"12.5", 12.5),
        ("emeter/0/voltage", b"230.24", 230.24),
        ("sensor/state", b"open", 1),
        ("temperature", b"51.3", 51.3),
    ],
)
def test_a_value_of_gen1(channel: str, payload: bytes, value: float) -> None:
    (block,) = decode(payload, at(channel))
    assert (block.device, block.channels, block.source) == ("d", (channel,), 3)
    np.testing.assert_array_equal(block.values, np.array([[value]], np.float32))
    assert block.times.tolist() == [START]
    assert block.arrival_stamped
    (named,) = decode(payload, at(channel), channels={"x": channel, "y": "sensor/other"})
    assert named.channels == ("x", "y")
    np.testing.assert_array_equal(named.values, np.array([[value, np.nan]], np.float32))


@pytest.mark.parametrize(
    ("channel", "payload"),
    [
        ("online", b"true"),
        ("announce", b'{"id":"shellyht-1A2B3C","model":"SHHT-1"}'),
        ("info", b'{"bat":{"value":90}}'),
        ("relay/0/command", b"on"),
        ("command", b"announce"),
        ("rpc", b'{"id":1,"method":"Switch.Set"}'),
        ("debug/log", b"mongoose"),
        ("sensor/act_reasons", b'["sensor"]'),
    ],
)
def test_what_is_no_value_is_passed_over(channel: str, payload: bytes) -> None:
    assert decode(payload, at(channel)) == []
    assert decode(payload, at(channel), channels={"t": "sensor/temperature"}) == []


def test_whether_it_is_online_can_be_asked_for() -> None:
    (block,) = decode(b"true", at("online"), channels={"up": "online"})
    assert block.values.tolist() == [[1]]


def test_json_of_gen1() -> None:
    (block,) = decode(b'{"ison":true,"mode":"white","brightness":40}', at("light/0/status"))
    assert block.channels == ("light/0/status.ison", "light/0/status.brightness")
    (named,) = decode(
        b'{"event":"S","event_cnt":2}', at("input_event/0"), channels={"n": "input_event/0.event_cnt"}
    )
    assert named.values.tolist() == [[2]]


# --- Gen2 and later


def test_a_notification_says_its_time() -> None:
    (block,) = decode(BUTTON)
    assert block.channels == ("switch:0.output",)
    assert block.values.tolist() == [[1]]
    assert block.times[0] == pytest.approx(1_631_186_545_040_000_000, abs=1000, rel=0)  # a float
    assert not block.arrival_stamped


def test_a_full_status_without_what_measures_nothing() -> None:
    (block,) = decode(WEATHER)
    assert block.channels == (
        "devicepower:0.battery.V",
        "devicepower:0.battery.percent",
        "devicepower:0.external.present",
        "humidity:0.rh",
        "temperature:0.tC",
        "temperature:0.tF",
    )


def test_channels_of_a_notification() -> None:
    channels = {"t": "temperature:0.tC", "signal": "wifi.rssi", "power": "switch:0.apower"}
    (block,) = decode(WEATHER, channels=channels)
    np.testing.assert_array_equal(block.values, np.array([[19.8, -63, np.nan]], np.float32))
    assert decode(CLOUD, channels=channels) == []
    assert decode(CLOUD) == []


def test_a_device_without_a_clock_is_stamped_on_arrival() -> None:
    told = WEATHER | {"params": {"ts": None, "humidity:0": {"rh": 42.2}}}
    (block,) = decode(told)
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


@pytest.mark.parametrize(
    "places",
    [{"device": "d"}, at("events/rpc"), {"channel": "events/rpc", "device": "d"}, at("x/events/rpc")],
)
def test_a_notification_is_known_by_its_place(places: dict[str, str]) -> None:
    assert [block.device for block in decode(BUTTON, places)] == ["d"]


def test_the_message_names_its_device_where_the_topic_does_not() -> None:
    assert [block.device for block in decode(BUTTON, {})] == ["shellypro4pm-f008d1d8b8b8"]
    assert [block.device for block in decode(BUTTON, {}, device="plug")] == ["plug"]
    for src in (None, 3, ""):
        with pytest.raises(DataError, match="device_name"):
            decode(BUTTON | {"src": src}, {})
    with pytest.raises(DataError, match="device_name"):
        decode(b"21.5", {"channel": "sensor/temperature"})


@pytest.mark.parametrize("channel", ["switch:0", "status/switch:0"])
def test_the_status_of_a_component(channel: str) -> None:
    (block,) = decode(SWITCH, at(channel))
    assert block.channels == (
        "switch:0.output",
        "switch:0.apower",
        "switch:0.voltage",
        "switch:0.current",
        "switch:0.aenergy.total",
        "switch:0.aenergy.by_minute[0]",
        "switch:0.aenergy.by_minute[1]",
        "switch:0.aenergy.by_minute[2]",
        "switch:0.temperature.tC",
        "switch:0.temperature.tF",
    )
    channels = {"power": "switch:0.apower", "t": "switch:0.temperature.tC"}
    (named,) = decode(SWITCH, at(channel), channels=channels)
    assert named.values.tolist() == [[8.5, 53.25]]
    assert named.arrival_stamped
    assert decode(b'{"id":0,"state":true}', at("status/input:0"), channels=channels) == []


def test_other_methods_are_passed_over() -> None:
    event = {"src": "shelly", "method": "NotifyEvent", "params": {"ts": 1.5, "events": []}}
    assert decode(event) == []
    assert decode({"id": 1, "src": "shelly", "result": {"switch:0": {"apower": 1}}}) == []
    assert decode({"method": ["NotifyStatus"], "params": 3}) == []


# --- errors


@pytest.mark.parametrize("path", ["", "$.switch", ".apower", "switch:0.", "switch:0..a"])
def test_what_is_no_place_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        ShellyDecoder(Source(format="shelly", channels={"x": path}), 0)


@pytest.mark.parametrize(
    ("payload", "places", "reason"),
    [
        (b"{", at("switch:0"), "malformed"),
        (b"\xff", at("sensor/temperature"), "malformed"),
        (b"", {}, "malformed"),
        (b"3", {}, "wrong_type"),
        (b'{"src":"s","method":"NotifyStatus","params":{"ts":"soon","switch:0":{"a":1}}}', {}, "absurd_time"),
        (b'{"a":[' + b"1," * 5000 + b"1]}", at("switch:0"), "too_large"),
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, places: dict[str, str], reason: str) -> None:
    with pytest.raises(DataError) as error:
        decode(payload, places)
    assert error.value.reason == reason


def test_text_where_a_number_was_asked_for_is_refused() -> None:
    with pytest.raises(DataError, match="wrong_type: d: switch:0: 'button' is no number"):
        decode(BUTTON, channels={"x": "switch:0.source"})


@given(st.data())
def test_whatever_the_bytes_only_data_errors_are_raised(data: st.DataObject) -> None:
    changed = bytearray(json.dumps(BUTTON).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for payload in (bytes(changed), data.draw(st.binary(max_size=30))):
        for channels in ({}, {"x": "switch:0.output", "y": "sensor/temperature"}):
            for places in ({}, at("switch:0"), at("sensor/temperature")):
                try:
                    for block in decode(payload, places, channels=channels):
                        assert block.values.shape == (1, len(block.channels))
                        assert block.times.min() >= 0
                except DataError:
                    continue

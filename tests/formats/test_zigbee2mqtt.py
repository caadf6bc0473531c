"""Zigbee2MQTT: properties on the topic of a friendly name."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.zigbee2mqtt import Zigbee2MqttDecoder, encode
from iot_stream.readings import Block
from tests.streams import START


def heard(payload: bytes | dict[str, object], device: str = "kitchen/floor_light") -> Heard:
    return Heard(
        payload if isinstance(payload, bytes) else json.dumps(payload).encode(), START, {"device": device}
    )


def read(payload: bytes | dict[str, object], **settings: object) -> Block:
    (block,) = Zigbee2MqttDecoder(Source(format="zigbee2mqtt", **settings), 3).decode(heard(payload))
    return block


# --- from zigbee2mqtt.io, "MQTT Topics and Messages"


def test_a_sensor() -> None:
    block = read({"temperature": 27.34, "humidity": 44.72})
    assert (block.device, block.channels, block.source) == (
        "kitchen/floor_light",
        ("temperature", "humidity"),
        3,
    )
    np.testing.assert_array_equal(block.values, np.array([[27.34, 44.72]], np.float32))
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


def test_states_count_as_numbers() -> None:
    assert read({"occupancy": True}).values.tolist() == [[1]]
    assert read({"state": "ON", "brightness": 215, "color_temp": 325}).values.tolist() == [[1, 215, 325]]


def test_a_button_says_nothing_that_counts() -> None:
    decoder = Zigbee2MqttDecoder(Source(format="zigbee2mqtt"), 0)
    assert decoder.decode(heard({"action": "single"})) == []
    named = Zigbee2MqttDecoder(Source(format="zigbee2mqtt", channels={"t": "temperature"}), 0)
    assert named.decode(heard({"action": "single"})) == []


# --- from logs that users of Zigbee2MQTT published


def test_last_seen_is_the_time() -> None:
    block = read({"state": "ON", "linkquality": 102, "last_seen": "2019-12-14T15:38:56.796Z"})
    assert block.channels == ("state", "linkquality")
    assert block.times.tolist() == [1_576_337_936_796 * 10**6]
    assert not block.arrival_stamped


@pytest.mark.parametrize(
    ("seen", "zone"),
    [
        (1_576_337_936_796, "UTC"),
        ("2019-12-14T16:38:56.796+01:00", "UTC"),
        ("2019-12-14T16:38:56.796", "Europe/Berlin"),
    ],
)
def test_last_seen_in_every_form(seen: object, zone: str) -> None:
    block = read({"contact": False, "last_seen": seen}, zone=zone)
    assert block.times.tolist() == [1_576_337_936_796 * 10**6]


def test_last_seen_of_null_is_no_time() -> None:
    assert read({"contact": False, "last_seen": None}).arrival_stamped


def test_a_number_as_text_is_a_number() -> None:
    block = read(b'{"battery":"100.00","voltage":3045,"linkquality":99,"water_leak":false}')
    assert block.values.tolist() == [[100, 3045, 99, 0]]


# --- settings


def test_channels_are_found_by_key_or_path() -> None:
    message = {"color": {"x": 0.25, "y": 0.5}, "update": {"state": "idle"}, "state": "OFF", "mode": "heat"}
    block = read(
        message,
        channels={"x": "color.x", "y": "$.color.y", "on": "state", "mode": "mode", "none": "battery"},
        values={"heat": 2},
    )
    assert block.channels == ("x", "y", "on", "mode", "none")
    np.testing.assert_array_equal(block.values, [[0.25, 0.5, 0, 2, np.nan]])


def test_text_that_is_no_state_matters_only_where_it_is_asked_for() -> None:
    message = {"mode": "heat", "temperature": 21, "color": {"x": 1}, "battery": None}
    assert read(message).channels == ("temperature",)
    with pytest.raises(DataError, match=r"wrong_type: kitchen/floor_light: \$\.mode: 'heat' is no number"):
        read(message, channels={"mode": "mode"})


def test_a_device_may_be_named_by_the_settings() -> None:
    assert read({"temperature": 21}, device="kitchen").device == "kitchen"


@pytest.mark.parametrize("path", ["", "a..b", "$a", "a[", ".a"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="not a path"):
        Zigbee2MqttDecoder(Source(format="zigbee2mqtt", channels={"x": path}), 0)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="no time zone"):
        Zigbee2MqttDecoder(Source(format="zigbee2mqtt", zone="Europe/Berln"), 0)


# --- what else is on these topics


@pytest.mark.parametrize(
    ("device", "payload"),
    [
        ("bridge/state", b'{"state":"online"}'),
        ("bridge/devices", b"[]"),
        ("bridge", b"online"),
        ("lamp/availability", b'{"state":"online"}'),
        ("kitchen/lamp/set", b'{"state":"ON"}'),
        ("lamp/set/brightness", b"200"),
        ("lamp/get", b'{"state":""}'),
        ("remote/action", b"single"),
        ("removed", b""),
    ],
)
def test_what_is_no_reading_is_passed_over(device: str, payload: bytes) -> None:
    assert Zigbee2MqttDecoder(Source(format="zigbee2mqtt"), 0).decode(heard(payload, device)) == []


@pytest.mark.parametrize("device", ["set", "get", "availability", "set/lamp", "hall/bridge", "live/action"])
def test_a_device_may_have_such_a_name(device: str) -> None:
    (block,) = Zigbee2MqttDecoder(Source(format="zigbee2mqtt"), 0).decode(heard({"state": "ON"}, device))
    assert block.device == device


# --- errors


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "malformed"),
        (b'{"\xff":1}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"21.5", "wrong_type"),
        (b"[1]", "wrong_type"),
        (b'{"t":1,"last_seen":"yesterday"}', "absurd_time"),
        (b'{"t":1,"last_seen":true}', "absurd_time"),
        (b'{"t":1,"last_seen":-1}', "absurd_time"),
        (json.dumps({f"p{i}": i for i in range(5000)}).encode(), "too_large"),
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        read(payload)
    assert error.value.reason == reason
    assert len(str(error.value)) < 500


SAMPLE = b'{"state":"ON","linkquality":102,"color":{"x":0.3},"last_seen":"2019-12-14T15:38:56.796Z"}'


@given(st.data())
def test_whatever_the_bytes_only_data_errors_are_raised(data: st.DataObject) -> None:
    changed = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for payload in (bytes(changed), data.draw(st.binary(max_size=30))):
        for channels in ({}, {"x": "color.x", "s": "state"}):
            try:
                decoder = Zigbee2MqttDecoder(Source(format="zigbee2mqtt", channels=channels), 0)
                for block in decoder.decode(heard(payload)):
                    assert block.values.shape == (1, len(block.channels))
                    assert block.times.min() >= 0
            except DataError:
                continue


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "last_seen"),
        st.floats(-(2.0**100), 2.0**100, width=32),
        min_size=1,
    ),
    st.integers(10**11, 4 * 10**12),
)
def test_what_is_encoded_is_decoded(values: dict[str, float], milliseconds: int) -> None:
    block = read(encode(values, milliseconds * 10**6))
    assert dict(zip(block.channels, block.values[0].tolist(), strict=True)) == values
    assert block.times.tolist() == [milliseconds * 10**6]

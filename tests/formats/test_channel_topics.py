"""One topic a channel: ESPHome, Home Assistant's statestream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import FORMATS, Heard
from iot_stream.formats.channel_topics import ChannelTopics, Statestream, encode
from iot_stream.readings import Block
from tests.streams import START


def decode(payload: bytes, channel: str = "room_temperature", **settings: object) -> list[Block]:
    decoder = ChannelTopics(Source(format="esphome", **settings), 3)
    return decoder.decode(Heard(payload, START, {"device": "livingroom", "channel": channel}))


def test_their_topics() -> None:
    # esphome.io, "MQTT Client Component": <TOPIC_PREFIX>/<COMPONENT_TYPE>/<COMPONENT_NAME>/state
    assert FORMATS["esphome"].topic == "{device}/sensor/{channel}/state"
    # home-assistant.io, "MQTT Statestream": base_topic/domain/entity/state
    assert FORMATS["statestream"].topic == "homeassistant/sensor/{channel}/state"
    assert FORMATS["statestream"].names_device
    assert FORMATS["topic_per_channel"].topic == ""


def test_a_value_by_default_under_the_name_in_the_topic() -> None:
    (block,) = decode(b"21.5")
    assert (block.device, block.channels, block.source) == ("livingroom", ("room_temperature",), 3)
    assert block.values.tolist() == [[21.5]]
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


def test_channels_say_which_topics_count() -> None:
    channels = {"t": "room_temperature", "again": "room_temperature"}
    (block,) = decode(b"21.5", channels=channels)
    assert block.channels == ("t", "again")
    assert block.values.tolist() == [[21.5, 21.5]]
    assert decode(b"21.5", "uptime", channels=channels) == []
    assert decode(b"1.2.3-beta", "version", channels=channels) == []


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"ON", 1),
        (b"OFF", 0),
        (b'"on"', 1),  # attributes of statestream are JSON
        (b'"21.5"', 21.5),
        (b"true", 1),
        (b" 7\n", 7),
        (b"heating", 3),
    ],
)
def test_states_and_quoted_text_count(payload: bytes, value: float) -> None:
    (block,) = decode(payload, values={"heating": 3})
    assert block.values.tolist() == [[value]]


@pytest.mark.parametrize("payload", [b"unavailable", b"unknown", b"nan", b"null", b"", b'""', b"1e99"])
def test_what_is_not_known_is_no_reading(payload: bytes) -> None:
    assert decode(payload) == []
    assert decode(payload, channels={"t": "room_temperature"}) == []


def test_other_text_matters_only_where_it_is_asked_for() -> None:
    assert decode(b"Monday") == []
    with pytest.raises(DataError, match="wrong_type: livingroom: room_temperature: 'Monday' is no number"):
        decode(b"Monday", channels={"t": "room_temperature"})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"\xff\xfe", "malformed"), (b"9" * 4_000_000, "wrong_type"), (b"[]", "wrong_type")],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        decode(payload, channels={"t": "room_temperature"})
    assert error.value.reason == reason


def test_a_topic_without_a_channel_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"topic: 'home/\{device\}' has no level \{channel\}"):
        ChannelTopics(Source(format="topic_per_channel", topic="home/{device}"), 0)
    with pytest.raises(ConfigError, match="channels: t: what stands for"):
        ChannelTopics(Source(format="esphome", channels={"t": ""}), 0)
    with pytest.raises(DataError, match="unknown_channel"):
        ChannelTopics(Source(format="esphome"), 0).decode(Heard(b"1", START, {"device": "d"}))


def test_a_channel_may_be_all_levels_that_are_left() -> None:
    source = Source(format="topic_per_channel", topic="home/{device}/{channel...}", channels={"p": "relay/0"})
    (block,) = ChannelTopics(source, 0).decode(Heard(b"1", START, {"device": "d", "channel": "relay/0"}))
    assert block.channels == ("p",)


@pytest.mark.parametrize(
    ("settings", "places", "device"),
    [
        ({}, {}, "home"),
        ({"device": "flat"}, {}, "flat"),
        ({"topic": "{device}/sensor/{channel}/state"}, {"device": "attic"}, "attic"),
    ],
)
def test_statestream_is_of_one_device(
    settings: dict[str, object], places: dict[str, str], device: str
) -> None:
    decoder = Statestream(Source(format="statestream", **settings), 0)
    (block,) = decoder.decode(Heard(b"21.5", START, places | {"channel": "living_room_temperature"}))
    assert (block.device, block.channels) == (device, ("living_room_temperature",))


@given(st.binary(max_size=30) | st.text(max_size=10).map(str.encode))
def test_whatever_the_bytes_only_data_errors_are_raised(payload: bytes) -> None:
    for channels in ({}, {"t": "room_temperature"}):
        try:
            for block in decode(payload, channels=channels):
                assert block.values.shape == (1, 1)
        except DataError:
            continue


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_what_is_encoded_is_decoded(value: float) -> None:
    (block,) = decode(encode(value))
    np.testing.assert_array_equal(block.values, [[value]])

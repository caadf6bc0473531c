"""The one table of topics and payloads."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream import topics
from iot_stream.errors import DataError
from iot_stream.readings import check_device_name

LEVELS = {
    "prefix": "iot",
    "pipeline": "office",
    "device": "pump 1",
    "cohort": "all",
    "slot": "stable",
    "sha256": "ab",
    "n": "0",
    "round": "r1",
    "part": "collector",
}
STRUCTS = [topic.payload for topic in topics.TABLE.values() if topic.payload is not bytes]


@pytest.mark.parametrize("name", topics.TABLE)
def test_a_topic_is_known_again_by_its_levels(name: str) -> None:
    topic = topics.TABLE[name]
    concrete = topic.of(**LEVELS)
    levels = topic.levels(concrete)
    assert levels == {key: value for key, value in LEVELS.items() if f"{{{key}}}" in topic.template}
    assert topics.match(topic.pattern(prefix="iot"), concrete) == {}
    for other in topics.TABLE.values():
        assert (other.levels(concrete) is None) == (other is not topic)


@pytest.mark.parametrize(
    ("wide", "narrow", "all_of_it"),
    [
        ("z/#", "z/+", True),
        ("z/#", "z", True),
        ("z/#", "z/+/x/#", True),
        ("#", "z/+", True),
        ("z/+", "z/a", True),
        ("z/+", "z/#", False),
        ("z/+", "z/a/b", False),
        ("z/a", "z/+", False),
        ("z/+/x", "z/+", False),
        ("y/#", "z/+", False),
    ],
)
def test_a_subscription_covers_another(wide: str, narrow: str, all_of_it: bool) -> None:
    assert topics.covers(wide, narrow) is all_of_it


def test_pattern_leaves_open_what_is_not_given() -> None:
    assert topics.STATUS.pattern(prefix="iot", pipeline="office") == "iot/office/device/+/status"


@pytest.mark.parametrize("topic", ["iot/office/device/a/b/label", "iot/office/device/label", "", "x/y"])
def test_a_topic_of_another_shape_is_none(topic: str) -> None:
    assert topics.LABEL.levels(topic) is None


def test_a_prediction_says_class() -> None:
    sent = topics.Prediction(5, "occupied", 0.9, 3, [(4, "empty", 0.8)])
    assert b'"class":"occupied"' in topics.encode(sent)
    assert topics.decode(topics.Prediction, topics.encode(sent)) == sent


@pytest.mark.parametrize("kind", STRUCTS)
@given(
    payload=st.binary(max_size=60)
    | st.sampled_from([b"[" * 100_000, b'{"time":' + b"9" * 30 + b"}", b'"\xff"'])
)
def test_decode_raises_decode_errors_only(kind: type[msgspec.Struct], payload: bytes) -> None:
    try:
        topics.decode(kind, payload)
    except msgspec.DecodeError:
        return


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (topics.Prediction, b'{"time":99999999999999999999,"class":"a","p":1,"version":1}'),
        (topics.Prediction, b'{"time":-1,"class":"a","p":1,"version":1}'),
        (topics.Prediction, b'{"time":1,"class":"a","p":1,"version":99999999999999999999}'),
        (topics.Report, b'{"event":"applied","time":1,"version":99999999999999999999}'),
        (topics.Status, b'{"online":true,"version":-1}'),
    ],
)
def test_numbers_that_no_store_can_hold_are_refused(kind: type[msgspec.Struct], payload: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        topics.decode(kind, payload)


@pytest.mark.parametrize("name", ["", "a/b", "+", "a#", "tab\t", "x" * 129, "ü" * 65, "\x7f"])
def test_a_device_name_that_is_no_level_of_a_topic_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="device_name"):
        check_device_name(name)


@pytest.mark.parametrize("name", ["a", "pump 1", "0x00158d0001", "ü" * 32, "$x"])
def test_any_other_device_name_is_taken(name: str) -> None:
    assert check_device_name(name) == name

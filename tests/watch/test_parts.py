"""What the parts say of themselves, over a real broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from iot_stream import topics
from iot_stream.config import Config
from iot_stream.mqtt import Connection
from iot_stream.presence import Presence
from iot_stream.service.broker import Broker
from iot_stream.watch import parts as watched
from iot_stream.watch.parts import Parts
from tests.waiting import wait_until
from tests.watch.stores import configured


@pytest.fixture
def config(tmp_path: Path, broker: Broker, prefix: str) -> Config:
    return msgspec.structs.replace(configured(tmp_path), broker=broker.url, prefix=prefix)


@contextmanager
def listening(config: Config) -> Iterator[Parts]:
    parts = Parts(config)
    parts.start()
    try:
        yield parts
    finally:
        parts.stop()


@contextmanager
def speaking(config: Config, name: str) -> Iterator[Connection]:
    connection = Connection(config.address, f"{config.prefix}-{name}", lambda _: None)
    connection.start()
    try:
        yield connection
    finally:
        connection.stop()


def shown(parts: Parts) -> dict[tuple[str, ...], float]:
    return {(each.name, *each.labels): each.value for each in parts.samples()}


def test_a_part_is_online_at_fault_and_gone_as_it_says(config: Config) -> None:
    presence = Presence(config.prefix, "collector")
    with speaking(config, "part") as part:
        presence.say_online(part)
        with listening(config) as parts:
            wait_until(lambda: ("part_online", "collector") in shown(parts), "a part that was there before")
            assert shown(parts) == {
                ("broker_connected",): 1,
                ("part_online", "collector"): 1,
                ("part_fault", "collector"): 0,
            }
            presence.fault = "not acknowledging: the disk is full"
            presence.say_online(part)
            wait_until(lambda: shown(parts)["part_fault", "collector"] == 1, "its fault")
            presence.say_offline(part)
            wait_until(lambda: shown(parts)["part_online", "collector"] == 0, "its end")
            assert shown(parts)["part_fault", "collector"] == 0
            part.publish(presence.topic, b"", retain=True)
            wait_until(lambda: ("part_online", "collector") not in shown(parts), "that it is forgotten")


def test_what_is_no_part_is_not_shown_nor_ever_too_many(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "MOST", 2)
    with listening(config) as parts, speaking(config, "part") as part:
        for name, payload in (("x", b"no JSON"), ("a", None), ("b", None), ("c", None)):
            topic = topics.SERVICE.of(prefix=config.prefix, part=name)
            part.publish(topic, payload or topics.encode(topics.Service(True, "i")), retain=True)
        end = topics.encode(topics.Service(False, "i"))
        part.publish(topics.SERVICE.of(prefix=config.prefix, part="b"), end, retain=True)
        wait_until(lambda: shown(parts).get(("part_online", "b")) == 0, "the last message")
        assert [key[1] for key in shown(parts) if key[0] == "part_online"] == ["a", "b"]


def test_a_broker_that_is_away_is_shown(config: Config) -> None:
    away = msgspec.structs.replace(config, broker="mqtt://127.0.0.1:1")
    with listening(away) as parts:
        assert shown(parts) == {("broker_connected",): 0}

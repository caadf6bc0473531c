"""Levels of a topic are tags of its devices, kept with what the devices said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_stream.errors import StoreError
from iot_stream.ingest.packets import Received
from tests.ingest.test_intake import Desk, telemetry

CONFIG = """\
store: sqlite:store
pipelines:
  office:
    clock: stream
    window: {length: 1}
    task: {classify: [empty, occupied]}
    sources:
      - {topic: "plant/{hall}/{line}/{device}/telemetry", channels: {co2: co2}}
      - {topic: "cells/{line}/{device}", format: json, time: $.ts, channels: {co2: $.co2}}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path, CONFIG)
    yield opened
    opened.store.close()


def take_all(desk: Desk, *topics: str, seq: int = 0) -> None:
    with desk.store.write() as tx:
        desk.intake.take_all(tx, [Received(topic, telemetry(seq, 1.0), b"", 1) for topic in topics])
        desk.intake.conclude(tx)


def test_levels_of_topics_are_tags(desk: Desk) -> None:
    take_all(desk, "plant/north/4/a/telemetry", "plant/north/5/b/telemetry", "plant/south/5/c/telemetry")
    desk.take("cells/7/d", {"ts": "2015-02-04T17:00:00Z", "co2": 400})
    assert desk.store.cohorts.tags("office", "line") == {"a": "4", "b": "5", "c": "5", "d": "7"}
    assert desk.store.cohorts.tags("office", "hall") == {"a": "north", "b": "north", "c": "south"}
    assert desk.store.cohorts.tags("office", "device") == {}


def test_a_device_that_has_moved_is_where_it_speaks_now(desk: Desk) -> None:
    take_all(desk, "plant/north/4/a/telemetry", "plant/north/4/b/telemetry")
    take_all(desk, "plant/north/6/a/telemetry", "plant/north/4/b/telemetry", seq=1)
    assert desk.store.cohorts.tags("office", "line") == {"a": "6", "b": "4"}


def test_what_a_failed_transaction_heard_is_heard_again(desk: Desk) -> None:
    def fail() -> None:
        with desk.store.write() as tx:
            desk.intake.take(tx, "plant/north/4/a/telemetry", telemetry(0, 1.0))
            desk.intake.conclude(tx)
            raise StoreError("no room")

    with pytest.raises(StoreError):
        fail()
    desk.intake.take_back()
    assert desk.store.cohorts.tags("office", "line") == {}
    take_all(desk, "plant/north/4/a/telemetry")
    assert desk.store.cohorts.tags("office", "line") == {"a": "4"}

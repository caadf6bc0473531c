"""What `iot-stream init` offers of what it heard, and takes."""

import json

import pytest

from iot_stream.cli.first.teacher import tellers
from iot_stream.clock import SECOND, wall
from iot_stream.ingest.discover import recognise
from iot_stream.ingest.discover.heard import Ear


def test_one_entry_stands_for_the_teachers_of_all_rooms(capsys: pytest.CaptureFixture[str]) -> None:
    """Where each is told apart from what else is said in its room; not where a + would take that too."""
    ear, now = Ear(), wall()
    common = {"battery": 88, "linkquality": 120}
    for i in range(6):
        at = now - (6 - i) * SECOND
        for room in ("bed", "desk"):
            for name, told in (("air", {"co2": 400 + i}), ("pir", {"presence": i % 2 == 0})):
                ear.hear(f"zigbee2mqtt/{room}/{name}", json.dumps(told | common).encode(), at)
    findings = recognise(ear.topics)
    asked: list[tuple[str, str]] = []

    def ask(question: str, given: str, default: str) -> str:
        asked.append((question, default))
        return given or "3"

    told = tellers(findings, ear.topics, "", "", ask)
    out = capsys.readouterr().out
    assert "  3. zigbee2mqtt/+/pir is all of zigbee2mqtt/bed/pir, zigbee2mqtt/desk/pir\n" in out
    assert "zigbee2mqtt/bed/+" not in out
    assert "says so too" not in out
    assert told.teaching is not None
    assert told.teaching.devices == ["bed%2Fpir", "desk%2Fpir"]
    assert [set(each.source.channels) for each in told.sensors.found] == [{"co2"}]

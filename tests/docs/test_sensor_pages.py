"""Each page of docs/sensors, played: its configuration, its commands, and what it says that one sees, with
sensors that speak its format."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from iot_stream.service.broker import start
from tests.docs import sensors
from tests.docs.pages import ROOT, blocks
from tests.docs.sensors import Sensors, Sparkplug, Speak
from tests.docs.terminal import at_broker, terminals

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("mosquitto_sub"), reason="apt-get install mosquitto mosquitto-clients"
    ),
]

FOLDER = ROOT / "docs" / "sensors"
PAGES = {
    "zigbee2mqtt": lambda: sensors.zigbee2mqtt,
    "tasmota": lambda: sensors.tasmota,
    "esphome": lambda: sensors.esphome,
    "sparkplug": Sparkplug,
    "json": lambda: sensors.plain_json,
}
UNTIMED = {"esphome"}
EVERY_S = {"sparkplug": 1.0, "json": 1.0}
QUICK = {"zigbee2mqtt", "json"}
"""Played each time; the others take a minute each."""


def closer(text: str) -> str:
    """Sensors that tell no time cannot tell hours in a moment: what belongs together comes closer. And nobody
    waits for five words of a sensor that speaks every five minutes."""
    return text.replace("join: 2 s", "join: 50 ms").replace("rate: 12/h", "rate: 6/min")


@pytest.mark.parametrize(
    "name", [each if each in QUICK else pytest.param(each, marks=pytest.mark.long) for each in PAGES]
)
def test_a_page_of_a_sensor_is_as_it_says(name: str, tmp_path: Path) -> None:
    speak: Callable[[], Speak] = PAGES[name]
    with (
        start(tmp_path / "broker") as broker,
        terminals(tmp_path, lambda text: closer(at_broker(broker.url)(text))) as played,
        Sensors(broker.url, speak(), timed=name not in UNTIMED, every_s=EVERY_S.get(name, 10.0)),
    ):
        played.play(blocks(FOLDER / f"{name}.md"))


def test_every_page_of_a_sensor_is_played() -> None:
    assert {page.stem for page in FOLDER.glob("*.md")} == set(PAGES)

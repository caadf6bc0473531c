"""What speaks on a real broker, in every dialect at once, becomes sources that the collector reads."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iot_stream.address import Broker as BrokerSettings
from iot_stream.formats import channels_of, frames
from iot_stream.ingest.discover import Findings, recognise
from iot_stream.ingest.discover.heard import Ear
from iot_stream.ingest.discover.listening import listen
from iot_stream.ingest.discover.printing import block
from iot_stream.mqtt import Connection
from iot_stream.readings import Times, Values
from iot_stream.service.broker import Broker, start
from tests.formats.test_shelly import WEATHER
from tests.ingest.test_collector import collecting
from tests.ingest.test_spoken_alike import CHANNELS, DIALECTS, SENSOR, Messages, office
from tests.waiting import wait_until

__all__ = ["office"]

ROOTS = {
    "telemetry": "own",
    "json": "plant",
    "cbor": "packed",
    "csv": "written",
    "array": "raw",
    "zigbee2mqtt": "zigbee2mqtt",
    "tasmota": "tele",
    "senml": "lists",
    "senml_cbor": "short",
    "sparkplug": "spBv1.0",
    "esphome": "nodes",
}
STATES = {
    "homeassistant/sensor/porch_temperature/state": b"21.5",
    "homeassistant/sensor/porch_temperature/unit_of_measurement": b'"\xc2\xb0C"',
    "shellies/shellyht-1/sensor/temperature": b"19.5",
    "shellies/shellyht-1/sensor/humidity": b"60",
    "shellies/shellyht-1/online": b"true",
    "shellyplusht-b8d61a8b17cc/events/rpc": json.dumps(WEATHER).encode(),
    "home/cellar/water/level": b"12.5",
    "home/attic/water/level": b"0.5",
    "yard/camera1": frames.encode(np.linspace(0, 1, 192, dtype=np.float32), (16, 12)),
    "chat/room": b"good morning",
    "ours/office/device/d/status": b'{"online":true,"version":3}',
}
NAMES = {name: {channel: channel for channel in CHANNELS} for name in ROOTS} | {
    "json": {channel: f"$.{channel}" for channel in CHANNELS},
    "cbor": {channel: f"$.{channel}" for channel in CHANNELS},
    "array": {channel: str(i) for i, channel in enumerate(CHANNELS)},
    "sparkplug": {channel: f"Room/{channel}" for channel in CHANNELS},
    "esphome": {channel: f"room_{channel}" for channel in CHANNELS},
    "tasmota": {
        "temperature": "SHT3X.Temperature",
        "humidity": "SHT3X.Humidity",
        "co2": "MHZ19B.CarbonDioxide",
    },
}
CONFIG = """\
broker: {url}
store: sqlite:{folder}/store
prefix: {prefix}
pipelines:
  p:
    window: {{length: 4}}
    task: {{classify: [a, b]}}
    student: {{arch: mlp}}
    teacher: {{arch: mlp}}
"""
EXPECTED = {
    ("telemetry", "own/{device}"): {"d"},
    ("json", "plant"): {"d"},
    ("cbor", "packed/{device}"): {"d"},
    ("csv", "written/{device}"): {"d"},
    ("zigbee2mqtt", "zigbee2mqtt/{device...}"): {"up%2Fstairs"},
    ("tasmota", "tele/{device}/SENSOR"): {"d"},
    ("senml", "lists"): {SENSOR},
    ("senml_cbor", "short"): {SENSOR},
    ("sparkplug", "spBv1.0/{group}/{type}/{node...}"): {"plant%2Fedge%2Fd"},
    ("esphome", "nodes/{device}/sensor/{channel}/state"): {"d"},
    ("statestream", "homeassistant/sensor/{channel}/state"): {"home"},
    ("shelly", "shellies/{device}/{channel...}"): {"shellyht-1"},
    ("shelly", "{device}/events/rpc"): {"shellyplusht-b8d61a8b17cc"},
    ("topic_per_channel", "home/{device}/water/{channel}"): {"cellar", "attic"},
    ("frame", "yard/{device}"): {"camera1"},
}


def announcement() -> tuple[str, bytes]:
    """As Zigbee2MQTT announces a sensor, and one that is silent."""
    told = {
        "state_topic": "zigbee2mqtt/up/stairs",
        "device": {"name": "stairs", "identifiers": ["0x1"]},
        "components": {
            "t": {
                "platform": "sensor",
                "value_template": "{{ value_json.temperature }}",
                "unit_of_measurement": "K",
            },
            "s": {"platform": "sensor", "name": "frost", "state_topic": "zigbee2mqtt/asleep"},
        },
    }
    return "homeassistant/device/0x1/config", json.dumps(told).encode()


def everything(office: tuple[Times, Values]) -> Messages:
    yield announcement()
    for dialect, root in ROOTS.items():
        yield from DIALECTS[dialect][1](root, *office)
    yield from STATES.items()


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Of this module alone, for all of it is listened to."""
    with start(tmp_path_factory.mktemp("discover")) as running:
        yield running


@pytest.fixture(scope="module")
def findings(own_broker: Broker, office: tuple[Times, Values]) -> Findings:
    """What is made of all dialects at once, heard over the broker."""
    address, ear, stopping = BrokerSettings(url=own_broker.url).address(), Ear(), threading.Event()
    listening = threading.Thread(target=listen, args=(ear, address, ("#",), 60, stopping))
    listening.start()
    speaker = Connection(address, "discover-speaker", lambda _: None)
    speaker.start()
    wait_until(lambda: bool(speaker.publish("hello", b"hello") and ear.messages), "somebody listens")
    for topic, payload in everything(office):
        speaker.publish(topic, payload)
    speaker.publish("bye", b"bye")
    wait_until(lambda: any(topic.name == "bye" for topic in ear.topics), "all is heard")
    stopping.set()
    listening.join(10)
    speaker.stop()
    return recognise(ear.topics)


def test_every_dialect_is_recognised_with_its_devices(findings: Findings) -> None:
    sure = {(f.source.format, f.source.topic): set(f.devices) for f in findings.found if f.guess.sure}
    assert sure == EXPECTED
    assert {topic.name for topic in findings.unknown} == {"chat/room", "hello", "bye"}


def test_units_are_those_that_are_told(findings: Findings) -> None:
    printed = block(findings)
    assert re.search(r"temperature: temperature +# .* K\n", printed)  # as announced to Home Assistant
    assert re.search(r"porch_temperature: porch_temperature +# 21.5 °C\n", printed)
    assert "stairs: frost, on zigbee2mqtt/asleep" in printed


def test_the_collector_reads_what_was_printed(
    findings: Findings, own_broker: Broker, office: tuple[Times, Values], prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        CONFIG.format(url=own_broker.url, prefix=prefix, folder=tmp_path) + as_if_sure(block(findings))
    )
    with collecting(path) as (config, store):
        sources = config.pipelines["p"].sources
        assert len(sources) == len(EXPECTED) + 1
        speaker = Connection(config.address, f"{prefix}-speaker", lambda _: None)
        speaker.start()
        for topic, payload in everything(office):
            speaker.publish(topic, payload)
        last = json.dumps({"rows": [{"id": "last", "at": 1_600_000_000, **dict.fromkeys(CHANNELS, 1)}]})
        speaker.publish("plant", last.encode())
        wait_until(lambda: "last" in store.journal.readings("p"), "all readings")
        speaker.stop()
        blocks = [entry.block for entry in store.journal.after("p", 0, 10_000)]
        refused = {reason for _, reason, _ in store.faults.counters("p")}
        assert refused <= {"late"}  # windows of d: some dialects tell of 2015, others are of now
    for i, source in enumerate(sources):
        own = [block for block in blocks if block.source == i and block.device != "last"]
        expected = {"d"} if source.format == "array" else EXPECTED[source.format, source.topic]
        assert {block.device for block in own} == expected
        heard = {name for block in own for name in block.channels}
        assert heard == set(channels_of(source))
        if source.format in ROOTS:
            order = {place: CHANNELS.index(name) for name, place in NAMES[source.format].items()}
            assert {place for name, place in source.channels.items()} == set(order)
            for name, place in source.channels.items():
                told = [
                    block.values[:, block.channels.index(name)] for block in own if name in block.channels
                ]
                np.testing.assert_array_equal(np.concatenate(told), office[1][:, order[place]])


def as_if_sure(printed: str) -> str:
    """The guess at an array, uncommented as a user would."""
    head, mark, rest = printed.partition('      # - topic: "raw/{device}"')
    guess, _, _ = rest.partition("      # announced")
    return head + (mark + guess).replace("      # ", "      ")

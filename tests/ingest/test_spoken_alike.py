"""The same recorded hours of an office, told in every dialect over a real broker, give the same windows."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import cbor2
import numpy as np
import pytest

from iot_stream import recordings
from iot_stream.clock import SECOND
from iot_stream.config import load
from iot_stream.cut import Cut
from iot_stream.formats import arrays, channel_topics, senml, telemetry, zigbee2mqtt
from iot_stream.formats.sparkplug_payload import Datatype, Metric, dbirth, ddata, nbirth
from iot_stream.mqtt import Connection
from iot_stream.readings import Times, Values
from iot_stream.service.broker import Broker
from iot_stream.windows import Windower, Windows
from tests.ingest.test_collector import collecting
from tests.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "occupancy" / "config.yml"
CHANNELS = ("temperature", "humidity", "co2")
ROWS = 200
SENSOR = "urn:dev:mac:0024befffe804ff1"
Messages = Iterable[tuple[str, bytes]]


@pytest.fixture(scope="module")
def office() -> tuple[Times, Values]:
    settings = load(EXAMPLE).pipelines["office"]
    assert settings.recordings is not None
    recording = recordings.load(settings.recordings, settings.classes, EXAMPLE.parent)[0]
    columns = [recording.channels.index(name) for name in CHANNELS]
    return recording.times[:ROWS], recording.values[:ROWS, columns]


def floats(row: Values) -> dict[str, float]:
    return {name: float(str(value)) for name, value in zip(CHANNELS, row, strict=True)}


def as_telemetry(root: str, times: Times, values: Values) -> Messages:
    for i in range(0, ROWS, 5):
        part = slice(i, i + 5)
        yield f"{root}/d", telemetry.encode(CHANNELS, times[part], values[part], "boot", i)


def as_json(root: str, times: Times, values: Values) -> Messages:
    for i in range(0, ROWS, 10):
        rows = [
            {"id": "d", "at": int(t) // SECOND, **floats(v)}
            for t, v in zip(times[i:], values[i:], strict=True)
        ]
        yield root, json.dumps({"rows": rows[:10]}).encode()


def as_cbor(root: str, times: Times, values: Values) -> Messages:
    for time, row in zip((times // SECOND).tolist(), values, strict=True):
        yield f"{root}/d", cbor2.dumps({"at": time, **floats(row)})


def as_csv(root: str, times: Times, values: Values) -> Messages:
    for i in range(0, ROWS, 8):
        lines = [
            ";".join([str(time // SECOND), *(str(value) for value in row)])
            for time, row in zip(times[i : i + 8].tolist(), values[i : i + 8], strict=True)
        ]
        yield f"{root}/d", "\n".join(["at;temperature;humidity;co2", *lines]).encode()


def as_array(root: str, times: Times, values: Values) -> Messages:
    del times  # there is no room for any
    for row in values:
        yield f"{root}/d", arrays.encode(row[None])


def as_zigbee2mqtt(root: str, times: Times, values: Values) -> Messages:
    yield f"{root}/bridge/state", b'{"state":"online"}'
    yield f"{root}/up/stairs/availability", b'{"state":"online"}'
    for time, row in zip(times.tolist(), values, strict=True):
        yield f"{root}/up/stairs", zigbee2mqtt.encode(floats(row), time)


def as_tasmota(root: str, times: Times, values: Values) -> Messages:
    yield f"{root}/d/LWT", b"Online"
    for time, row in zip(times.tolist(), values, strict=True):
        told = floats(row)
        moment = datetime.fromtimestamp(time // SECOND, UTC).replace(tzinfo=None).isoformat()
        message = {
            "Time": moment,
            "SHT3X": {"Temperature": told["temperature"], "Humidity": told["humidity"]},
            "MHZ19B": {"CarbonDioxide": told["co2"]},
            "TempUnit": "C",
        }
        yield f"{root}/d/SENSOR", json.dumps(message).encode()


def as_senml(root: str, times: Times, values: Values) -> Messages:
    for i in range(0, ROWS, 4):
        yield (
            root,
            senml.encode(SENSOR, CHANNELS, times[i : i + 4], values[i : i + 4]),
        )


def as_senml_cbor(root: str, times: Times, values: Values) -> Messages:
    for i in range(0, ROWS, 4):
        yield (
            root,
            senml.encode_cbor(SENSOR, CHANNELS, times[i : i + 4], values[i : i + 4]),
        )


def as_sparkplug(root: str, times: Times, values: Values) -> Messages:
    def metrics(row: int) -> list[Metric]:
        pairs = enumerate(zip(CHANNELS, values[row].tolist(), strict=True))
        return [Metric(f"Room/{name}", value, Datatype.FLOAT, i) for i, (name, value) in pairs]

    stamps = (times // 10**6).tolist()
    yield f"{root}/plant/NBIRTH/edge", nbirth([], stamps[0])
    yield f"{root}/plant/DBIRTH/edge/d", dbirth(metrics(0), stamps[0], 1)
    for row in range(1, ROWS):
        yield (
            f"{root}/plant/DDATA/edge/d",
            ddata(metrics(row), stamps[row], (row + 1) % 256),
        )


def as_esphome(root: str, times: Times, values: Values) -> Messages:
    del times  # ESPHome tells none
    yield f"{root}/d/status", b"online"
    for row in values:
        for name, value in zip(CHANNELS, row.tolist(), strict=True):
            yield f"{root}/d/sensor/room_{name}/state", channel_topics.encode(value)


PATHS = ", ".join(f"{name}: $.{name}" for name in CHANNELS)
SAME = ", ".join(f"{name}: {name}" for name in CHANNELS)
DIALECTS: dict[str, tuple[str, Callable[[str, Times, Values], Messages], str]] = {
    "telemetry": (f'topic: "ROOT/{{device}}", channels: {{{SAME}}}', as_telemetry, "d"),
    "json": (
        f"topic: ROOT, format: json, device: $.id, readings: $.rows, time: $.at, channels: {{{PATHS}}}",
        as_json,
        "d",
    ),
    "cbor": (f'topic: "ROOT/{{device}}", format: cbor, time: $.at, channels: {{{PATHS}}}', as_cbor, "d"),
    "csv": (f'topic: "ROOT/{{device}}", format: csv, time: at, channels: {{{SAME}}}', as_csv, "d"),
    "array": (
        'topic: "ROOT/{device}", format: array, channels: {temperature: "0", humidity: "1", co2: "2"}',
        as_array,
        "d",
    ),
    "zigbee2mqtt": (
        f'topic: "ROOT/{{device...}}", format: zigbee2mqtt, channels: {{{SAME}}}',
        as_zigbee2mqtt,
        "up%2Fstairs",
    ),
    "tasmota": (
        'topic: "ROOT/{device}/SENSOR", format: tasmota, channels: {temperature: SHT3X.Temperature, '
        "humidity: SHT3X.Humidity, co2: MHZ19B.CarbonDioxide}",
        as_tasmota,
        "d",
    ),
    "senml": (f"topic: ROOT, format: senml, channels: {{{SAME}}}", as_senml, SENSOR),
    "senml_cbor": (
        f"topic: ROOT, format: senml_cbor, channels: {{{SAME}}}",
        as_senml_cbor,
        SENSOR,
    ),
    "sparkplug": (
        'topic: "ROOT/{group}/{type}/{node...}", format: sparkplug, channels: '
        "{temperature: Room/temperature, humidity: Room/humidity, co2: Room/co2}",
        as_sparkplug,
        "plant%2Fedge%2Fd",
    ),
    "esphome": (
        'topic: "ROOT/{device}/sensor/{channel}/state", format: esphome, channels: {temperature: '
        "room_temperature, humidity: room_humidity, co2: room_co2}",
        as_esphome,
        "d",
    ),
}
CONFIG = """\
broker: {url}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  p:
    clock: {clock}
    window: {{length: 4, hop: 2, lateness: 0 s, join: {join}}}
    task: {{classify: [a, b]}}
    student: {{arch: mlp, channels: [temperature, humidity, co2]}}
    teacher: {{arch: mlp, channels: [temperature, humidity, co2]}}
    sources:
      - {{{source}}}
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_office_gives_the_same_windows_in(
    dialect: str, office: tuple[Times, Values], broker: Broker, prefix: str, tmp_path: Path
) -> None:
    source, speak, device = DIALECTS[dialect]
    timed = dialect not in ("esphome", "array")
    root = f"{prefix}-{dialect}"
    path = tmp_path / "config.yml"
    text = CONFIG.format(
        url=broker.url,
        folder=tmp_path / "store",
        prefix=prefix,
        clock="stream" if timed else "wall",
        join="0 s" if timed else "1 s",
        source=source.replace("ROOT", root),
    )
    path.write_text(text)
    expected = Windower(Cut(CHANNELS, CHANNELS, 4, 2)).push(*office)
    with collecting(path) as (config, store):
        speaker = Connection(config.address, f"{root}-speaker", lambda _: None)
        speaker.start()
        for topic, payload in speak(root, *office):
            speaker.publish(topic, payload)
        cut = config.pipelines["p"].cut(config.pipelines["p"].student)

        def found() -> Windows:
            windows = store.journal.windows("p", cut.id, (4, 3))
            assert set(windows.devices.tolist()) <= {device}
            return Windows(windows.starts, windows.ends, windows.x)

        wait_until(lambda: len(found()) >= len(expected), "all windows")
        speaker.stop()
        assert store.faults.counters("p") == []
        windows = found()
    np.testing.assert_array_equal(windows.x, expected.x)
    if timed:
        np.testing.assert_array_equal(windows.starts, expected.starts)
        np.testing.assert_array_equal(windows.ends, expected.ends)

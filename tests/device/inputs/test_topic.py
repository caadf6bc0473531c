"""A gateway: what it makes of a topic is what the service makes of it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from iot_stream.clock import SECOND, wall
from iot_stream.config import Address, load
from iot_stream.config import Broker as BrokerSettings
from iot_stream.cut import Cut
from iot_stream.device.inputs import topic as of_topic
from iot_stream.device.inputs.kinds import Mqtt
from iot_stream.device.inputs.left_out import LeftOut
from iot_stream.device.inputs.lines import Rows
from iot_stream.device.inputs.topic import Gateway
from iot_stream.errors import ConfigError
from iot_stream.formats.sparkplug_payload import Datatype, Metric, dbirth, ddata, nbirth
from iot_stream.ingest.cutter import Cutter
from iot_stream.ingest.intake import Intake
from iot_stream.mqtt import Connection
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.units import Duration
from iot_stream.windows import Windower
from tests.waiting import wait_until

CHANNELS = ("temperature", "humidity")
LEVELS = {"prefix": "iot", "pipeline": "p", "device": "kitchen"}
CONFIG = """\
store: sqlite:{folder}
pipelines:
  p:
    window: {window}
    task: {{classify: [empty, occupied]}}
    sources: [{source}]
"""
T = 1772352000
Heard = list[tuple[str, bytes, int]]  # topic, payload, arrived (ns)


def gateway(name: str = "kitchen", /, **settings: object) -> Gateway:
    settings = {"format": "zigbee2mqtt", "channels": dict(zip(CHANNELS, CHANNELS, strict=True))} | settings
    return Gateway(Mqtt(**settings), LEVELS | {"device": name}, CHANNELS, LeftOut("test"))  # type: ignore[arg-type]


def read(reading: Gateway, messages: Heard) -> Rows:
    found = [rows for topic, payload, arrived in messages for rows in reading.read(topic, payload, arrived)]
    return np.concatenate([times for times, _ in found]), np.concatenate([values for _, values in found])


def service_windows(
    folder: Path, source: str, window: str, messages: Heard, monkeypatch: pytest.MonkeyPatch
) -> tuple[Cut, dict[int, bytes]]:
    """What the collector makes of the same messages, had they arrived at the same times: by window's end."""
    path = folder / "config.yml"
    path.write_text(CONFIG.format(folder=folder / "store", source=source, window=window))
    config = load(path)
    store = Store(config.store_folder)
    intake = Intake(config, store)
    pipeline = config.pipelines["p"]
    ((cut, wait),) = list(pipeline.cuts.items())[:1]
    for topic, payload, arrived in messages:
        monkeypatch.setattr("iot_stream.ingest.intake.wall", lambda now=arrived: now)
        with store.write() as tx:
            intake.take(tx, topic, payload)
            intake.conclude(tx)
    cutter = Cutter(store, "p", pipeline, cut, wait)
    with store.write() as tx:
        while cutter.advance(tx):
            pass
    windows = store.journal.windows("p", cut.id, (cut.length, len(cut.inputs)))
    found = {
        int(end): x.tobytes()
        for device, end, x in zip(windows.devices, windows.ends, windows.x, strict=True)
        if device == "kitchen"
    }
    store.close()
    return cut, found


def zigbee(order: list[int], *, stamped: bool) -> Heard:
    """Readings of two rooms, one of which says nonsense too."""
    said: Heard = []
    for second in order:
        values = {"temperature": 20 + second % 7, "humidity": 40 + second % 5, "battery": 3}
        when = {} if stamped else {"last_seen": (T + second) * 1000}
        payload = json.dumps(values | when).encode()
        said.append(("zigbee2mqtt/kitchen", payload, (T + second) * SECOND + 30_000_000))
        said.append(("zigbee2mqtt/hall", payload, (T + second) * SECOND + 40_000_000))
    return [*said, ("zigbee2mqtt/kitchen", b"{", (T + 100) * SECOND)]


@pytest.mark.parametrize("stamped", [False, True], ids=["last_seen", "arrival"])
@pytest.mark.parametrize("window", ["{length: 4, hop: 2}", "{length: 4, hop: 2, rate: 2/s, fill: hold}"])
def test_its_windows_are_those_that_the_service_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamped: bool, window: str
) -> None:
    order = [0, 1, 2, 4, 3, 5, 6, 8, 7, 9, 10, 11, 12, 30, 31, 32, 33, 34, 35, 36, 37, 38]
    messages = zigbee(sorted(order) if stamped else order, stamped=stamped)
    source = "{format: zigbee2mqtt, channels: {temperature: temperature, humidity: humidity}}"
    cut, expected = service_windows(tmp_path, source, window, messages, monkeypatch)
    assert len(expected) > 4
    reading = gateway(lateness=Duration.parse("5 s"))  # the default of a pipeline
    times, values = read(reading, messages)
    found = Windower(cut).push(times, np.ascontiguousarray(values[:, : len(cut.channels)]))
    assert {int(end): x.tobytes() for end, x in zip(found.ends, found.x, strict=True)} == expected


def test_a_topic_a_channel_is_joined_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: Heard = []
    for second in range(0, 60, 3):
        at = (T + second) * SECOND
        messages.append(("kitchen/sensor/t/state", b"%d" % (second % 11), at))
        messages.append(("kitchen/sensor/h/state", b"%d" % (second % 13), at + 200_000_000))
    names = {"temperature": "t", "humidity": "h"}
    source = "{format: esphome, channels: {temperature: t, humidity: h}}"
    window = "{length: 4, hop: 2, join: 1 s}"
    cut, expected = service_windows(tmp_path, source, window, messages, monkeypatch)
    assert len(expected) > 3
    reading = gateway(format="esphome", channels=names, lateness=Duration.parse("5 s"))
    assert reading.template == "kitchen/sensor/{channel}/state"
    times, values = read(reading, messages)
    found = Windower(cut).push(times, values)
    assert {int(end): x.tobytes() for end, x in zip(found.ends, found.x, strict=True)} == expected


@pytest.mark.parametrize(
    ("device", "settings", "topic", "payload"),
    [
        ("kitchen%2Fwindow", {}, "zigbee2mqtt/kitchen/window", b'{"temperature": 1, "humidity": 2}'),
        ("kitchen", {"topic": "z/0x1234"}, "z/0x1234", b'{"temperature": 1, "humidity": 2}'),
        (
            "kitchen",
            {"topic": "z/{device}", "devices": {"0x1234": "kitchen"}},
            "z/0x1234",
            b'{"temperature": 1, "humidity": 2}',
        ),
        (
            "kitchen",
            {
                "topic": "all",
                "format": "csv",
                "device": "0",
                "channels": {"temperature": "1", "humidity": "2"},
            },
            "all",
            b"kitchen,1,2",
        ),
        (
            "kitchen",
            {"format": "telemetry", "channels": {}},
            "iot/p/device/kitchen/telemetry",
            b'{"channels": {"temperature": [1], "humidity": [2]}, "time": 1772352000000000000}',
        ),
    ],
)
def test_one_device_is_told_from_others(
    device: str, settings: dict[str, object], topic: str, payload: bytes
) -> None:
    (rows,) = gateway(device, **settings).read(topic, payload, T * SECOND)
    assert rows[1].tolist() == [[1.0, 2.0]]
    assert gateway("other", **settings).read(topic + "/no", payload, T * SECOND) == []


@pytest.mark.parametrize("topic", ["spBv1.0/{group}/{type}/{node...}", "spBv1.0/plant/{type}/{node...}"])
def test_a_node_of_sparkplug_is_heard_and_asked_alone(topic: str) -> None:
    reading = gateway("plant%2Fedge1%2Fpress", topic=topic, format="sparkplug", channels={"humidity": "h"})
    lacking = ddata([Metric("", 1.0, Datatype.DOUBLE, alias=1)], T * 1000, 7)
    for where in ("edge2/press", "edge1x/press"):
        assert reading.read(f"spBv1.0/plant/DDATA/{where}", lacking, T * SECOND) == []
    assert reading.read("spBv1.0/other/DDATA/edge1/press", lacking, T * SECOND) == []
    assert reading._decoder.asks() == []  # type: ignore[attr-defined]
    assert reading._left_out.counts == {}
    reading.read("spBv1.0/plant/DDATA/edge1/press", lacking, T * SECOND)
    assert [asked for asked, _ in reading._decoder.asks()] == ["spBv1.0/plant/NCMD/edge1"]  # type: ignore[attr-defined]
    assert reading.read("spBv1.0/plant/NBIRTH/edge1", nbirth([], T * 1000), T * SECOND) == []
    told = dbirth([Metric("h", 4.0, Datatype.DOUBLE, alias=1)], T * 1000, 1)
    ((_, values),) = reading.read("spBv1.0/plant/DBIRTH/edge1/press", told, T * SECOND)
    assert values[:, 1].tolist() == [4.0]


def test_a_gateway_of_sparkplug_subscribes_to_its_node_alone(broker: Broker, prefix: str) -> None:
    address: Address = BrokerSettings(url=broker.url).address()
    settings = {"topic": f"{prefix}/{{group}}/{{type}}/{{node...}}", "format": "sparkplug"}
    reading = gateway("plant%2Fedge1%2Fpress", channels={"humidity": "h"}, **settings)
    told: list[str] = []
    nodes = Connection(address, f"{prefix}-nodes", lambda message: told.append(message.topic))
    nodes.subscribe(f"{prefix}/plant/NCMD/+")
    nodes.start()
    lacking = ddata([Metric("", 1.0, Datatype.DOUBLE, alias=1)], T * 1000, 7)

    def born() -> None:
        birth = dbirth([Metric("h", 4.0, Datatype.DOUBLE, alias=1)], wall() // 10**6, 1)
        nodes.publish(f"{prefix}/plant/DBIRTH/edge1/press", birth)

    with listening(reading.rows(address, f"{prefix}-gateway"), born) as found:

        def asked() -> bool:
            for node in ("edge2", "edge1"):
                nodes.publish(f"{prefix}/plant/DDATA/{node}/press", lacking)
            return bool(told)

        wait_until(asked, "a rebirth")
        born()
        wait_until(lambda: bool(found), "a reading")
    nodes.stop()
    assert set(told) == {f"{prefix}/plant/NCMD/edge1"}


def test_what_it_cannot_read_is_left_out() -> None:
    reading = gateway()
    for payload in (b"{", b"[]", b'{"temperature": "warm"}', b"x" * (4 * 1024 * 1024 + 1)):
        assert reading.read("zigbee2mqtt/kitchen", payload, T * SECOND) == []
    early = b'{"temperature": 1, "last_seen": 900000000}'  # a clock that was never set
    assert reading.read("zigbee2mqtt/kitchen", early, T * SECOND) == []
    assert reading._left_out.counts == {"malformed": 1, "wrong_type": 2, "too_large": 1, "absurd_time": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "json"}, "input.topic: is needed"),
        ({"format": "zigbee2mqt"}, "is zigbee2mqtt meant"),
        ({"format": "json", "topic": "x", "channels": {}}, "input.channels: format json needs"),
        ({"format": "sparkplug"}, "device: 'kitchen' is not group/node, or group/node/device"),
    ],
)
def test_what_can_never_work_is_said_at_once(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gateway(**settings)


@contextmanager
def listening(rows: Iterator[Rows], speak: Callable[[], None]) -> Iterator[list[Rows]]:
    """What comes meanwhile; `speak` has a reading come, with which it ends."""
    found: list[Rows] = []
    ended = threading.Event()

    def listen() -> None:
        for each in rows:
            found.append(each)
            if ended.is_set():
                break
        rows.close()  # type: ignore[attr-defined]  # a generator

    thread = threading.Thread(target=listen, name="gateway", daemon=True)
    thread.start()
    yield found
    ended.set()

    def over() -> bool:
        speak()
        return not thread.is_alive()

    wait_until(over, "the gateway's end")


def test_it_listens_on_a_broker_and_lets_go_what_waited_long_enough(broker: Broker, prefix: str) -> None:
    address: Address = BrokerSettings(url=broker.url).address()
    reading = gateway(topic=f"{prefix}/{{device}}", lateness=Duration.parse("200 ms"))
    sensor = Connection(address, f"{prefix}-sensor", lambda _: None)
    sensor.start()

    def say(temperature: int) -> None:
        payload = json.dumps({"temperature": temperature, "last_seen": wall() // 10**6}).encode()
        sensor.publish(f"{prefix}/kitchen", payload)

    with listening(reading.rows(address, f"{prefix}-gateway"), lambda: say(9)) as found:

        def spoken() -> bool:
            say(1)
            return bool(found)

        wait_until(spoken, "a reading")
        say(7)
        wait_until(lambda: found[-1][1][-1, 0] == 7, "the last one, though none came after it")
    sensor.stop()


def test_that_nothing_comes_is_said_once(
    broker: Broker, prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(of_topic, "SILENT_S", 0.3)
    address: Address = BrokerSettings(url=broker.url).address()
    reading = gateway("pump-99", topic=f"{prefix}/{{device}}")
    sensor = Connection(address, f"{prefix}-sensor", lambda _: None)
    sensor.start()

    def say() -> None:
        payload = json.dumps({"temperature": 1, "last_seen": wall() // 10**6}).encode()
        sensor.publish(f"{prefix}/pump-99", payload)

    with listening(reading.rows(address, f"{prefix}-gateway"), say) as found:
        wait_until(lambda: bool(caplog.messages), "a word of it")
        say()
        wait_until(lambda: bool(found), "a reading")
    sensor.stop()
    (said,) = (each for each in caplog.messages if "no reading of" in each)
    assert said.startswith(f"no reading of pump-99 has come on {prefix}/pump-99 in 0 s; are name and topic")

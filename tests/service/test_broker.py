"""The broker of demos and tests: real processes, spoken to over MQTT."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from iot_stream.errors import BrokerError
from iot_stream.mqtt import RECEIVE_MAXIMUM
from iot_stream.service import broker as brokers
from iot_stream.service.broker import DEFAULT_CONF, Broker, Kind, find_mosquitto, probe, start
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
KINDS = [pytest.param("mosquitto", marks=needs_mosquitto), "embedded"]


@pytest.fixture(autouse=True)
def _watch_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "WATCH_INTERVAL", 0.1)


@pytest.fixture(params=KINDS)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A broker of either kind that a test may stop and kill."""
    with start(tmp_path / "broker", kind=request.param) as running:
        yield running


class Client:
    """A paho client that has connected, with what it received; leaves with its `with` block."""

    def __init__(self, broker: Broker, name: str, *, session: int = 0) -> None:
        self.received: list[bytes] = []
        self.connack: Properties | None = None
        self._ready = threading.Event()
        self._paho = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self._paho.on_connect = self._connected
        self._paho.on_subscribe = lambda *_: self._ready.set()
        self._paho.on_message = lambda _client, _data, message: self.received.append(bytes(message.payload))
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = session
        self._paho.connect("127.0.0.1", broker.port, clean_start=not session, properties=properties)
        self._paho.loop_start()
        assert self._ready.wait(10)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def _connected(self, *arguments: object) -> None:
        self.connack = arguments[-1] if isinstance(arguments[-1], Properties) else None
        self._ready.set()

    def subscribe(self, topic: str) -> None:
        self._ready.clear()
        self._paho.subscribe(topic, qos=1)
        assert self._ready.wait(10)

    def publish(self, topic: str, *payloads: bytes, retain: bool = False) -> None:
        """Publish at QoS 1 and wait for the last acknowledgement."""
        for payload in payloads:
            sent = self._paho.publish(topic, payload, qos=1, retain=retain)
        sent.wait_for_publish(20)
        assert sent.is_published()


def test_start_gives_a_broker_that_carries_messages(own: Broker) -> None:
    assert own.url == f"mqtt://127.0.0.1:{own.port}"
    assert own.answers()
    with Client(own, "from") as sender, Client(own, "to") as receiver:
        receiver.subscribe("a/b")
        sender.publish("a/b", b"reading")
        wait_until(lambda: receiver.received == [b"reading"], "the message")


def test_a_large_retained_model_reaches_who_comes_late(own: Broker) -> None:
    model = os.urandom(2_000_000)
    with Client(own, "publisher") as publisher:
        publisher.publish("model", model, retain=True)
    with Client(own, "late") as late:
        late.subscribe("model")
        wait_until(lambda: late.received == [model], "the retained model")


def test_what_waits_for_a_stopped_collector_is_kept(own: Broker) -> None:
    """mosquitto's own default keeps 1000 messages and drops the rest without a word."""
    readings = [b"%d" % number for number in range(3000)]
    with Client(own, "collector", session=3600) as collector:
        collector.subscribe("readings")
    with Client(own, "device") as device:
        device.publish("readings", *readings)
    with Client(own, "collector", session=3600) as collector:
        wait_until(lambda: len(collector.received) == len(readings), "the readings of the pause")
        assert collector.received == readings


def test_it_says_what_it_is_and_what_it_cannot_do(own: Broker) -> None:
    name, version = own.name.split(" ")
    assert name in {"mosquitto", "iotcore"}
    assert version[0].isdigit()
    assert own.durable == (name == "mosquitto") == (own.limits == "")
    assert "\n" not in own.limits


def test_it_listens_on_loopback_alone(own: Broker) -> None:
    listening = "0A"
    local = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
        if line.split()[3] == listening and line.split()[1].endswith(f":{own.port:04X}")
    ]
    assert local
    loopback = ("0100007F:", "00000000000000000000000001000000:")
    assert all(address.startswith(loopback) for address in local)


def test_stop_ends_it_and_may_be_said_twice(own: Broker) -> None:
    own.stop()
    own.stop()
    assert not own.answers()
    assert not probe("127.0.0.1", own.port)


@needs_mosquitto
def test_mosquitto_announces_the_largest_packet(tmp_path: Path) -> None:
    with start(tmp_path, kind="mosquitto") as own, Client(own, "any") as client:
        assert client.connack is not None
        announced = client.connack.json()  # type: ignore[no-untyped-call]
        assert announced["MaximumPacketSize"] == 16_777_216
        assert announced["ReceiveMaximum"] == RECEIVE_MAXIMUM


@needs_mosquitto
def test_mosquitto_keeps_everything_over_a_restart(tmp_path: Path) -> None:
    with start(tmp_path, kind="mosquitto") as own:
        with Client(own, "collector", session=3600) as collector:
            collector.subscribe("readings")
        with Client(own, "device") as device:
            device.publish("readings", b"1", b"2")
            device.publish("model", b"weights", retain=True)
        own.restart()
        with Client(own, "collector", session=3600) as collector:
            wait_until(lambda: collector.received == [b"1", b"2"], "the queued readings")
            collector.subscribe("model")
            wait_until(lambda: collector.received[2:] == [b"weights"], "the retained model")


def test_a_dead_broker_is_started_again_on_its_port(own: Broker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    _kill_group_of(own)
    wait_until(lambda: own.restarts == 1 and own.answers(), "the broker's second life")
    (record,) = caplog.records
    assert own.name in record.message
    assert ("is lost" in record.message) == (not own.durable)


def test_an_embedded_broker_that_hangs_is_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process lives, the port accepts, and nothing answers: only MQTT itself tells."""
    monkeypatch.setattr(brokers, "PROBE_TIMEOUT", 0.5)
    with start(tmp_path, kind="embedded") as own:
        _kill_group_of(own, signal.SIGSTOP)
        wait_until(lambda: own.restarts == 1 and own.answers(), "the broker's second life")


@pytest.mark.parametrize("kind", KINDS)
def test_it_dies_with_its_parent_however_that_ends(kind: Kind, tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from iot_stream.service.broker import start
print(start(Path({str(tmp_path)!r}), kind={kind!r}).port, flush=True)
sys.stdin.read()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert probe("127.0.0.1", port)
        parent.kill()
    wait_until(lambda: not probe("127.0.0.1", port), "the end of the orphaned broker")


def test_probe_wants_more_than_an_open_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert not probe("127.0.0.1", mute.getsockname()[1], timeout=0.2)


def test_without_any_broker_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(brokers, "find_mosquitto", lambda: None)
    monkeypatch.setattr(brokers, "find_spec", lambda _name: None)
    with pytest.raises(BrokerError, match=r"apt install mosquitto.*pip install iot-stream\[demo\]"):
        start(tmp_path)
    with pytest.raises(BrokerError, match=r"no embedded broker.*pip install iot-stream\[demo\]"):
        start(tmp_path, kind="embedded")


def test_auto_takes_the_embedded_one_where_there_is_no_mosquitto(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(brokers, "find_mosquitto", lambda: None)
    with start(tmp_path) as own:
        assert own.name.startswith("iotcore")


@needs_mosquitto
def test_a_broken_conf_is_told_with_mosquittos_own_words(tmp_path: Path) -> None:
    conf = tmp_path / "wrong.conf"
    conf.write_text("no_such_setting 1\n")
    with pytest.raises(BrokerError, match=r"did not start.*no_such_setting.*broker\.log"):
        start(tmp_path / "broker", conf=conf, kind="mosquitto")


def test_the_conf_of_the_package_is_that_of_the_project() -> None:
    assert DEFAULT_CONF.read_text() == (ROOT / "mosquitto.conf").read_text()


def _kill_group_of(own: Broker, how: signal.Signals = signal.SIGKILL) -> None:
    """Strike the broker's process from outside, as the system would when memory runs out."""
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _runs_in(entry, own) and (entry / "comm").read_text().strip() != "sh"
    ]
    assert found
    for process in found:
        os.kill(process, how)


def _runs_in(entry: Path, own: Broker) -> bool:
    try:
        arguments = (entry / "cmdline").read_bytes().split(b"\0")
        directory = (entry / "cwd").readlink()
    except OSError:  # it ended while we looked, or is not ours to see
        return False
    return arguments[0] != b"cat" and (directory / "broker.log") == own.log_file and own.log_file.exists()

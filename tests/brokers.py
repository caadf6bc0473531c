"""A mosquitto as `iot-stream broker-acl` has written it, and what somebody with a login can do there."""

import getpass
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

import yaml
from click.testing import CliRunner
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from iot_stream.address import Address, Broker
from iot_stream.cli import main
from iot_stream.config import Config, load
from iot_stream.service.broker import find_mosquitto
from tests.waiting import wait_until


def ports(number: int) -> list[int]:
    """Free ones."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    found = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return found


class Guarded:
    """A mosquitto of which each login may do what it should."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder, self.config = folder, config
        self.port, self.service_port = ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def logins(self) -> Path:
        return self.folder / "logins"

    def write(self, *options: str) -> str:
        """`iot-stream broker-acl`; what it says."""
        told = ["--config", str(self.config), "--out", str(self.folder), "--hosts", "localhost"]
        ports_ = ["--port", str(self.port), "--service-port", str(self.service_port)]
        done = CliRunner().invoke(main, ["broker-acl", *told, *ports_, *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def start(self, conf: str = "") -> None:
        """By a mosquitto.conf of one's own, or by that of `broker-acl`."""
        program = find_mosquitto()
        assert program is not None
        # Started by root it would become the user mosquitto, who may not read the test's files.
        own = self.folder / "own.conf"
        own.write_text(conf or f"user {getpass.getuser()}\ninclude_dir {self.folder / 'broker'}\n")
        log = (self.folder / "broker.log").open("ab")
        with log:
            self._process = subprocess.Popen([program, "-c", str(own)], cwd=self.folder, stderr=log)
        for port in (self.port, self.service_port):
            wait_until(lambda port=port: _listens(port), f"mosquitto at {port}")

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def address(self, login: str) -> Address:
        return Broker(logins=str(self.logins)).login(login).address()

    def as_part(self, part: str) -> Config:
        return self.logged_in.as_part(part)

    @property
    def logged_in(self) -> Config:
        """The configuration, with the logins in it."""
        path = self.config.with_name("logged_in.yml")
        written = yaml.safe_load(self.config.read_text())
        path.write_text(yaml.safe_dump(written | {"broker": {"logins": str(self.logins)}}, sort_keys=False))
        return load(path)


@contextmanager
def guarded(folder: Path, config: Path, *options: str) -> Iterator[Guarded]:
    broker = Guarded(folder, config)
    broker.write(*options)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Refused(Exception):
    """By the broker, at the door."""


class Caller:
    """A bare client, with no manners of ours: it tries what it is told to."""

    def __init__(self, address: Address, name: str = "", session: bool = False, **options: Any) -> None:
        self.heard: SimpleQueue[MQTTMessage] = SimpleQueue()
        self.seen: set[str] = set()  # what a test makes of it
        self.ended = Event()
        self._answer: SimpleQueue[Any] = SimpleQueue()
        self._published: SimpleQueue[Any] = SimpleQueue()
        self._subscribed: SimpleQueue[Any] = SimpleQueue()
        client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        if address.user:
            client.username_pw_set(address.user, address.password or None)
        if address.tls:
            client.tls_set_context(address.tls_context())
        if will := options.get("will"):
            client.will_set(will, b"gone", qos=1, retain=True)
        client.on_connect = lambda _, __, ___, reason, ____: self._answer.put(reason)
        client.on_disconnect = lambda *_: self.ended.set()
        client.on_publish = lambda _, __, mid, reason, ____: self._published.put((mid, reason))
        client.on_subscribe = lambda *_: self._subscribed.put(None)
        client.on_message = lambda _, __, message: self.heard.put(message)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if session else 0
        client.connect(address.host, address.port, clean_start=not session, properties=properties)
        client.loop_start()
        self._client = client
        reason = self._answer.get(timeout=10)
        if reason.is_failure:
            self.close()
            raise Refused(str(reason))

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def dies(self) -> None:
        """Without a word, so that the broker says the last will."""
        self._client.loop_stop()
        self._client.socket().shutdown(socket.SHUT_RDWR)

    def says(self, topic: str, payload: bytes = b"x", retain: bool = False, alias: int = 0) -> bool:
        """Whether the broker lets it. With an alias: as the second message, which names no topic."""
        properties = Properties(PacketTypes.PUBLISH)
        if alias:
            properties.TopicAlias = alias
        self._client.publish(topic, payload, 1, retain, properties)
        _, reason = self._published.get(timeout=10)
        return not reason.is_failure

    def tries(self, topics: list[str], payload: bytes) -> None:
        """All of them at QoS 0, which nobody answers; then the last again, so that all have come."""
        for topic in topics:
            self._client.publish(topic, payload)
        self.says(topics[-1], payload)

    def listens(self, *filters: str) -> None:
        for each in filters:
            self._client.subscribe(each, qos=1)
            self._subscribed.get(timeout=10)

    def until(self, topic: str) -> list[str]:
        """Topics that are heard before this one comes; it must."""
        return [message.topic for message in self.all_until(topic)]

    def all_until(self, topic: str) -> list[MQTTMessage]:
        heard: list[MQTTMessage] = []
        while not heard or heard[-1].topic != topic:
            try:
                heard.append(self.heard.get(timeout=10))
            except Empty:
                raise AssertionError(f"{topic} never came; before it {[m.topic for m in heard]}") from None
        return heard[:-1]

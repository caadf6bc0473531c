"""The broker: is it reached, by whom, and does it keep what it must?"""

import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from iot_stream import topics
from iot_stream.access.rules import CORE
from iot_stream.address import Address
from iot_stream.config import Config
from iot_stream.errors import BrokerError, ConfigError
from iot_stream.mqtt import Connection, Message
from iot_stream.service.broker import DEFAULT_CONF
from iot_stream.service.doctor.findings import Finding, failed, ok, warn

WAITING = 1500  # messages; a broker of default settings keeps 1000
PATIENCE_S = 5.0
LARGE = 256_000  # bytes: a student's graph in one message
RENEW_DAYS = 30
WRITE = "have these lines in mosquitto.conf, and restart it:"


def check(config: Config, _: Path) -> Iterator[Finding]:
    own = config.as_part("doctor")
    address = own.address
    try:
        with _connected(address, config.prefix) as desk:
            yield ok("broker.connection", f"{address} answers, {desk.protocol}{_who(address)}")
            yield from _encrypted(address)
            yield _packets(desk)
            yield _queue(desk)
            yield _retained(desk)
            yield _strangers(desk)
            if config.access.logins:
                yield from _logins(config, desk)
    except BrokerError as error:
        yield failed("broker.connection", str(error), "start the broker, or mend `broker:`")


class _Desk:
    """The doctor's own topics, and what is heard there."""

    def __init__(self, address: Address, prefix: str) -> None:
        self.address, self.name = address, f"{prefix}-doctor-{secrets.token_hex(4)}"
        self._place = topics.SERVICE.of(prefix=prefix, part="doctor")
        self.heard: list[Message] = []
        self._news = threading.Condition()
        self.connection = Connection(address, self.name, self._hear)
        self.connection.subscribe(self.topic("+"))

    def topic(self, name: str) -> str:
        return f"{self._place}/{name}"

    @property
    def protocol(self) -> str:
        return "MQTT 5" if self.connection.speaks_5 else "MQTT 3.1.1"

    def _hear(self, message: Message) -> None:
        with self._news:
            self.heard.append(message)
            self._news.notify_all()

    def hears(self, topic: str, payload: bytes, patience: float = PATIENCE_S) -> bool:
        def there() -> bool:
            return any(m.topic == topic and m.payload == payload for m in self.heard)

        with self._news:
            return self._news.wait_for(there, patience)


@contextmanager
def _connected(address: Address, prefix: str) -> Iterator[_Desk]:
    desk = _Desk(address, prefix)
    desk.connection.start()
    try:
        yield desk
    finally:
        desk.connection.stop()


def _who(address: Address) -> str:
    return f", logged in as {address.user}" if address.user else ""


def _encrypted(address: Address) -> Iterator[Finding]:
    if not address.tls:
        if _is_loopback(address.host):
            yield ok("broker.tls", "none is needed on this machine's loopback")
        else:
            yield warn(
                "broker.tls",
                f"readings, models and passwords travel to {address.host} in the clear",
                "`iot-stream broker-acl` makes certificates; then write mqtts://",
            )
        return
    try:
        with (
            socket.create_connection((address.host, address.port), PATIENCE_S) as plain,
            address.tls_context().wrap_socket(plain, server_hostname=address.host) as secure,
        ):
            told, version = secure.getpeercert() or {}, secure.version()
    except OSError as error:
        yield failed("broker.tls", str(error), "look at the broker's certificate")
        return
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(told["notAfter"])), UTC)
    days = (ends - datetime.now(UTC)).days
    found = f"{version}, certificate until {ends:%Y-%m-%d}"
    if days < RENEW_DAYS:
        yield warn(
            "broker.tls", f"{found}: {days} days", "run `iot-stream broker-acl` again, restart the broker"
        )
    else:
        yield ok("broker.tls", found)


def _packets(desk: _Desk) -> Finding:
    name, most = "broker.packets", desk.connection.max_packet
    if not most:
        told = "the broker does not say how large a message may be"
        return (
            ok(name, told) if desk.connection.speaks_5 else warn(name, told, "use a broker that has MQTT 5")
        )
    if most < LARGE:
        return warn(name, f"at most {most} bytes a message: models go in pieces", _ours("max_packet_size"))
    return ok(name, f"at most {most} bytes a message")


def _queue(desk: _Desk) -> Finding:
    """What waits for a collector that is down, counted."""
    name, topic = "broker.queue", desk.topic("queue")
    client = f"{desk.name}-queue"
    kept: set[bytes] = set()
    came, quiet = threading.Event(), threading.Event()

    def hear(message: Message) -> None:
        kept.add(message.payload)
        came.set()
        if len(kept) == WAITING:
            quiet.set()

    away = Connection(desk.address, client, hear, durable=True)
    away.subscribe(topic)
    away.start()
    away.publish_and_wait(topic, b"")  # behind its own subscription, which is in force now
    came.wait(PATIENCE_S)
    away.stop()
    kept.clear()
    desk.connection.unsubscribe(desk.topic("+"))
    for number in range(WAITING - 1):
        desk.connection.publish(topic, b"%d" % number)
    desk.connection.publish_and_wait(topic, b"last")
    desk.connection.subscribe(desk.topic("+"))
    back = Connection(desk.address, client, hear, durable=True)
    back.start()
    quiet.wait(PATIENCE_S)
    back.stop()
    clearing = Connection(desk.address, client, lambda _: None)  # a clean start ends the session
    clearing.start()
    clearing.stop()
    if len(kept) == WAITING:
        return ok(name, f"all of {WAITING} messages waited for a client that was away")
    found = f"{len(kept)} of {WAITING} messages waited for a client that was away: readings would be lost"
    return failed(name, found, _ours("persistence", "max_queued_messages", "max_queued_bytes"))


def _retained(desk: _Desk) -> Finding:
    name, topic = "broker.retained", desk.topic("retained")
    payload = secrets.token_hex(8).encode()
    remedy = f"{_ours('persistence')}\nretain_available true"
    lost = failed(name, "the broker keeps no retained messages: who comes later gets no model", remedy)
    came = threading.Event()

    def hear(message: Message) -> None:
        if message.retained and message.payload == payload:
            came.set()

    early = Connection(desk.address, f"{desk.name}-early", lambda _: None)
    late = Connection(desk.address, f"{desk.name}-late", hear)
    late.subscribe(topic)
    early.start()
    try:
        early.publish_and_wait(topic, payload, retain=True, timeout=PATIENCE_S)
        late.start()
        there = came.wait(PATIENCE_S)
        early.publish_and_wait(topic, b"", retain=True, timeout=PATIENCE_S)
    except BrokerError:
        return lost
    finally:
        early.stop()
        late.stop()
    if not there:
        return lost
    return ok(name, "kept for who comes later; whether over a restart, only `persistence true` tells")


def _strangers(desk: _Desk) -> Finding:
    """May somebody without a name speak under the prefix, and who could that be?"""
    name, topic = "broker.strangers", desk.topic("stranger")
    payload = secrets.token_hex(8).encode()
    address = Address(
        desk.address.host,
        desk.address.port,
        desk.address.tls,
        ca=desk.address.ca,
        websocket=desk.address.websocket,
    )
    stranger = Connection(address, f"{desk.name}-stranger", lambda _: None)
    try:
        stranger.start()
    except BrokerError:
        return ok(name, "nobody gets in without a name and a password")
    try:
        stranger.publish(topic, payload)
        spoke = desk.hears(topic, payload)
    finally:
        stranger.stop()
    if not spoke:
        return ok(name, "who has no name gets in, but says nothing under the prefix")
    remedy = "`iot-stream broker-acl` gives each a password and rules"
    if not _is_loopback(desk.address.host):
        return failed(name, "anybody may say anything, also pass for a device", remedy)
    if open_at := _reached_at(desk.address.port):
        remedy += (
            "; or, if all devices are on this machine, write in mosquitto.conf in place of its `listener`:\n"
            f"listener {desk.address.port} 127.0.0.1"
        )
        return failed(name, f"anybody may say anything, also from outside, at {open_at}", remedy)
    return ok(name, "anybody may say anything, but from this machine alone")


def _logins(config: Config, desk: _Desk) -> Iterator[Finding]:
    """Does each part get in, and is it held to its rules? Those that run have other client ids."""
    for part in (part for part in CORE if part != "doctor"):
        name = f"broker.login.{part}"
        try:
            address = config.as_part(part).address
            caller = Connection(address, f"{desk.name}-{part}", lambda _: None)
            caller.start()
        except (BrokerError, ConfigError) as error:
            remedy = (
                "let the broker read its files again, as `broker-acl` says; where that is no help, "
                f"`iot-stream broker-acl --revoke {part}` makes a new login"
            )
            yield failed(name, str(error), remedy)
            continue
        topic, payload = desk.topic(f"as-{part}"), secrets.token_hex(8).encode()
        try:
            caller.publish_and_wait(topic, payload)  # acknowledged, and thrown away
            # Behind it comes what the doctor says itself: if that has come, the other never will.
            desk.connection.publish_and_wait(desk.topic("end"), payload)
            desk.hears(desk.topic("end"), payload)
            loose = desk.hears(topic, payload, 0)
        finally:
            caller.stop()
        if loose:
            yield failed(name, "gets in, and may speak where it should not", "let the broker read its rules")
        else:
            yield ok(name, "gets in, and is held to its rules")


def _ours(*names: str) -> str:
    """Lines of iot-stream's own mosquitto.conf, which has their reasons."""
    lines = DEFAULT_CONF.read_text().splitlines()
    return "\n".join([WRITE, *(line for line in lines if line.partition(" ")[0] in names)])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _reached_at(port: int) -> str:
    """This machine's address in a network at which somebody listens on the port; "" if there is none."""
    found = {str(place[4][0]) for place in _resolved(socket.gethostname())}
    for family, beyond in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:  # nothing is sent: it asks which address would be used on the way out
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((beyond, 9))
                found.add(str(probe.getsockname()[0]))
        except OSError:
            continue
    for address in sorted(found):
        if not _is_loopback(address):
            try:
                socket.create_connection((address, port), 1).close()
            except OSError:
                continue
            return f"{address}:{port}"
    return ""


def _resolved(host: str) -> list[tuple[object, object, object, object, tuple[object, ...]]]:
    try:
        return list(socket.getaddrinfo(host, None))
    except OSError:
        return []

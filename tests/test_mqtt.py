"""The one seam to the broker: it comes back by itself, and says what is wrong when it cannot."""

import logging
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from iot_stream.config import Address
from iot_stream.config import Broker as BrokerSettings
from iot_stream.errors import BrokerError
from iot_stream.mqtt import Connection, Message, Will
from iot_stream.presence import Presence
from iot_stream.service.broker import DEFAULT_CONF, Broker, find_mosquitto, start
from iot_stream.topics import SERVICE, Service, decode
from tests.waiting import wait_until

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="sessions and passwords need mosquitto")


def address(broker: Broker) -> Address:
    return BrokerSettings(url=broker.url).address()


@contextmanager
def connection(
    at: Address, name: str, **options: object
) -> Iterator[tuple[Connection, SimpleQueue[Message]]]:
    inbox: SimpleQueue[Message] = SimpleQueue()
    opened = Connection(at, name, inbox.put, **options)
    opened.start()
    try:
        yield opened, inbox
    finally:
        opened.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Broker]:
    """A broker that a test may restart."""
    with start(tmp_path / "broker") as running:
        yield running


# --- messages


def test_publish_reaches_a_subscriber(broker: Broker, prefix: str) -> None:
    with (
        connection(address(broker), f"{prefix}-a") as (a, _),
        connection(address(broker), f"{prefix}-b") as (b, inbox),
    ):
        b.subscribe(f"{prefix}/+")
        b.publish_and_wait(f"{prefix}/ready", b"")
        assert inbox.get(timeout=60).payload == b""
        a.publish_and_wait(f"{prefix}/x", b"\x00payload", retain=True)
        message = inbox.get(timeout=60)
        assert (message.topic, message.payload, message.retained, message.qos) == (
            f"{prefix}/x",
            b"\x00payload",
            False,
            1,
        )
        b.subscribe(f"{prefix}/x")
        assert inbox.get(timeout=60).retained
        a.publish_and_wait(f"{prefix}/x", b"", retain=True)


def test_unsubscribe_ends_it(broker: Broker, prefix: str) -> None:
    with connection(address(broker), f"{prefix}-a") as (a, inbox):
        a.subscribe(f"{prefix}/x")
        a.subscribe(f"{prefix}/end")
        a.unsubscribe(f"{prefix}/x")
        a.publish_and_wait(f"{prefix}/x", b"1")
        a.publish_and_wait(f"{prefix}/end", b"2")
        assert inbox.get(timeout=60).topic == f"{prefix}/end"


def test_the_brokers_largest_packet_is_known(broker: Broker, prefix: str) -> None:
    with connection(address(broker), f"{prefix}-a") as (a, _):
        assert a.max_packet == (16_777_216 if broker.durable else a.max_packet)


def test_a_will_is_left_by_a_client_that_vanishes(broker: Broker, prefix: str) -> None:
    will = Will(f"{prefix}/status", b"gone")
    with (
        connection(address(broker), f"{prefix}-a", will=will) as (a, _),
        connection(address(broker), f"{prefix}-b") as (b, inbox),
    ):
        b.subscribe(f"{prefix}/status")
        b.publish_and_wait(f"{prefix}/status", b"here")
        assert inbox.get(timeout=60).payload == b"here"
        socket_ = a._client.socket()
        assert socket_ is not None
        socket_.shutdown(socket.SHUT_RDWR)
        assert inbox.get(timeout=60).payload == b"gone"
        b.publish_and_wait(f"{prefix}/status", b"", retain=True)


# --- coming back


@needs_mosquitto
def test_after_a_restart_of_the_broker_it_comes_back_with_its_subscriptions(
    own: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    returned = threading.Event()
    with connection(address(own), "a", on_connect=returned.set) as (a, inbox):
        a.subscribe("x")
        returned.clear()
        own.restart()
        assert returned.wait(20)
        wait_until(lambda: a.connected, "the connection is up again")
        assert caplog.text.count("connection of a to") == 2  # lost, and there again
        assert f"connection of a to {a.address}: there again" in caplog.text
        a.publish_and_wait("x", b"again")
        assert inbox.get(timeout=60).payload == b"again"


@needs_mosquitto
def test_what_is_published_while_the_broker_is_away_arrives_later(own: Broker) -> None:
    with (
        connection(address(own), "listener", durable=True) as (listener, inbox),
        connection(address(own), "a") as (a, _),
    ):
        listener.subscribe("x")
        listener.publish_and_wait("x", b"first")
        inbox.get(timeout=60)
        port, own_process = own.port, own._process
        assert own_process is not None
        with own._lock:
            own._end()
        wait_until(lambda: not a.connected and not listener.connected, f"nobody is connected to {port}")
        handles = [a.publish("x", b"%d" % i) for i in range(20)]
        assert not any(handle.is_published() for handle in handles)
        with own._lock:
            own._launch()
        wait_until(lambda: all(handle.is_published() for handle in handles), "all are acknowledged")
        assert sorted(int(inbox.get(timeout=60).payload) for _ in range(20)) == list(range(20))


def test_publish_and_wait_says_when_the_broker_does_not_acknowledge(own: Broker) -> None:
    with connection(address(own), "a") as (a, _):
        own.stop()
        with pytest.raises(
            BrokerError, match=r"x: the broker at mqtt://127\.0\.0\.1:\d+ did not acknowledge"
        ):
            a.publish_and_wait("x", b"", timeout=0.2)


@needs_mosquitto
def test_messages_that_were_not_acknowledged_come_again_and_the_others_do_not(
    broker: Broker, prefix: str
) -> None:
    durable = {"durable": True, "manual_ack": True}
    with connection(address(broker), f"{prefix}-a", **durable) as (a, inbox):
        a.subscribe(f"{prefix}/x")
        for i in range(4):
            a.publish_and_wait(f"{prefix}/x", b"%d" % i)
        received = [inbox.get(timeout=60) for _ in range(4)]
        for message in received[:2]:
            a.acknowledge(message.mid, message.connection)
        a.publish_and_wait(f"{prefix}/y", b"after these")
    with connection(address(broker), f"{prefix}-a", **durable) as (a, inbox):
        again = [inbox.get(timeout=60) for _ in range(2)]
        assert [message.payload for message in again] == [b"2", b"3"]
        for message in received + again:  # those of the former connection are not acknowledged on this one
            a.acknowledge(message.mid, message.connection)
        a.publish_and_wait(f"{prefix}/y", b"after these")
    with connection(address(broker), f"{prefix}-a", **durable) as (a, inbox):
        a.publish_and_wait(f"{prefix}/x", b"new")
        assert inbox.get(timeout=60).payload == b"new"
        a.unsubscribe(f"{prefix}/x")


def test_a_subscription_made_at_any_moment_is_taken_up(broker: Broker, prefix: str) -> None:
    """Also one made while the connection comes up."""
    for i in range(20):
        inbox: SimpleQueue[Message] = SimpleQueue()
        opened = Connection(address(broker), f"{prefix}-{i}", inbox.put)
        starter = threading.Thread(target=opened.start)
        starter.start()
        opened.subscribe(f"{prefix}/{i}")
        starter.join()
        opened.publish_and_wait(f"{prefix}/{i}", b"x")
        assert inbox.get(timeout=60).payload == b"x"
        opened.stop()


# --- refusals


def test_nobody_listening_is_an_error_at_once_with_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        BrokerError, match=rf"no connection to mqtt://127\.0\.0\.1:{port}: .*is the broker running"
    ):
        Connection(Address("127.0.0.1", port), "a", lambda _: None).start()


def test_a_host_that_does_not_exist_is_an_error_with_the_address() -> None:
    with pytest.raises(BrokerError, match=r"no connection to mqtt://nowhere\.invalid:1883"):
        Connection(Address("nowhere.invalid", 1883), "a", lambda _: None).start()


@pytest.mark.skipif(
    shutil.which("mosquitto_passwd") is None or find_mosquitto() is None, reason="needs mosquitto_passwd"
)
def test_a_wrong_password_is_an_error_at_once_with_the_address(tmp_path: Path) -> None:
    words = tmp_path / "words"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(words), "ann", "right"], check=True)
    conf = tmp_path / "passwords.conf"
    conf.write_text(f"{DEFAULT_CONF.read_text()}\nallow_anonymous false\npassword_file {words}\n")
    with start(tmp_path / "broker", conf) as guarded:
        place = address(guarded)
        with connection(Address(place.host, place.port, user="ann", password="right"), "a") as (a, _):
            assert a.connected
        wrong = Address(place.host, place.port, user="ann", password="wrong")
        with pytest.raises(
            BrokerError, match=rf"no connection to mqtt://127\.0\.0\.1:{place.port}: Not authorized"
        ):
            Connection(wrong, "b", lambda _: None).start(timeout=60)


# --- brokers without MQTT 5


@contextmanager
def old_broker(answer: Callable[[bytes], bytes]) -> Iterator[tuple[Address, list[bytes]]]:
    """Answers every packet of every client by `answer`; collects what came."""
    came: list[bytes] = []
    ended = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not ended.is_set():
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                while packet := client.recv(4096):
                    came.append(packet)
                    reply = answer(packet)
                    client.sendall(reply)
                    if reply[:1] == b"\x20" and reply[3] != 0:
                        break

    thread = threading.Thread(target=serve, name="old-broker")
    thread.start()
    try:
        yield Address("127.0.0.1", server.getsockname()[1]), came
    finally:
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def level(connect: bytes) -> int:
    return connect[connect.index(b"MQTT") + 4]


@pytest.mark.parametrize(
    "refusal", [b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x01"], ids=["as MQTT 5", "as MQTT 3.1.1"]
)
def test_a_broker_that_refuses_version_5_is_spoken_to_in_3_1_1(refusal: bytes) -> None:
    def answer(packet: bytes) -> bytes:
        if packet[0] == 0x10:
            return refusal if level(packet) == 5 else b"\x20\x02\x00\x00"
        return b"\x40\x02" + packet[-3:-1] if packet[0] == 0x32 else b""  # PUBACK, the payload being one byte

    with old_broker(answer) as (place, came), connection(place, "a") as (a, _):
        assert [level(packet) for packet in came[:2]] == [5, 4]
        a.publish_and_wait("x", b"1")


def test_a_broker_that_says_nothing_is_an_error_in_time() -> None:
    with (
        old_broker(lambda _: b"") as (place, _),
        pytest.raises(BrokerError, match=r"no answer within 0\.2 s"),
    ):
        Connection(place, "a", lambda _: None).start(timeout=0.2)


# --- presence


def test_presence_is_retained_online_then_offline(broker: Broker, prefix: str) -> None:
    presence = Presence(prefix, "collector")

    def said() -> Service:
        with connection(address(broker), f"{prefix}-b") as (b, inbox):
            b.subscribe(SERVICE.of(prefix=prefix, part="collector"))
            service: Service = decode(Service, inbox.get(timeout=60).payload)
            return service

    with connection(address(broker), f"{prefix}-a", will=presence.will) as (a, _):
        presence.say_online(a)
        assert said().online
        assert said().instance == presence.instance
        presence.say_offline(a)
    assert not said().online
    with connection(address(broker), f"{prefix}-a") as (a, _):
        a.publish_and_wait(SERVICE.of(prefix=prefix, part="collector"), b"", retain=True)

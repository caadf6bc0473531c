"""Both ways to hear the broker: what holds of one holds of the other."""

import getpass
import logging
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iot_stream.address import Address
from iot_stream.errors import BrokerError
from iot_stream.ingest import wire
from iot_stream.ingest.inbox import Inbox
from iot_stream.ingest.packets import Received
from iot_stream.ingest.receiver import Receiver, receiver
from iot_stream.mqtt import Connection, Message
from iot_stream.presence import Presence
from iot_stream.service.broker import DEFAULT_CONF, find_mosquitto, probe, start
from iot_stream.topics import SERVICE, Service, decode
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="sessions and passwords need mosquitto")

LISTENERS = """
listener {port} 127.0.0.1
listener {websockets} 127.0.0.1
protocol websockets
allow_anonymous true
user {user}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Of a mosquitto: plain, and for websockets."""
    folder = tmp_path_factory.mktemp("broker")
    port, websockets = free_port(), free_port()
    listeners = LISTENERS.format(port=port, websockets=websockets, user=getpass.getuser())
    (folder / "mosquitto.conf").write_text(DEFAULT_CONF.read_text() + listeners)
    program = find_mosquitto()
    assert program
    broker = subprocess.Popen(
        [program, "-c", "mosquitto.conf"], cwd=folder, stderr=subprocess.DEVNULL
    )  # fmt: skip
    wait_until(lambda: probe("127.0.0.1", port), "mosquitto")
    yield port, websockets
    broker.terminate()
    broker.wait(10)


@pytest.fixture(params=["wire", "websockets"])
def way(request: pytest.FixtureRequest, ports: tuple[int, int]) -> tuple[int, Address]:
    """The port of a broker, and the address by which the receiver comes to it."""
    port, websockets = ports
    if request.param == "wire":
        return port, Address("127.0.0.1", port)
    return port, Address("127.0.0.1", websockets, websocket="/mqtt")


@contextmanager
def listening(address: Address, prefix: str) -> Iterator[Receiver]:
    """Which has subscribed: it says that it is online behind that."""
    opened = receiver(address, f"{prefix}-collector", [f"{prefix}/data/#"], Presence(prefix, "collector"))
    heard: list[Message] = []
    watching = Connection(address, f"{prefix}-watching", heard.append)
    watching.subscribe(SERVICE.of(prefix=prefix, part="collector"))
    watching.start()
    opened.start()
    try:
        wait_until(lambda: bool(heard) and decode(Service, heard[-1].payload).online, "it is online")
        watching.stop()
        yield opened
    finally:
        opened.stop()


@contextmanager
def client(port: int, name: str) -> Iterator[tuple[Connection, list[Message]]]:
    heard: list[Message] = []
    opened = Connection(Address("127.0.0.1", port), name, heard.append)
    opened.start()
    try:
        yield opened, heard
    finally:
        opened.stop()


def take(from_: Receiver, count: int) -> list[Received]:
    taken: list[Received] = []

    def enough() -> bool:
        taken.extend(from_.take(count - len(taken), 0.1))
        return len(taken) == count

    wait_until(enough, f"{count} messages")
    return taken


def test_what_was_not_acknowledged_comes_again_and_the_rest_does_not(
    way: tuple[int, Address], prefix: str
) -> None:
    port, address = way
    with listening(address, prefix) as first, client(port, f"{prefix}-a") as (a, heard):
        a.subscribe(f"{prefix}/echo")
        for i in range(10):
            a.publish_and_wait(f"{prefix}/data/{i}", b"%d" % i)
        taken = take(first, 10)
        first.acknowledge(taken[:6])
        first.publish(f"{prefix}/echo", b"")
        wait_until(lambda: bool(heard), "what it said after the acknowledgements")
    with listening(address, prefix) as second:
        again = take(second, 4)
        assert [(m.topic, m.payload) for m in again] == [
            (f"{prefix}/data/{i}", b"%d" % i) for i in range(6, 10)
        ]
    with listening(address, prefix) as third:
        assert len(take(third, 4)) == 4
        assert third.take(1, 0.2) == []


def test_presence_is_said_and_left(way: tuple[int, Address], prefix: str) -> None:
    port, address = way
    with client(port, f"{prefix}-a") as (a, heard):
        a.subscribe(SERVICE.of(prefix=prefix, part="collector"))

        def said() -> list[bool]:
            return [decode(Service, message.payload).online for message in heard]

        with listening(address, prefix):
            wait_until(lambda: said() == [True], "it is online")
        wait_until(lambda: said() == [True, False], "it is offline")


def test_it_comes_back_when_the_broker_does(
    tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with start(tmp_path / "broker") as broker, listening(Address("127.0.0.1", broker.port), prefix) as opened:
        broker.restart()
        with client(broker.port, f"{prefix}-a") as (a, _):
            a.publish_and_wait(f"{prefix}/data/x", b"after")
            (message,) = take(opened, 1)
            assert message.payload == b"after"
            assert message.connection > 1
    assert caplog.text.count(": there again") == 1


def test_a_large_message_is_whole(way: tuple[int, Address], prefix: str) -> None:
    port, address = way
    payload = bytes(range(256)) * 400
    with listening(address, prefix) as opened, client(port, f"{prefix}-a") as (a, _):
        a.publish_and_wait(f"{prefix}/data/x", payload)
        (message,) = take(opened, 1)
        assert message.payload == payload


def test_the_broker_holds_what_is_not_taken(
    way: tuple[int, Address], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost though the inbox is full again and again, and it never holds much more than it may."""
    monkeypatch.setattr(wire, "INBOX_MESSAGES", 50)
    monkeypatch.setattr("iot_stream.ingest.receiver.INBOX_MESSAGES", 50)
    port, address = way
    with listening(address, prefix) as opened, client(port, f"{prefix}-a") as (a, _):
        infos = [a.publish(f"{prefix}/data/x", b"%d" % i) for i in range(3000)]
        for info in infos:
            info.wait_for_publish(20)
        got: list[int] = []
        while len(got) < 3000:
            taken = opened.take(7, 1)
            opened.acknowledge(taken)
            got += [int(message.payload) for message in taken]
        assert got == list(range(3000))


def test_a_wrong_password_is_an_error_with_the_remedy(tmp_path: Path, prefix: str) -> None:
    conf = tmp_path / "mosquitto.conf"
    (tmp_path / "passwords").write_text("")
    conf.write_text(
        f"{DEFAULT_CONF.read_text()}\nallow_anonymous false\npassword_file {tmp_path}/passwords\n"
    )
    with start(tmp_path / "broker", conf) as broker:
        address = Address("127.0.0.1", broker.port, user="eve", password="x")
        with pytest.raises(BrokerError, match=r"(?s)refused, .*authori.*user and password right"):
            receiver(address, "c", ["#"], Presence(prefix, "collector")).start()


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A broker that accepts one connection for each answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                to, _ = server.accept()
                open_.append(to)
                heard.append(to.recv(1 << 16))
                to.sendall(answer)

        open_: list[socket.socket] = []
        heard: list[bytes] = []
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        for each in open_:
            each.close()


@pytest.mark.parametrize("refusal", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"])
def test_a_broker_that_refuses_version_5_is_spoken_to_in_3_1_1(refusal: bytes, prefix: str) -> None:
    with answering(refusal, b"\x20\x02\x00\x00") as port:
        opened = receiver(Address("127.0.0.1", port), "c", ["#"], Presence(prefix, "collector"))
        opened.start()
        opened.stop()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"\x20\x03\x00\x87\x00", "refused, not authorized"),
        (b"\x20\x03\x00\xff\x00", "refused, reason 0xff"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no answer within|no MQTT"),
        (b"\x20\x01\x00", "CONNACK of less than two bytes"),
        (b"\x30\xff\xff\xff\xff\x01", "what came is no MQTT: a length of more than four bytes"),
        (b"", "no answer within 0.3 s"),
    ],
)
def test_what_else_it_may_say_is_an_error_in_time(
    answer: bytes, message: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "ANSWER_S", 0.3)
    with answering(answer) as port, pytest.raises(BrokerError, match=message):
        receiver(Address("127.0.0.1", port), "c", ["#"], Presence(prefix, "collector")).start()


def test_nobody_there_is_an_error_with_the_address(prefix: str) -> None:
    with pytest.raises(BrokerError, match=r"mqtt://127\.0\.0\.1:1: .*is the broker running"):
        receiver(Address("127.0.0.1", 1), "c", ["#"], Presence(prefix, "collector")).start()


def test_a_host_that_can_be_none_is_an_error_in_time(prefix: str) -> None:
    with pytest.raises(BrokerError, match="label"):
        receiver(Address("x" * 70, 1883), "c", ["#"], Presence(prefix, "collector")).start()


def test_two_with_one_name_are_told(tmp_path: Path, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    with start(tmp_path / "broker") as broker:
        address = Address("127.0.0.1", broker.port)
        with listening(address, prefix), listening(address, prefix):
            wait_until(lambda: "does another one run under the same name?" in caplog.text, "it is said")


def test_an_inbox_is_full_at_its_bounds_and_says_when_there_is_room() -> None:
    said: list[str] = []
    inbox = Inbox(4, 100, lambda: said.append("room"))
    message = Received("t", b"x" * 10, b"", 1)
    assert inbox.put([message] * 3)
    assert not inbox.put([message])
    assert len(inbox.take(1, 0)) == 1
    assert said == []
    assert len(inbox.take(9, 0)) == 3
    assert said == ["room"]
    assert not inbox.put([Received("t", b"x" * 100, b"", 1)])
    assert len(inbox.take(9, 60)) == 1  # full: there is no more to wait for
    assert said == ["room"] * 2

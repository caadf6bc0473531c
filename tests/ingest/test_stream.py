"""MQTT from bytes: whatever the pieces it comes in, and whatever is wrong with it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from iot_stream.ingest import packets, stream
from iot_stream.ingest.packets import MQTT5, MQTT311, Received
from iot_stream.ingest.stream import Stream

LIMIT = 1 << 22


class Transport(asyncio.Transport):
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Heard:
    """A stream at work, fed by hand."""

    def __init__(self, version: int) -> None:
        self.messages: list[Received] = []
        self.others: list[tuple[int, bytes]] = []
        self.ended: list[str] = []
        self.transport = Transport()
        self.stream = Stream(
            version, 7, LIMIT, self.messages.extend, lambda *told: self.others.append(told), self.ended.append
        )
        self.stream.connection_made(self.transport)

    def feed(self, data: bytes, sizes: list[int]) -> None:
        while data and not self.transport.aborted:
            buffer = self.stream.get_buffer(-1)
            assert len(buffer) >= stream.LEAST
            size = min(sizes.pop() if sizes else len(data), len(buffer), len(data))
            buffer[:size] = data[:size]
            self.stream.buffer_updated(size)
            data = data[size:]


TOPIC = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=30)


@given(
    st.sampled_from([MQTT5, MQTT311]),
    st.lists(st.tuples(TOPIC, st.binary(max_size=300), st.integers(0, 65535), st.booleans()), max_size=20),
    st.lists(st.integers(1, 400), max_size=60),
)
def test_what_was_published_is_received(
    version: int, sent: list[tuple[str, bytes, int, bool]], sizes: list[int]
) -> None:
    heard = Heard(version)
    data = b"".join(
        packets.publish(topic, payload, version, retain=retain, mid=mid) + b"\xd0\0"
        for topic, payload, mid, retain in sent
    )
    heard.feed(data, sizes)
    assert heard.messages == [
        Received(topic, payload, mid.to_bytes(2) if mid else b"", 7) for topic, payload, mid, _ in sent
    ]
    assert heard.others == [(packets.PINGRESP, b"")] * len(sent)


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_152, 3_000_000])
def test_a_message_of_any_size_is_whole_and_leaves_the_buffer_as_it_was(size: int) -> None:
    heard = Heard(MQTT5)
    payload = bytes(range(256)) * (size // 256 + 1)
    data = packets.publish("t", payload[:size], MQTT5) * 2 + b"\xd0\0"
    heard.feed(data, [100_000] * 100)
    assert [message.payload for message in heard.messages] == [payload[:size]] * 2
    assert len(heard.stream.get_buffer(-1)) == stream.BUFFER


def test_properties_of_a_message_are_passed_over() -> None:
    heard = Heard(MQTT5)
    properties = b"\x26\0\1a\0\1b" * 30  # 210 bytes: a length of two bytes
    body = b"\0\1t\0\5" + bytes([0xD2, 1]) + properties + b"payload"
    heard.feed(b"\x32" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body, [])
    assert heard.messages == [Received("t", b"payload", b"\0\5", 7)]


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x30\xff\xff\xff\x7f",  # 256 MB
        b"\x30\x01\x00",  # no topic
        b"\x30\x04\x00\x09ab",  # a topic longer than its packet
        b"\x32\x04\x00\x02ab",  # QoS 1 without a number
        b"\x30\x03\x00\x01a",  # MQTT 5 without properties
        b"\x30\x05\x00\x01a\x09b",  # properties longer than their packet
    ],
)
def test_what_is_no_mqtt_ends_the_connection(wrong: bytes) -> None:
    heard = Heard(MQTT5)
    heard.feed(packets.publish("t", b"good", MQTT5) + wrong, [])
    assert [message.payload for message in heard.messages] == [b"good"]
    assert heard.transport.aborted
    heard.stream.connection_lost(None)
    assert heard.ended[0].startswith("what came is no MQTT: ")


@given(st.sampled_from([MQTT5, MQTT311]), st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=20))
def test_no_bytes_do_harm(version: int, data: bytes, sizes: list[int]) -> None:
    heard = Heard(version)
    heard.feed(data, sizes)
    assert len(heard.stream.get_buffer(-1)) <= LIMIT + 2 * stream.BUFFER


@given(st.sampled_from([MQTT5, MQTT311]), st.binary(max_size=40))
def test_no_answer_does_harm(version: int, body: bytes) -> None:
    for read in (packets.connack, packets.refused):
        try:
            read(body, version)
        except packets.ProtocolError:
            continue


def test_answers_of_a_broker() -> None:
    """Of MQTT 5.0, 3.2, and of mosquitto 2."""
    assert packets.connack(b"\0\0\x0a\x13\0\x3c\x21\0\x14\x22\0\x0a", MQTT5) == packets.Connack(0, 60)
    assert packets.connack(b"\0\x87\x05\x1f\0\2no", MQTT5).reason == 0x87
    assert packets.connack(b"\0\x01", MQTT5).reason == 0x84  # a broker of 3.1.1 that is asked for 5
    assert packets.connack(b"\0\x05", MQTT311).reason == 0x87
    assert packets.refused(b"\0\1\0\1\x87\0", MQTT5) == [0x87]
    assert packets.refused(b"\0\1\1\x80", MQTT311) == [0x80]


@given(st.lists(st.integers(1, 65535), max_size=50))
def test_acknowledgements_are_as_paho_writes_them(mids: list[int]) -> None:
    client = Client(CallbackAPIVersion.VERSION2, client_id="x")
    written: list[Any] = []
    client._packet_queue = lambda _, packet, *__: written.append(bytes(packet))
    for mid in mids:
        client._send_puback(mid)
    assert packets.pubacks([mid.to_bytes(2) for mid in mids]) == b"".join(written)

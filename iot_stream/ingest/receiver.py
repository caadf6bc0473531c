"""How the collector hears the broker: the one seam, and its two sides.

`WireReceiver` for mqtt:// and mqtts://; over websockets, where a network lets nothing else pass, paho-mqtt.
"""

from collections.abc import Callable, Sequence
from threading import Condition
from typing import Protocol

from iot_stream.address import Address
from iot_stream.ingest.inbox import Inbox
from iot_stream.ingest.packets import Received
from iot_stream.ingest.wire import INBOX_BYTES, INBOX_MESSAGES, WireReceiver
from iot_stream.mqtt import Connection, Message
from iot_stream.presence import Presence


class Receiver(Protocol):
    def start(self) -> None:
        """Connect and go on in the background; raises BrokerError."""

    def take(self, most: int, wait_s: float, enough: int = 0) -> list[Received]:
        """Up to `most` messages: what comes within `wait_s` of the call, or until there are `enough`."""

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """In the order of delivery, of those whose connection has not gone."""

    def publish(self, topic: str, payload: bytes) -> None:
        """At QoS 0."""

    def say_again(self) -> None:
        """Our presence, which has changed."""

    def stop(self) -> None:
        """Say that we are offline, and disconnect; what was not acknowledged comes again to the next."""


Listen = Callable[[Address, str, Sequence[str], Presence], Receiver]


def receiver(address: Address, client_id: str, patterns: Sequence[str], presence: Presence) -> Receiver:
    kind = WebsocketReceiver if address.websocket else WireReceiver
    return kind(address, client_id, patterns, presence)


class WebsocketReceiver:
    """By paho-mqtt; when the inbox is full its network thread waits."""

    def __init__(self, address: Address, client_id: str, patterns: Sequence[str], presence: Presence) -> None:
        self._patterns, self._presence = patterns, presence
        self._room = Condition()
        self._stopping = False
        self._inbox = Inbox(INBOX_MESSAGES, INBOX_BYTES, self._go_on)
        self._connection = Connection(
            address,
            client_id,
            self._put,
            will=presence.will,
            on_connect=lambda: presence.say_online(self._connection),
            durable=True,
            manual_ack=True,
        )

    def start(self) -> None:
        for pattern in self._patterns:
            self._connection.subscribe(pattern)
        self._connection.start()

    def _put(self, message: Message) -> None:
        mid = message.mid.to_bytes(2) if message.qos else b""
        with self._room:
            if not self._inbox.put([Received(message.topic, message.payload, mid, message.connection)]):
                self._room.wait_for(lambda: self._stopping or self._inbox.has_room)

    def _go_on(self) -> None:
        with self._room:
            self._room.notify()

    def take(self, most: int, wait_s: float, enough: int = 0) -> list[Received]:
        return self._inbox.take(most, wait_s, enough)

    def acknowledge(self, messages: Sequence[Received]) -> None:
        for message in messages:
            if message.mid:
                self._connection.acknowledge(int.from_bytes(message.mid), message.connection)

    def publish(self, topic: str, payload: bytes) -> None:
        self._connection.publish(topic, payload, qos=0)

    def say_again(self) -> None:
        self._presence.say_online(self._connection)

    def stop(self) -> None:
        self._presence.say_offline(self._connection)
        self._stopping = True
        self._go_on()
        self._connection.stop()

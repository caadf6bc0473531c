"""Which part of the service runs where: a retained message with a Last Will.

What is retained may be of a part that died together with the broker, whose Last Will nobody heard. So a
publisher that runs says so again whenever another speaks on its topic: one can ask.
"""

import os
import queue
import secrets
import socket
import time
from collections.abc import Iterator

import msgspec

from iot_stream import topics
from iot_stream.address import Address
from iot_stream.clock import wall
from iot_stream.errors import BrokerError
from iot_stream.mqtt import Connection, Message, Will

ANSWER_S = 5.0


class Presence:
    def __init__(self, prefix: str, part: str) -> None:
        self.prefix, self.part = prefix, part
        self.topic = topics.SERVICE.of(prefix=prefix, part=part)
        self.instance = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.fault = ""  # why it holds its work back, while it does
        self._began = wall()
        self._said = False

    def payload(self, *, online: bool) -> bytes:
        since = self._began if online else wall()  # said again after a lost connection, it began no later
        return topics.encode(topics.Service(online, self.instance, socket.gethostname(), since, self.fault))

    @property
    def will(self) -> Will:
        return Will(self.topic, self.payload(online=False))

    def say_online(self, connection: Connection) -> None:
        self._said = True
        connection.publish(self.topic, self.payload(online=True), retain=True)

    def say_offline(self, connection: Connection) -> None:
        """Before a clean disconnection, which the Last Will does not cover; not if it never was online: then
        another one may be."""
        if self._said:
            self._say_offline(connection)

    def _say_offline(self, connection: Connection) -> None:
        info = connection.publish(self.topic, self.payload(online=False), retain=True)
        if connection.connected:
            info.wait_for_publish(2)

    def answer(self, message: Message, connection: Connection) -> None:
        """To what is said on our topic; raises BrokerError if another has begun meanwhile."""
        other = self._foreign(message)
        if other and other.online:
            raise self.taken(other)
        if other:  # it asks, or was an earlier one that is gone
            self.say_online(connection)

    def _foreign(self, message: Message) -> topics.Service | None:
        if message.topic != self.topic or not message.payload:
            return None
        try:
            said: topics.Service = topics.decode(topics.Service, message.payload)
        except msgspec.DecodeError:
            return None
        return said if said.instance != self.instance else None

    def taken(self, other: topics.Service) -> BrokerError:
        return BrokerError(
            f"a {self.part} is at work on prefix {self.prefix!r}: {other.instance} on {other.host}; "
            f"stop it, or choose another `prefix`"
        )

    def other(self, address: Address) -> topics.Service | None:
        """Another of this part that is at work, and says so when it is asked; raises BrokerError without a
        broker."""
        heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        echo = f"{self.topic}/sync/{self.instance}"
        connection = Connection(address, f"{self.prefix}-{self.part}-{self.instance}-asks", heard.put)
        connection.subscribe(self.topic)
        connection.subscribe(echo)
        connection.start()
        try:
            connection.publish(echo, b"")  # comes behind all that is retained
            retained = [self._foreign(message) for message in _until(echo, heard)]
            if not any(other and other.online for other in retained):
                return None
            connection.publish(self.topic, self.payload(online=False))
            for message in _until("", heard):
                other = self._foreign(message)
                if other and other.online:
                    return other
            self._say_offline(connection)  # in its place: it is gone
            return None
        finally:
            connection.stop()


def _until(topic: str, heard: "queue.SimpleQueue[Message]") -> Iterator[Message]:
    """What comes within the time for an answer, up to a message on that topic."""
    deadline = time.monotonic() + ANSWER_S
    while (left := deadline - time.monotonic()) > 0:
        try:
            message = heard.get(timeout=left)
        except queue.Empty:
            return
        if message.topic == topic:
            return
        yield message

"""Which part of the service runs where: a retained message with a Last Will."""

import os
import secrets
import socket

from iot_stream import topics
from iot_stream.clock import wall
from iot_stream.mqtt import Connection, Will


class Presence:
    def __init__(self, prefix: str, part: str) -> None:
        self.topic = topics.SERVICE.of(prefix=prefix, part=part)
        self.instance = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.fault = ""  # why it holds its work back, while it does

    def payload(self, *, online: bool) -> bytes:
        return topics.encode(topics.Service(online, self.instance, socket.gethostname(), wall(), self.fault))

    @property
    def will(self) -> Will:
        return Will(self.topic, self.payload(online=False))

    def say_online(self, connection: Connection) -> None:
        connection.publish(self.topic, self.payload(online=True), retain=True)

    def say_offline(self, connection: Connection) -> None:
        """Before a clean disconnection, which the Last Will does not cover."""
        info = connection.publish(self.topic, self.payload(online=False), retain=True)
        if connection.connected:
            info.wait_for_publish(2)

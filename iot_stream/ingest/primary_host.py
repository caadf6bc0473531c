"""Sparkplug's primary host: nodes that wait for one speak only while its STATE says that it is there.

A connection of its own, for the collector's has a Last Will that says something else. See the specification
3.0, chapter 5, "Sparkplug Host Application Session Establishment".
"""

import msgspec

from iot_stream.clock import wall
from iot_stream.config import Address, Config
from iot_stream.formats.sparkplug_payload import State, state
from iot_stream.mqtt import Connection, Message, Will

MILLISECOND = 10**6


def primary_hosts(config: Config) -> list["PrimaryHost"]:
    """One for each `host` that a source names."""
    named = {
        (source.topic.split("/")[0], source.host)
        for pipeline in config.pipelines.values()
        for source in pipeline.sources
        if source.host
    }
    return [
        PrimaryHost(config.address, f"{config.prefix}-host-{host}", namespace, host)
        for namespace, host in sorted(named)
    ]


class PrimaryHost:
    def __init__(self, address: Address, client_id: str, namespace: str, host: str) -> None:
        self._namespace, self._host = namespace, host
        self._since = 0  # ms, of the last attempt to connect
        self._leaving = False
        self._connection = Connection(
            address, client_id, self._heard, will=self._will, on_connect=self._say_online
        )
        self._connection.subscribe(self._said(online=True)[0])

    def start(self) -> None:
        """When the collector hears already: nodes speak as soon as they are told."""
        self._connection.start(patient=True)

    def stop(self) -> None:
        self._leaving = True
        if self._connection.connected:
            self._since = wall() // MILLISECOND
            self._connection.publish(*self._said(online=False), retain=True).wait_for_publish(2)
        self._connection.stop()

    def _said(self, *, online: bool) -> tuple[str, bytes]:
        return state(self._host, online, self._since, self._namespace)

    def _will(self) -> Will:
        """Of the moment of connecting; what is said then has the same time, so that nodes can tell which
        will is of which connection."""
        self._since = wall() // MILLISECOND
        return Will(*self._said(online=False))

    def _say_online(self) -> None:
        self._connection.publish(*self._said(online=True), retain=True)

    def _heard(self, message: Message) -> None:
        """The will of a former connection, which must not stand; or what we said ourselves."""
        try:
            said = msgspec.json.decode(message.payload, type=State)
        except ValueError:
            return  # whoever wrote that, nodes cannot take it for ours
        if not said.online and not self._leaving:
            self._say_online()

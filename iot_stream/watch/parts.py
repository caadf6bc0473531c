"""Which parts of the service run, as they say on the broker."""

import logging
import secrets
from collections.abc import Iterator

import msgspec

from iot_stream import topics
from iot_stream.config import Config
from iot_stream.mqtt import Connection, Message
from iot_stream.watch.metrics import Sample

log = logging.getLogger(__name__)

MOST = 100  # parts: whoever may publish under the prefix could invent any number


class Parts:
    def __init__(self, config: Config) -> None:
        self._heard: dict[str, topics.Service] = {}
        name = f"{config.prefix}-metrics-{secrets.token_hex(4)}"
        self._connection = Connection(config.address, name, self._take)
        self._connection.subscribe(topics.SERVICE.pattern(prefix=config.prefix))

    def start(self) -> None:
        """Returns at once, also where no broker is: that is a thing to show."""
        self._connection.start(patient=True)

    def stop(self) -> None:
        self._connection.stop()

    def _take(self, message: Message) -> None:
        levels = topics.SERVICE.levels(message.topic)
        if levels is None:
            return
        part = levels["part"]
        if not message.payload:
            self._heard.pop(part, None)
            return
        try:
            service = topics.decode(topics.Service, message.payload)
        except msgspec.DecodeError as error:
            log.warning("%s: not understood: %s", message.topic, error)
            return
        if part in self._heard or len(self._heard) < MOST:
            self._heard[part] = service

    def samples(self) -> Iterator[Sample]:
        yield Sample("broker_connected", self._connection.connected)
        for part, service in sorted(self._heard.items()):
            yield Sample("part_online", service.online, (part,))
            yield Sample("part_fault", service.online and bool(service.fault), (part,))

"""A gateway: what a sensor that cannot compute says on a topic, read as the service reads it.

The same decoder, the same order, the same rows: so the windows are those that the service cuts.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from queue import Empty, Full, Queue

from iot_stream import topics
from iot_stream.address import Address
from iot_stream.clock import SECOND, wall
from iot_stream.device.inputs.kinds import Mqtt
from iot_stream.device.inputs.left_out import LeftOut
from iot_stream.device.inputs.lines import Rows
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Conversation, Heard, decoder, format_of
from iot_stream.hygiene import MAX_PAYLOAD, clean, too_large
from iot_stream.mqtt import Connection, Message
from iot_stream.order import Sorter
from iot_stream.readings import device_name, spoken_name

log = logging.getLogger(__name__)

BACKLOG = 10_000  # messages that have come and are not read yet
SILENT_S = 30.0  # after which it is said that nothing has come


class Gateway:
    """Of the sensor that the service knows as `levels["device"]`; `levels` also has prefix and pipeline.
    Raises ConfigError."""

    def __init__(
        self, settings: Mqtt, levels: Mapping[str, str], channels: tuple[str, ...], left_out: LeftOut
    ) -> None:
        self._device, self._left_out = levels["device"], left_out
        self._name = spoken_name(self._device)  # where it speaks
        dialect = format_of(settings.format)
        template = settings.topic or dialect.topic
        if not template:
            raise ConfigError(f"input.topic: is needed: format {settings.format} is spoken anywhere")
        for level in ("prefix", "pipeline"):
            template = template.replace(f"{{{level}}}", levels[level])
        if not (settings.device or settings.devices or dialect.names_device):  # then the topic names it
            template = template.replace("{device...}", self._name).replace("{device}", self._name)
        self.template, self._filter = template, topics.filter_of(template)
        try:
            self._decoder = decoder(settings, 0)
        except ConfigError as error:
            raise ConfigError(f"input.{error}") from error
        if isinstance(self._decoder, Conversation):  # others are asked by their own gateways
            self._filter, _ = self._decoder.spoken_by(self._device)
        self._sorter = Sorter(channels, (0,), int(settings.lateness), 0)
        self._wait = max(0.1, settings.lateness / SECOND) if settings.lateness else SILENT_S
        self._heard = False  # or it was said that nothing is heard

    def rows(self, address: Address, client_id: str) -> Iterator[Rows]:
        """For ever, from the broker at `address`, whenever it is there."""
        inbox: Queue[tuple[Message, int]] = Queue(BACKLOG)

        def hear(message: Message) -> None:
            try:
                inbox.put_nowait((message, wall()))
            except Full:
                self._left_out.add("too_fast", f"{BACKLOG} messages wait already")

        connection = Connection(address, client_id, hear)
        connection.subscribe(self._filter)
        connection.start(patient=True)
        patient_until = time.monotonic() + SILENT_S
        try:
            while True:
                try:
                    message, arrived = inbox.get(timeout=self._wait)
                except Empty:
                    found = [self._sorter.idle(wall())[:2]]
                else:
                    found = self.read(message.topic, message.payload, arrived)
                    self._answer(connection)
                    self._heard |= bool(found)
                if not self._heard and time.monotonic() >= patient_until:
                    self._say_silent()
                yield from (rows for rows in found if len(rows[0]))
        finally:
            connection.stop()

    def _say_silent(self) -> None:
        self._heard = True
        what = f"no reading of {self._name} has come on {self._filter} in {SILENT_S:.0f} s"
        log.warning("%s; are name and topic right?", what)

    def read(self, topic: str, payload: bytes, arrived: int) -> list[Rows]:
        """What can go on now; `arrived` in ns."""
        places = topics.match(self.template, topic)
        if places is None or not topics.covers(self._filter, topic):
            return []
        try:
            if len(payload) > MAX_PAYLOAD:
                raise too_large(payload)
            blocks = self._decoder.decode(Heard(payload, arrived, {"device": self._name} | places))
            own = [clean(block, wall()) for block in blocks if device_name(block.device) == self._device]
        except DataError as error:
            self._left_out.add(error.reason, error.detail)
            return []
        return [self._sorter.push(block, arrived)[:2] for block in own]

    def _answer(self, connection: Connection) -> None:
        """A dialect may ask for what it lacks, such as a birth."""
        if isinstance(self._decoder, Conversation):
            for topic, payload in self._decoder.asks():
                connection.publish(topic, payload)

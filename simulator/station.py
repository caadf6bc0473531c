"""One simulated device: the real device client, its faulty line, and its entries in the ledger."""

import random
from collections import deque
from pathlib import Path

from iot_stream import topics
from iot_stream.address import Address, Broker
from iot_stream.device.client import DeviceClient
from iot_stream.device.outbox import Sent
from iot_stream.device.settings import DeviceSettings
from iot_stream.formats.telemetry import encode as encode_telemetry
from iot_stream.readings import Label, Times, Values
from iot_stream.units import Size
from iot_stream.upload import DeviceUpload
from simulator.faults import FaultyLine
from simulator.ledger import BlockRecord, Bookkeeper
from simulator.scenario import Faults, LabelPlan


def broker_settings(address: Address) -> Broker:
    """A broker block for an address that is already resolved."""
    return Broker(url=str(address), user=address.user, password=address.password, ca=address.ca)


class Station:
    """`labels` are published as the plan says; `rng` decides all that is random about this device."""

    def __init__(
        self,
        settings: DeviceSettings,
        channels: tuple[str, ...],
        classes: tuple[str, ...],
        faults: Faults,
        labels: LabelPlan,
        book: Bookkeeper,
        rng: random.Random,
    ) -> None:
        self.name = settings.device
        self._levels = {"prefix": settings.prefix, "pipeline": settings.pipeline, "device": settings.device}
        self._classes, self._labels, self._book, self._rng = classes, labels, book, rng
        self._line = FaultyLine(self._send, faults.duplicates, faults.reordering, rng)
        self._late_numbers: dict[int, int] = {}
        self._due: deque[tuple[int, bytes]] = deque()
        self.client = DeviceClient(settings, channels, self._line.publish)

    def _send(self, topic: str, payload: bytes) -> Sent:
        self._book.bytes_up += len(payload)
        return self.client.connection.publish(topic, payload)

    def read(self, times: Times, values: Values, label: int) -> None:
        """The sensor gives readings, all of one class (−1: nobody knows)."""
        seq = self.client.fed
        handles = self.client.feed(times, values)
        first, last = int(times[0]), int(times[-1])
        if self.client.settings.upload is None:  # else windows go up, later
            record = BlockRecord(self.name, 0, self.client.boot, seq, len(times), first, last, label)
            self._book.sent(record, handles)
        if label >= 0 and self._rng.random() < self._labels.fraction:
            message = topics.LabelMessage(first, self._classes[label], last)
            self._due.append((last + int(self._labels.delay), topics.encode(message)))
        self.publish_labels(last)

    def tell(self, label: Label) -> None:
        """Somebody knows the truth now."""
        message = topics.LabelMessage(label.start, self._classes[label.value], label.end)
        self.client.connection.publish(topics.LABEL.of(**self._levels), topics.encode(message))

    def publish_labels(self, now: int) -> None:
        """Labels whose delay is over at `now`, on the device's clock."""
        while self._due and self._due[0][0] <= now:
            self.client.connection.publish(topics.LABEL.of(**self._levels), self._due.popleft()[1])

    def read_out(
        self, source: int, topic: str, channels: tuple[str, ...], times: Times, values: Values
    ) -> None:
        """A logger's memory in one message on its own topic, numbered on its own."""
        seq = self._late_numbers.get(source, 0)
        self._late_numbers[source] = seq + len(times)
        payload = encode_telemetry(channels, times, values, self.client.boot, seq)
        handle = self._send(topic.replace("{device}", self.name), payload)
        record = BlockRecord(
            self.name, source, self.client.boot, seq, len(times), int(times[0]), int(times[-1]), -1
        )
        self._book.sent(record, [handle])

    def stop_line(self) -> None:
        """Send what is held back: the last messages, the labels still due; note what came down."""
        self._line.flush()
        self.publish_labels(2**63 - 1)
        self._book.bytes_down[self.name] = self.client.bytes_down

    def stop(self) -> None:
        self.client.stop()


def settings_for(
    address: Address,
    prefix: str,
    pipeline: str,
    device: str,
    root: Path,
    state: Path,
    upload: DeviceUpload | None = None,
) -> DeviceSettings:
    return DeviceSettings(
        broker=broker_settings(address),
        prefix=prefix,
        pipeline=pipeline,
        device=device,
        root=root.read_text(),
        state=str(state / device),
        upload=upload,
        outbox=Size(0),  # faults of the line are what is simulated; a thousand devices share one disk
    )

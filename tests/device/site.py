"""A site for the device's tests: a real broker, a publisher, a listener, a sensor, devices."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from iot_stream import topics
from iot_stream.config import Broker as BrokerSettings
from iot_stream.cut import Cut
from iot_stream.device.client import DeviceClient
from iot_stream.device.health import Rules
from iot_stream.device.settings import DeviceSettings
from iot_stream.mqtt import Connection, Message
from iot_stream.readings import Times, Values
from iot_stream.release.keys import Keys
from iot_stream.service.broker import Broker
from iot_stream.windows import Windower
from tests.device import tiny
from tests.streams import START
from tests.waiting import wait_until

STEP = 10**9
EASY_GOING = Rules(confidence=1.0, slower=1e9)  # versions here are as sure as chance made them


class Listener:
    """Hears all that a device says."""

    def __init__(self, url: str, prefix: str) -> None:
        self.messages: list[Message] = []
        self.connection = Connection(
            BrokerSettings(url=url).address(), f"{prefix}-listener", self.messages.append
        )
        self.connection.subscribe(f"{prefix}/p/device/#")
        self.connection.start()

    def of(self, topic: topics.Topic) -> list[Any]:
        found = [m.payload for m in self.messages if topic.levels(m.topic)]
        return [
            payload if topic is topics.TELEMETRY else topics.decode(topic.payload, payload)
            for payload in found
        ]

    @property
    def predictions(self) -> dict[int, list[tuple[int, str, float]]]:
        """Window end → (version, class, p) of each time that it was predicted."""
        said: dict[int, list[tuple[int, str, float]]] = {}
        for message in self.of(topics.PREDICTION):
            for end, klass, p in [*message.earlier, (message.time, message.klass, message.p)]:
                said.setdefault(end, []).append((message.version, klass, p))
        return said

    def reports(self, event: str) -> list[topics.Report]:
        return [report for report in self.of(topics.REPORT) if report.event == event]


class Feeder:
    """A sensor that goes on and on."""

    def __init__(self, client: DeviceClient) -> None:
        self._client, self._rng, self.fed = client, np.random.default_rng(7), 0
        self._times: list[Times] = []
        self._values: list[Values] = []

    def feed(self, count: int = 1, sign: float = 1.0) -> None:
        times = START + (self.fed + np.arange(count)) * STEP
        values = (sign * self._rng.uniform(0.1, 3, (count, 2))).astype(np.float32)
        self._client.feed(times, values)
        self._times.append(times)
        self._values.append(values)
        self.fed += count

    def windows(self, cut: Cut = tiny.CUT) -> dict[int, Values]:
        found = Windower(cut).push(np.concatenate(self._times), np.concatenate(self._values))
        return {int(end): x for end, x in zip(found.ends, found.x, strict=True)}


class Site:
    """A broker, a publisher, a listener, and devices that are stopped at the end."""

    def __init__(self, broker: Broker, prefix: str, keys: Keys, folder: Path) -> None:
        self.broker, self.prefix, self.keys, self.folder = broker, prefix, keys, folder
        self.connection = Connection(
            BrokerSettings(url=broker.url).address(), f"{prefix}-site", lambda _: None
        )
        self.connection.start()
        self.publisher = tiny.Publisher(self.connection, prefix, keys)
        self.listener = Listener(broker.url, prefix)
        self._devices: list[DeviceClient] = []

    def settings(self) -> DeviceSettings:
        return tiny.device_settings(self.broker.url, self.prefix, self.keys, self.folder / "state")

    def device(self, channels: tuple[str, ...] = tiny.CHANNELS, health: Rules = EASY_GOING) -> DeviceClient:
        client = DeviceClient(msgspec.structs.replace(self.settings(), health=health), channels)
        self._devices.append(client)
        client.start()
        return client

    def other_publisher(self, keys: Keys | None = None, cohort: str = "all") -> tiny.Publisher:
        return tiny.Publisher(self.connection, self.prefix, keys or self.keys, cohort)

    def rejected(self, reason: str) -> None:
        wait_until(
            lambda: any(r.reason == reason for r in self.listener.reports("rejected")),
            f"a rejection because it is {reason}",
        )

    def close(self) -> None:
        for client in self._devices:
            client.stop()
        self.listener.connection.stop()
        self.connection.stop()


def runs(client: DeviceClient, version: int) -> None:
    wait_until(lambda: client.version == version, f"the device runs version {version}, not {client.version}")


@contextmanager
def feeding(feeder: Feeder) -> Iterator[None]:
    """Feeds on a thread of its own until the block ends."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            feeder.feed()

    thread = threading.Thread(target=work, name="sensor")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

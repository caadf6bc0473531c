"""What the tests of fleet and playback share: stations on a real broker, and someone who counts."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

from iot_stream.config import Broker as BrokerSettings
from iot_stream.config import Pipeline
from iot_stream.formats import Heard, decoder
from iot_stream.mqtt import Connection, Message
from iot_stream.readings import Block
from iot_stream.release.keys import Keys
from iot_stream.service.broker import Broker
from iot_stream.topics import match
from simulator.ledger import Bookkeeper
from simulator.scenario import Faults, LabelPlan
from simulator.station import Station, settings_for
from tests.waiting import wait_until

NewStation = Callable[[str, tuple[str, ...], Bookkeeper, random.Random], Station]
QUIET = Faults(jitter=0, rate_spread=0, clock_offset=0, dropouts=0, duplicates=0, reordering=0)
NEVER = threading.Event()


def new_stations(
    broker: Broker,
    prefix: str,
    classes: tuple[str, ...],
    folder: Path,
    faults: Faults = QUIET,
    labels: LabelPlan = LabelPlan(),  # noqa: B008  frozen
) -> NewStation:
    keys = Keys.create(folder / "keys", root_keys=1, root_threshold=1)
    root = folder / "root.json"
    root.write_bytes(keys.newest_root)
    address = BrokerSettings(url=broker.url).address()

    def station(device: str, channels: tuple[str, ...], book: Bookkeeper, rng: random.Random) -> Station:
        settings = settings_for(address, prefix, "p", device, root, folder / "state")
        return Station(settings, channels, classes, faults, labels, book, rng)

    return station


class Counter:
    """Subscribes to everything under a prefix, as a collector would."""

    def __init__(self, broker: Broker, prefix: str) -> None:
        self.messages: list[Message] = []
        self._echo = f"{prefix}/echo"
        self.connection = Connection(
            BrokerSettings(url=broker.url).address(), f"{prefix}-counter", self.messages.append
        )
        self.connection.subscribe(f"{prefix}/#")
        self.connection.start()

    def settle(self) -> None:
        """All that was published before this has been heard."""
        self.connection.publish(self._echo, b"")
        wait_until(lambda: any(m.topic == self._echo for m in self.messages), "the echo")
        self.connection.stop()

    def blocks(self, pipeline: Pipeline) -> list[Block]:
        """Every copy of every block, in the order in which they came."""
        found = []
        for message in self.messages:
            for i, source in enumerate(pipeline.sources):
                levels = match(source.topic, message.topic)
                if levels:
                    found += decoder(source, i).decode(Heard(message.payload, 0, levels))
        return found


def distinct(blocks: list[Block]) -> set[tuple[str, int, str, int, int, int, int]]:
    """As the ledger writes them, without the class."""
    return {(b.device, b.source, b.boot, b.seq, len(b), int(b.times[0]), int(b.times[-1])) for b in blocks}

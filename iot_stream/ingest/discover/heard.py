"""What was heard of a broker, in bounded memory: the first messages of each topic, and their number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from iot_stream.errors import DataError
from iot_stream.formats.json_paths import parse_json
from iot_stream.hygiene import MAX_PAYLOAD

MOST_TOPICS = 5000
MOST_KEPT = 40  # messages of a topic
MOST_OF_TOPIC = 256 * 1024  # bytes of a topic's messages, but for the first
MOST_MESSAGES = 50_000  # of all topics, but for the first of each
MOST_BYTES = 64 * 1024 * 1024  # of all


class Kept(NamedTuple):
    """`order` counts the messages of all topics; `arrived` is in ns."""

    order: int
    payload: bytes
    arrived: int
    retained: bool


@dataclass
class Topic:
    """`count` messages came; the first of them are `kept`."""

    name: str
    kept: list[Kept] = field(default_factory=list)
    count: int = 0
    size: int = 0

    @property
    def levels(self) -> list[str]:
        return self.name.split("/")

    @property
    def unsayable(self) -> bool:
        """Whether a template would take it for more than it is."""
        return bool(set(self.name) & set("{}")) or "..." in self.name

    @property
    def payloads(self) -> Iterator[bytes]:
        """Those kept that are not empty."""
        return (kept.payload for kept in self.kept if kept.payload)

    def texts(self) -> list[str]:
        """Payloads that are text; none if any of them is not."""
        try:
            return [payload.decode() for payload in self.payloads]
        except UnicodeDecodeError:
            return []

    def objects(self) -> list[dict[str, Any]]:
        """Payloads that are JSON objects."""
        return [each for each in self.parsed() if isinstance(each, dict)]

    def parsed(self) -> list[Any]:
        """Payloads that are JSON."""
        found = []
        for payload in self.payloads:
            try:
                found.append(parse_json(payload, ""))
            except DataError:
                continue
        return found


class Ear:
    """Takes messages; `beyond` counts those on topics that there was no room for."""

    def __init__(self) -> None:
        self.messages = 0
        self.beyond = 0
        self._topics: dict[str, Topic] = {}
        self._bytes = 0
        self._kept = 0

    def hear(self, name: str, payload: bytes, arrived: int, *, retained: bool = False) -> None:
        if not name or name.startswith("$"):  # no Unicode, or what the broker says of itself
            return
        self.messages += 1
        topic = self._topics.get(name)
        if topic is None:
            if len(self._topics) >= MOST_TOPICS:
                self.beyond += 1
                return
            topic = self._topics[name] = Topic(name)
        topic.count += 1
        size = len(payload)
        room = len(topic.kept) < MOST_KEPT and self._kept < MOST_MESSAGES
        fits = not topic.kept or (room and topic.size + size <= MOST_OF_TOPIC)
        if fits and size <= MAX_PAYLOAD and self._bytes + size <= MOST_BYTES:
            topic.kept.append(Kept(self.messages, payload, arrived, retained))
            topic.size += size
            self._kept += 1
            self._bytes += size

    @property
    def topics(self) -> Sequence[Topic]:
        return list(self._topics.values())

"""Who got what, and when: the newest messages about models, rounds, devices and parts, as they were heard."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from iot_stream.clock import SECOND, wall
from iot_stream.config import Config
from iot_stream.errors import ConfigError
from iot_stream.mqtt import Message
from iot_stream.watch.monitor import Monitor, Seen

MOST = 500


class Line(msgspec.Struct, frozen=True):
    """`kept`: the broker had it, it may be from long ago."""

    n: int
    at: float
    kind: str
    about: str
    words: str
    topic: str
    size: int
    kept: bool


class Lines(msgspec.Struct):
    """Beyond the `after` that was asked for, oldest first; `missed`: some between are not kept any more."""

    lines: list[Line]
    newest: int
    missed: bool
    connected: bool


class Heard:
    """One listener for all who look; `also` is given what it hears, topic and payload."""

    def __init__(self, config: Config, also: Callable[[str, bytes], None]) -> None:
        self._also = also
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._lines: dict[str, deque[Line]] = {name: deque(maxlen=MOST) for name in config.pipelines}
        self._newest = dict.fromkeys(config.pipelines, 0)
        self._monitor = Monitor(config, self._add)
        self.take = self._monitor.take

    def start(self) -> None:
        """Returns at once, also where no broker is: then there is nothing to hear."""
        self._monitor.start(patient=True)

    def stop(self) -> None:
        self._monitor.stop()

    def newest(self, pipeline: str) -> tuple[int, ...]:
        """Changes when there is something new."""
        return self._newest[pipeline], int(self._monitor.connected)

    def view(self, pipeline: str, query: Mapping[str, str]) -> Lines:
        """`after`: the number of the last line that is known."""
        after = query.get("after", "0")
        if not after.isdecimal():
            raise ConfigError(f"after: {after!r} is no number of a line")
        with self._lock:
            kept = self._lines[pipeline]
            missed = len(kept) == MOST and int(after) < kept[0].n - 1
            lines = [line for line in kept if line.n > int(after)]
            return Lines(lines, self._newest[pipeline], missed, self._monitor.connected)

    def _add(self, message: Message, seen: Seen) -> None:
        self._also(message.topic, message.payload)
        of = message.topic.split("/")[1]
        with self._lock:
            line = Line(
                next(self._numbers),
                wall() / SECOND,
                *seen,
                message.topic,
                len(message.payload),
                message.retained,
            )
            for name in [of] if seen.kind != "service" else self._lines:
                if name in self._lines:
                    self._lines[name].append(line)
                    self._newest[name] = line.n

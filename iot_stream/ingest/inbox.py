"""What has come and is not taken yet: bounded, so that the broker holds the rest when the store is slow."""

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from iot_stream.ingest.packets import Received


class Inbox:
    """Full at `most_messages` or `most_bytes`; `when_room` is called once it is half empty again."""

    def __init__(self, most_messages: int, most_bytes: int, when_room: Callable[[], None]) -> None:
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._when_room = when_room
        self._messages: deque[Received] = deque()
        self._bytes = 0
        self._wanted = 1
        self._full = False
        self._changed = threading.Condition()

    @property
    def has_room(self) -> bool:
        return not self._full

    def put(self, messages: list[Received]) -> bool:
        """Takes them all; False where it is full by now, and no more should come."""
        with self._changed:
            self._messages.extend(messages)
            self._bytes += sum([len(message.payload) for message in messages])
            self._full = len(self._messages) >= self._most_messages or self._bytes >= self._most_bytes
            if len(self._messages) >= self._wanted or self._full:
                self._changed.notify()
            return not self._full

    def take(self, most: int, wait_s: float) -> list[Received]:
        """Up to `most` messages: what comes within `wait_s` of the call."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            self._wanted = most
            while len(self._messages) < most and not self._full and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            taken = list(islice(self._messages, most))
            for _ in taken:
                self._messages.popleft()
            self._bytes -= sum([len(message.payload) for message in taken])
            room = self._full and 2 * len(self._messages) <= self._most_messages
            room = room and 2 * self._bytes <= self._most_bytes
            if room:
                self._full = False
        if room:
            self._when_room()
        return taken

"""What has come and is not taken yet: bounded, so that the broker holds the rest when the store is slow."""

import threading
import time
from collections import deque
from collections.abc import Callable

from iot_stream.ingest.packets import Received


class Inbox:
    """Full at `most_messages` or `most_bytes`; `when_room` is called once it is half empty again."""

    def __init__(self, most_messages: int, most_bytes: int, when_room: Callable[[], None]) -> None:
        self._most_messages, self._most_bytes = most_messages, most_bytes
        self._when_room = when_room
        self._reads: deque[list[Received]] = deque()  # what one read of the socket brought, each
        self._messages = self._bytes = 0
        self._wanted = 1
        self._full = False
        self._changed = threading.Condition()

    @property
    def has_room(self) -> bool:
        return not self._full

    def put(self, messages: list[Received]) -> bool:
        """Takes them all; False where it is full by now, and no more should come."""
        with self._changed:
            self._reads.append(messages)
            self._messages += len(messages)
            self._bytes += _size(messages)
            self._full = self._messages >= self._most_messages or self._bytes >= self._most_bytes
            if self._messages >= self._wanted or self._full:
                self._changed.notify()
            return not self._full

    def take(self, most: int, wait_s: float, enough: int = 0) -> list[Received]:
        """Up to `most` messages: what comes within `wait_s` of the call, or until there are `enough`."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            self._wanted = enough or most
            while self._messages < self._wanted and not self._full:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            taken: list[Received] = []
            while self._reads and len(taken) < most:
                read = self._reads.popleft()
                if (room := most - len(taken)) < len(read):
                    self._reads.appendleft(read[room:])
                    read = read[:room]
                taken += read
            self._messages -= len(taken)
            self._bytes -= _size(taken)
            room_again = self._full and 2 * self._messages <= self._most_messages
            room_again = room_again and 2 * self._bytes <= self._most_bytes
            if room_again:
                self._full = False
        if room_again:
            self._when_room()
        return taken


def _size(messages: list[Received]) -> int:
    return sum([len(message.payload) for message in messages])

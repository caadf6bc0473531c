"""A line to the broker that now and then sends twice, or lets a message be overtaken."""

import random
from collections.abc import Callable

from iot_stream.device.outbox import Sent

Send = Callable[[str, bytes], Sent]


class _Later:
    """A message that is still held back."""

    def __init__(self, topic: str, payload: bytes) -> None:
        self.topic, self.payload = topic, payload
        self.sent: Sent | None = None

    def is_published(self) -> bool:
        return self.sent is not None and self.sent.is_published()


class FaultyLine:
    def __init__(self, send: Send, duplicates: float, reordering: float, rng: random.Random) -> None:
        self._send = send
        self._duplicates, self._reordering, self._rng = duplicates, reordering, rng
        self._held: _Later | None = None

    def publish(self, topic: str, payload: bytes) -> list[Sent]:
        """Send now, or after the next one; the results tell when the message has arrived."""
        if self._held is None and self._rng.random() < self._reordering:
            self._held = _Later(topic, payload)
            return [self._held]
        sent = [self._send(topic, payload)]
        if self._rng.random() < self._duplicates:
            sent.append(self._send(topic, payload))
        self.flush()
        return sent

    def flush(self) -> None:
        """Send what is held back."""
        if self._held is not None:
            self._held.sent = self._send(self._held.topic, self._held.payload)
            self._held = None

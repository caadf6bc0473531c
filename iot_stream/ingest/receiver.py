"""From the broker to a bounded queue. When the store is slow the queue fills, the network thread
waits, and the broker holds what is to come: nothing is dropped, nothing grows without end."""

import queue
import threading
import time

from iot_stream.config import Address
from iot_stream.mqtt import RECEIVE_MAXIMUM, Connection, Message
from iot_stream.presence import Presence


class Receiver:
    def __init__(self, address: Address, client_id: str, patterns: list[str], presence: Presence) -> None:
        self._patterns = patterns
        self._presence = presence
        self._queue: queue.Queue[Message] = queue.Queue(2 * RECEIVE_MAXIMUM)
        self._stopping = threading.Event()
        self.connection = Connection(
            address,
            client_id,
            self._put,
            will=presence.will,
            on_connect=lambda: presence.say_online(self.connection),
            durable=True,
            manual_ack=True,
        )

    def start(self) -> None:
        for pattern in self._patterns:
            self.connection.subscribe(pattern)
        self.connection.start()

    def _put(self, message: Message) -> None:
        while not self._stopping.is_set():
            try:
                self._queue.put(message, timeout=0.5)
            except queue.Full:
                continue
            return

    def take(self, most: int, wait_s: float) -> list[Message]:
        """Up to `most` messages: what comes within `wait_s` of the call."""
        batch: list[Message] = []
        deadline = time.monotonic() + wait_s
        while len(batch) < most:
            left = deadline - time.monotonic()
            try:
                batch.append(self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def stop(self) -> None:
        self._stopping.set()
        self._presence.say_offline(self.connection)
        self.connection.stop()

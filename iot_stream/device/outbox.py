"""What a device has to say goes out in order, whether or not the broker is there to hear it.

While there is a connection, messages go straight to it, and nothing is written. What it has not acknowledged
when it is lost, and all that comes after, goes to disk; when it is back, the disk goes out first. A message
leaves the disk once the broker has it, so after a crash some go out twice: readings are numbered, and the
service keeps each once.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from iot_stream.device.spool import Spool
from iot_stream.errors import BrokerError

log = logging.getLogger(__name__)

IN_FLIGHT, BYTES = 1000, 1_000_000  # messages without an acknowledgement; more wait on disk
PATIENCE_S = 5.0  # a connection that acknowledges nothing for so long may be dead, though nobody said so
TICK_S = 1.0  # how soon it sees that the connection went or came, and how much a power cut may take
DRAIN_S = 0.01


class Sent(Protocol):
    """What a publication knows of itself."""

    def is_published(self) -> bool: ...


class Line(Protocol):
    """The connection."""

    @property
    def connected(self) -> bool: ...

    def publish(self, topic: str, payload: bytes) -> Sent:
        """Keeps it until it is acknowledged, over reconnections too; raises BrokerError."""
        ...


@dataclass(slots=True)
class _Flight:
    """`file`: the spool's that has it, 0 for none: then topic and payload are what to write if it comes to
    that. `size` in bytes."""

    sent: Sent
    topic: str
    payload: bytes
    size: int
    file: int = 0
    since: float = field(default_factory=time.monotonic)


class Outbox:
    """`limit`: bytes on disk; 0: nothing is written, and what the connection keeps is lost with the process.
    `name` is of its thread. Nothing happens before `start`."""

    def __init__(self, folder: Path, limit: int, line: Line, name: str) -> None:
        self._line, self._name = line, name
        self._spool = Spool(folder, limit) if limit else None
        self._flying: deque[_Flight] = deque()  # oldest first
        self._bytes = 0  # of those
        self._lock = threading.Lock()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._idle = False  # the thread sleeps until it is woken
        self._disk_failed = False
        self._worker = threading.Thread(target=self._work, name=f"{name}-outbox", daemon=True)

    def start(self) -> None:
        if self._spool:
            self._worker.start()

    def stop(self) -> None:
        """After the connection's end: what it did not acknowledge is on disk when this returns."""
        self._stopping.set()
        self._wake.set()
        if self._worker.is_alive():
            self._worker.join(10)
        if self._spool:
            with self._lock:
                self._settle()
                self._save(self._spool)
                self._spool.close()

    def put(self, topic: str, payload: bytes) -> None:
        """Raises BrokerError for what the broker, or the outbox, will never take."""
        if self._spool is None:
            self._line.publish(topic, payload)
            return
        with self._lock:
            self._settle()
            if self._line.connected and self._may_fly() and not self._spool.waiting:
                self._fly(topic, payload)
            else:
                self._save(self._spool)
                self._write(self._spool, topic, payload)
            if self._idle:
                self._idle = False
                self._wake.set()

    def _work(self) -> None:
        assert self._spool is not None
        while not self._stopping.is_set():
            if self._line.connected:
                while self._send_next(self._spool):
                    pass
            with self._lock:
                pause = self._look(self._spool)
            self._wake.wait(pause)
            self._wake.clear()

    def _look(self, spool: Spool) -> float | None:
        """Seconds until there is something to do again; None: not before `put`."""
        self._settle()
        spool.forget(min((flight.file for flight in self._flying if flight.file), default=float("inf")))
        connected = self._line.connected
        if not connected or self._overdue():
            self._save(spool)
        self._sync(spool)
        if spool.waiting and connected:
            return DRAIN_S
        self._idle = not self._flying and not spool.waiting
        return None if self._idle else TICK_S

    def _send_next(self, spool: Spool) -> bool:
        """The oldest on disk goes out; False if there is none, or enough is in flight."""
        with self._lock:
            self._settle()
            if not self._may_fly() or (found := spool.next()) is None:
                return False
            number, record = found
            topic, _, payload = record.partition(b"\0")
            try:
                self._fly(topic.decode(), payload, number)
            except BrokerError as error:
                log.warning("%s: left out, the broker will never take it: %s", self._name, error)
            return True

    def _settle(self) -> None:
        """What has been acknowledged is done with."""
        while self._flying and self._flying[0].sent.is_published():
            self._bytes -= self._flying.popleft().size

    def _may_fly(self) -> bool:
        return len(self._flying) < IN_FLIGHT and self._bytes < BYTES

    def _fly(self, topic: str, payload: bytes, file: int = 0) -> None:
        sent = self._line.publish(topic, payload)
        self._bytes += len(payload)
        self._flying.append(_Flight(sent, topic, b"" if file else payload, len(payload), file))

    def _overdue(self) -> bool:
        return bool(self._flying) and time.monotonic() - self._flying[0].since > PATIENCE_S

    def _save(self, spool: Spool) -> None:
        """What is in memory alone goes to disk too. The connection still has it, and sends it itself if it
        comes back: so it counts as read there, and is for the next process only."""
        alone = [flight for flight in self._flying if not flight.file]
        if not alone or spool.waiting:
            return
        for flight in alone:
            try:
                flight.file, flight.payload = self._append(spool, flight.topic, flight.payload), b""
            except ValueError:  # too large, and going out as it is
                continue
            except OSError as error:
                self._say_failed(error)
                break
        spool.pass_all()

    def _sync(self, spool: Spool) -> None:
        try:
            spool.sync()
        except OSError as error:
            self._say_failed(error)

    def _write(self, spool: Spool, topic: str, payload: bytes) -> None:
        try:
            self._append(spool, topic, payload)
        except ValueError as error:
            raise BrokerError(f"{topic}: {error}; give `outbox` more, or send less at once") from error
        except OSError as error:
            self._say_failed(error)
            self._fly(topic, payload)

    def _append(self, spool: Spool, topic: str, payload: bytes) -> int:
        before = spool.lost
        number = spool.append(topic.encode() + b"\0" + payload)
        self._disk_failed = False
        if spool.lost > before:
            log.warning("%s: outbox full, %d messages lost, the oldest", self._name, spool.lost)
        return number

    def _say_failed(self, error: Exception) -> None:
        if not self._disk_failed:
            self._disk_failed = True
            log.warning("%s: outbox not written, in memory until it can be: %s", self._name, error)

"""What the simulator knows to be true: every block that the broker acknowledged, its class, each drift.

The ledger never goes through the service; summaries and tests hold the store against it.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from iot_stream.device.outbox import Sent
from iot_stream.errors import BrokerError


class BlockRecord(msgspec.Struct, array_like=True):
    """Readings `seq` … `seq + n − 1` of a boot; device time of the first and last; class, −1 if unknown."""

    device: str
    source: int
    boot: str
    seq: int
    n: int
    first: int
    last: int
    label: int


class DriftRecord(msgspec.Struct):
    """Wall time and device time of the first drifted reading."""

    device: str
    name: str
    wall: int
    time: int


class Ledger(msgspec.Struct):
    blocks: list[BlockRecord]
    drifts: list[DriftRecord]
    unacknowledged: int
    bytes_up: int
    bytes_down: dict[str, int]
    started: int
    ended: int

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part")
        scratch.write_bytes(msgspec.json.encode(self))
        scratch.rename(path)


@dataclass
class Bookkeeper:
    """Fills a ledger while the fleet runs."""

    started: int
    blocks: list[BlockRecord] = field(default_factory=list)
    drifts: list[DriftRecord] = field(default_factory=list)
    bytes_up: int = 0
    bytes_down: dict[str, int] = field(default_factory=dict)
    _open: list[tuple[BlockRecord, list[Sent]]] = field(default_factory=list)
    _settle_at: int = 1000

    def sent(self, record: BlockRecord, handles: list[Sent]) -> None:
        self._open.append((record, handles))
        if len(self._open) > self._settle_at:
            self._settle()
            self._settle_at = 1000 + 2 * len(self._open)

    def _settle(self) -> None:
        waiting = []
        for record, handles in self._open:
            if any(handle.is_published() for handle in handles):
                self.blocks.append(record)
            else:
                waiting.append((record, handles))
        self._open = waiting

    def close(self, ended: int, patience_s: float = 30) -> Ledger:
        """Waits for what is not acknowledged yet; raises BrokerError if nothing at all was."""
        deadline = time.monotonic() + patience_s
        self._settle()
        while self._open and time.monotonic() < deadline:
            time.sleep(0.05)
            self._settle()
        if self._open and not self.blocks:
            raise BrokerError("the broker acknowledged nothing; is it still running?")
        self.blocks.sort(key=lambda b: (b.device, b.source, b.boot, b.seq))
        return Ledger(
            self.blocks, self.drifts, len(self._open), self.bytes_up, self.bytes_down, self.started, ended
        )

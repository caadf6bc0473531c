"""What was wrong with what came: counted by reason and device, and a sample kept for a person to look at."""

from collections.abc import Iterable
from typing import NamedTuple

from iot_stream.store.base import Database, Transaction

QUARANTINE_ROWS = 1000
QUARANTINE_BYTES = 65_536


class Quarantined(NamedTuple):
    """A message that could not be used; `payload` its first bytes, of `size`."""

    id: int
    at: int
    device: str
    topic: str
    reason: str
    detail: str
    size: int
    payload: bytes

    @property
    def whole(self) -> bool:
        return len(self.payload) == self.size


class Faults:
    def __init__(self, store: Database) -> None:
        self._store = store

    def count(self, tx: Transaction, pipeline: str, device: str, reason: str, n: int = 1) -> None:
        tx.execute(
            "INSERT INTO counters VALUES (?,?,?,?)"
            " ON CONFLICT (pipeline, device, reason) DO UPDATE SET n = counters.n + excluded.n",
            (pipeline, device, reason, n),
        )

    def counters(self, pipeline: str) -> list[tuple[str, str, int]]:
        return self._store.read(
            "SELECT device, reason, n FROM counters WHERE pipeline = ? ORDER BY device, reason", pipeline
        )

    def quarantine(
        self,
        tx: Transaction,
        at: int,
        pipeline: str,
        device: str,
        topic: str,
        reason: str,
        detail: str,
        payload: bytes,
    ) -> None:
        """Keeps the newest messages that could not be used, for a person to look at."""
        added = tx.execute(
            "INSERT INTO quarantine (at, pipeline, device, topic, reason, detail, payload, size)"
            " VALUES (?,?,?,?,?,?,?,?) RETURNING id",
            (at, pipeline, device, topic, reason, detail[:500], payload[:QUARANTINE_BYTES], len(payload)),
        ).fetchone()
        tx.execute("DELETE FROM quarantine WHERE id <= ?", (added[0] - QUARANTINE_ROWS,))

    def quarantined(
        self, pipeline: str, *, ids: Iterable[int] = (), device: str = "", reason: str = ""
    ) -> list[Quarantined]:
        """Oldest first; of these ids, this device, this reason, where they are given."""
        rows = self._store.read(
            "SELECT id, at, device, topic, reason, detail, size, payload FROM quarantine"
            " WHERE pipeline = ? AND ? IN ('', device) AND ? IN ('', reason) ORDER BY id",
            pipeline,
            device,
            reason,
        )
        wanted = set(ids)
        return [found for row in rows if (found := Quarantined(*row)).id in wanted or not wanted]

    def kept(self, pipeline: str) -> set[tuple[str, str]]:
        """(device, reason) of what is in quarantine."""
        query = "SELECT DISTINCT device, reason FROM quarantine WHERE pipeline = ?"
        return {(device, reason) for device, reason in self._store.read(query, pipeline)}

    def drop_quarantined(self, tx: Transaction, ids: Iterable[int]) -> None:
        tx.executemany("DELETE FROM quarantine WHERE id = ?", [(each,) for each in ids])

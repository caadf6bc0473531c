"""What may be learnt from: not incidents that a person took out, nor a sensor that has been replaced, nor a
device that is held."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import wall
from iot_stream.readings import Times
from iot_stream.store.base import Database, Transaction


class Exclusion(NamedTuple):
    """`device` is not learnt from between `start` and `end` (ns, inclusive); "" is every device."""

    id: int
    device: str
    start: int
    end: int
    reason: str
    who: str
    at: int


class Held(NamedTuple):
    """What `device` says from `since` (ns) on is scored, but not learnt from; "" is every device."""

    device: str
    since: int
    reason: str
    who: str
    at: int


class Scope:
    def __init__(self, store: Database) -> None:
        self._store = store

    def exclude(self, who: str, pipeline: str, device: str, start: int, end: int, reason: str) -> int:
        """The number under which it can be removed again."""
        with self._store.write() as tx:
            added = tx.execute(
                'INSERT INTO exclusions (at, who, pipeline, device, start, "end", reason)'
                " VALUES (?,?,?,?,?,?,?) RETURNING id",
                (wall(), who, pipeline, device, start, end, reason),
            ).fetchone()
        return int(added[0])

    def exclusions(self, pipeline: str) -> list[Exclusion]:
        rows = self._store.read(
            'SELECT id, device, start, "end", reason, who, at FROM exclusions WHERE pipeline = ? ORDER BY id',
            pipeline,
        )
        return [Exclusion(*row) for row in rows]

    def remove(self, pipeline: str, number: int) -> bool:
        """False if there is none of this number."""
        with self._store.write() as tx:
            cursor = tx.execute("DELETE FROM exclusions WHERE id = ? AND pipeline = ?", (number, pipeline))
        return cursor.rowcount > 0

    def replace(self, who: str, pipeline: str, device: str, since: int) -> None:
        """From `since` (ns) on the device's name stands for another sensor."""
        with self._store.write() as tx:
            tx.execute(
                "INSERT INTO replacements (pipeline, device, since, at, who) VALUES (?,?,?,?,?)"
                " ON CONFLICT DO NOTHING",
                (pipeline, device, since, wall(), who),
            )
            self._end_hold(tx, pipeline, device, since)

    def replacements(self, pipeline: str) -> dict[str, list[int]]:
        """Device → since when (ns), rising."""
        found: dict[str, list[int]] = {}
        query = "SELECT device, since FROM replacements WHERE pipeline = ? ORDER BY since"
        for device, since in self._store.read(query, pipeline):
            found.setdefault(device, []).append(since)
        return found

    def hold(self, who: str, pipeline: str, device: str, since: int, reason: str) -> bool:
        """From `since` (ns) on; False if it is held already."""
        with self._store.write() as tx:
            cursor = tx.execute(
                "INSERT INTO holds (at, who, pipeline, device, since, reason) SELECT ?,?,?,?,?,?"
                " WHERE NOT EXISTS (SELECT 1 FROM holds"
                ' WHERE pipeline = ? AND device = ? AND "until" IS NULL)',
                (wall(), who, pipeline, device, since, reason, pipeline, device),
            )
        return cursor.rowcount > 0

    def resume(self, pipeline: str, device: str, now: int) -> bool:
        """Learn from it again, also from what it has said since it was held; False if it was not.

        What it has said until `now` (ns on the pipeline's clock) counts as what it is like.
        """
        with self._store.write() as tx:
            return self._end_hold(tx, pipeline, device, now)

    def _end_hold(self, tx: Transaction, pipeline: str, device: str, until: int) -> bool:
        cursor = tx.execute(
            'UPDATE holds SET "until" = ? WHERE pipeline = ? AND device = ? AND "until" IS NULL',
            (until, pipeline, device),
        )
        return cursor.rowcount > 0

    def holds(self, pipeline: str) -> list[Held]:
        """Those that last."""
        query = (
            "SELECT device, since, reason, who, at FROM holds"
            ' WHERE pipeline = ? AND "until" IS NULL ORDER BY device'
        )
        return [Held(*row) for row in self._store.read(query, pipeline)]

    def accepted(self, pipeline: str) -> dict[str, int]:
        """Device → until when (ns) a person has said that it is fine."""
        query = (
            'SELECT device, max("until") FROM holds WHERE pipeline = ?'
            ' AND "until" IS NOT NULL GROUP BY device'
        )
        return dict(self._store.read(query, pipeline))

    def allowed(
        self, pipeline: str, devices: NDArray[np.str_], starts: Times, ends: Times
    ) -> NDArray[np.bool_]:
        """Of windows (n,), those that touch no excluded time, are of the sensor that is there now, and of no
        device that is held."""
        keep = np.ones(len(ends), bool)
        for each in self.exclusions(pipeline):
            theirs = devices == each.device if each.device else np.ones(len(ends), bool)
            keep &= ~(theirs & (starts <= each.end) & (ends >= each.start))
        for device, since in self.replacements(pipeline).items():
            keep &= ~((devices == device) & (starts < since[-1]))
        for held in self.holds(pipeline):
            keep &= ~((devices == held.device) | (held.device == "")) | (ends < held.since)
        return keep

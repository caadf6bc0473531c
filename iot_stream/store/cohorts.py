"""Which devices share a student: what is known of each by name, and who is in which cohort since when."""

from collections.abc import Mapping
from typing import NamedTuple

from iot_stream.clock import wall
from iot_stream.store.base import Database, Transaction

COLLECTOR = "collector"


class Assignment(NamedTuple):
    """`device` follows the cohort's student from `at` (wall time, ns) on, until the next of a higher `id`."""

    id: int
    at: int
    device: str
    cohort: str
    reason: str


class Cohorts:
    def __init__(self, store: Database) -> None:
        self._store = store

    def tag(
        self, tx: Transaction, pipeline: str, device: str, tags: Mapping[str, str], who: str = COLLECTOR
    ) -> None:
        """Names and values of a device; what a person has said stands over what a topic says."""
        tx.executemany(
            "INSERT INTO tags VALUES (?,?,?,?,?) ON CONFLICT (pipeline, device, name) DO UPDATE SET"
            " value = excluded.value, who = excluded.who WHERE excluded.who <> ? OR tags.who = ?",
            [(pipeline, device, name, value, who, COLLECTOR, COLLECTOR) for name, value in tags.items()],
        )

    def tags(self, pipeline: str, name: str) -> dict[str, str]:
        """Device → value of the tag of this name."""
        query = "SELECT device, value FROM tags WHERE pipeline = ? AND name = ? ORDER BY device"
        return dict(self._store.read(query, pipeline, name))

    def assign(self, tx: Transaction, pipeline: str, cohorts: Mapping[str, str], reason: str) -> None:
        """Device → cohort, of those that change."""
        tx.executemany(
            "INSERT INTO cohorts (at, pipeline, device, cohort, reason) VALUES (?,?,?,?,?)",
            [(wall(), pipeline, device, cohort, reason) for device, cohort in cohorts.items()],
        )

    def assignments(self, pipeline: str, after: int = 0) -> list[Assignment]:
        """In order of id."""
        query = "SELECT id, at, device, cohort, reason FROM cohorts WHERE pipeline = ? AND id > ? ORDER BY id"
        return [Assignment(*row) for row in self._store.read(query, pipeline, after)]

    def members(self, pipeline: str) -> dict[str, str]:
        """Device → cohort, of those that were ever assigned one."""
        return {each.device: each.cohort for each in self.assignments(pipeline)}

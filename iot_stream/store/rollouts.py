"""How far each version has come that goes out in stages, and who or what decided it, and why."""

from typing import NamedTuple

from iot_stream.clock import wall
from iot_stream.store.base import Database, Transaction

RUNNING, PAUSED, DONE, ABORTED, SUPERSEDED = "running", "paused", "done", "aborted", "superseded"


class Rollout(NamedTuple):
    """`stage`: index of the stage that it is in, `since` (wall time, ns), `stream_since` on the pipeline's
    clock."""

    cohort: str
    version: int
    state: str
    stage: int
    since: int
    stream_since: int

    @property
    def under_way(self) -> bool:
        return self.state in (RUNNING, PAUSED)


class Decision(NamedTuple):
    at: int
    cohort: str
    version: int
    who: str
    what: str
    why: str


class Rollouts:
    def __init__(self, store: Database) -> None:
        self._store = store

    def of(self, pipeline: str, cohort: str | None = None) -> list[Rollout]:
        """Of one cohort or all, in order of version."""
        rows = self._store.read(
            "SELECT cohort, version, state, stage, since, stream_since FROM rollouts"
            " WHERE pipeline = ? AND cohort = coalesce(?, cohort) ORDER BY cohort, version",
            pipeline,
            cohort,
        )
        return [Rollout(*row) for row in rows]

    def last(self, pipeline: str, cohort: str) -> Rollout | None:
        found = self.of(pipeline, cohort)
        return found[-1] if found else None

    def save(self, tx: Transaction, pipeline: str, rollout: Rollout, who: str, what: str, why: str) -> None:
        """Where it stands now, and the decision that brought it there: both or neither."""
        tx.execute(
            "INSERT INTO rollouts VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT (pipeline, cohort, version) DO UPDATE SET state = excluded.state,"
            " stage = excluded.stage, since = excluded.since, stream_since = excluded.stream_since",
            (pipeline, *rollout),
        )
        self.decide(tx, pipeline, rollout.cohort, rollout.version, who, what, why)

    def decide(
        self, tx: Transaction, pipeline: str, cohort: str, version: int, who: str, what: str, why: str
    ) -> None:
        """A decision that moves no rollout."""
        tx.execute(
            "INSERT INTO decisions (at, pipeline, cohort, version, who, what, why) VALUES (?,?,?,?,?,?,?)",
            (wall(), pipeline, cohort, version, who, what, why),
        )

    def decisions(self, pipeline: str) -> list[Decision]:
        """In order of time."""
        rows = self._store.read(
            "SELECT at, cohort, version, who, what, why FROM decisions WHERE pipeline = ? ORDER BY id",
            pipeline,
        )
        return [Decision(*row) for row in rows]

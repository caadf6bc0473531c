"""Rounds: what started each, how far it is, what the gate said, what it cost and changed."""

from collections.abc import Sequence
from statistics import median

import msgspec

from iot_stream.clock import SECOND, wall
from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError
from iot_stream.store import Store
from iot_stream.store.doubts import JUDGED
from iot_stream.store.inspection import RoundRow
from iot_stream.watch.dashboard.progress import Progress, Step
from iot_stream.watch.dashboard.views.asked import Query, number, seconds

PAGE = 50
FRESH_S = 60  # after which what was said before a round to come is of no news
LIKE_THESE = 9  # rounds before, by whose time one that runs is estimated


class Gate(msgspec.Struct, frozen=True):
    """As `release.gate.Verdict` reports it; a version that no round made has a reason alone."""

    outcome: str = ""
    reason: str = ""
    basis: str = ""
    windows: int = 0
    candidate: float = 0.0
    running: float = 0.0
    gain: float = 0.0
    lower: float = 0.0


class Cost(msgspec.Struct, frozen=True):
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class Outline(msgspec.Struct, frozen=True):
    """What a list shows of a report; `running`: the version that was to be bettered."""

    gate: Gate = Gate()
    cost: Cost = Cost()
    version: int = 0
    running: int = 0
    error: str = ""


_OUTLINES = msgspec.json.Decoder(Outline)  # made once: threads that do so at the same time crash msgspec


class Trained(msgspec.Struct, frozen=True):
    """What stands in the report of a version that no round made: what its training took before."""

    teacher: Cost = Cost()
    first_student: Cost = Cost()


_TRAINED = msgspec.json.Decoder(Trained)  # made once: threads that do so at the same time crash msgspec


class Line(msgspec.Struct):
    """A round of the list. Times in seconds since 1970; `took_s` None while it runs."""

    id: str
    cohort: str
    trigger: str
    started: float
    ended: float | None
    took_s: float | None
    outcome: str
    outline: Outline


class Rounds(msgspec.Struct):
    """`older`: there are more. `running`: how far those are that run. `usual_s`: how long rounds took of
    late, None before the first. `preparing`: what the distiller says of what it does before a round.
    `paused`: why nothing is learnt, `doubts`: why the teacher is held."""

    now: float
    rounds: list[Line]
    older: bool
    running: dict[str, list[Step]]
    usual_s: float | None
    preparing: list[Step]
    paused: str
    doubts: list[str]


class Whole(msgspec.Struct):
    """One round; `report` as the distiller wrote it, `delta` the gate's, as it is configured now."""

    now: float
    round: Line
    report: msgspec.Raw
    steps: list[Step]
    usual_s: float | None
    delta: float


class View:
    """Of one pipeline; `progress`: of all of them."""

    def __init__(self, store: Store, name: str, pipeline: Pipeline, progress: Progress) -> None:
        self._store, self._name, self._progress = store, name, progress
        self._delta = pipeline.gate.delta

    def view(self, query: Query) -> Rounds | Whole:
        """`id`: one round; else the list, of a `cohort`, of what began `before` (seconds). Raises
        ConfigError."""
        return self._one(query["id"]) if "id" in query else self._list(query)

    def _list(self, query: Query) -> Rounds:
        before = int(number(query, "before", 2**62 / SECOND) * SECOND)
        rows = self._store.inspection.rounds(
            self._name, PAGE + 1, before=before, cohort=query.get("cohort") or None
        )
        page, scope, doubts = rows[:PAGE], self._store.scope, self._store.doubts
        return Rounds(
            now=seconds(wall()),
            rounds=[_line(row) for row in page],
            older=len(rows) > PAGE,
            running={row.id: self._progress.of(self._name, row.id) for row in page if row.ended is None},
            usual_s=_usual(page),
            preparing=self.preparing(page),
            paused=next((held.reason for held in scope.holds(self._name) if not held.device), ""),
            doubts=[f"{each.reason} (cohort {each.cohort})" for each in doubts.standing(self._name)],
        )

    def preparing(self, page: Sequence[RoundRow] = ()) -> list[Step]:
        """Under the name of a round to come, that has no row yet: teacher and first student are trained."""
        name, steps = self._progress.newest(self._name)
        if not steps or self._store.inspection.round(self._name, name):
            return []
        fresh = wall() / SECOND - steps[-1].at < FRESH_S
        return steps if fresh or not page else []

    def _one(self, name: str) -> Whole:
        row = self._store.inspection.round(self._name, name)
        if row is None:
            raise ConfigError(f"{self._name} has no round {name!r}; the list of rounds shows all")
        before = self._store.inspection.rounds(self._name, LIKE_THESE, before=row.started, cohort=row.cohort)
        return Whole(
            now=seconds(wall()),
            round=_line(row),
            report=msgspec.Raw(row.report.encode()),
            steps=self._progress.of(self._name, row.id),
            usual_s=_usual(before),
            delta=self._delta,
        )


def _line(row: RoundRow) -> Line:
    return Line(
        row.id,
        row.cohort,
        row.trigger,
        seconds(row.started),
        None if row.ended is None else seconds(row.ended),
        _took(row),
        row.outcome,
        outline(row.report),
    )


def _took(row: RoundRow) -> float | None:
    """The first version is written down at once, when teacher and student have been trained."""
    if row.ended is None:
        return None
    took = (row.ended - row.started) / SECOND
    if row.trigger != "bootstrap":
        return took
    trained = _TRAINED.decode(row.report)
    return took + trained.teacher.seconds + trained.first_student.seconds


def outline(report: str) -> Outline:
    return _OUTLINES.decode(report)


def _usual(rows: Sequence[RoundRow]) -> float | None:
    judged = (row for row in rows if row.outcome in JUDGED and row.trigger != "bootstrap")
    took = [row.ended - row.started for row in judged if row.ended is not None]
    return median(took[:LIKE_THESE]) / SECOND if took else None

"""A cohort, live: what starts its rounds, what they start from, what came of them."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from iot_stream.distill import drift
from iot_stream.distill.material import Material
from iot_stream.distill.outliers import Found
from iot_stream.distill.student import Packed
from iot_stream.errors import ModelError
from iot_stream.readings import Times, Values
from iot_stream.service import versions
from iot_stream.service.chronicle import Chronicle
from iot_stream.service.learning import Prepared
from iot_stream.service.round import Result, Round
from iot_stream.service.triggers import Trigger
from iot_stream.store.registry import Round as Row

LATEST = 2**63 - 1


class Cohort:
    """`scored`: windows of its devices that the teacher has spoken on, as others count them."""

    def __init__(self, chronicle: Chronicle, prepared: Prepared) -> None:
        self.chronicle, self._prepared, self.scored = chronicle, prepared, 0
        self._known: dict[str, int] = {}  # device → end of the newest of its windows that a round knew
        self.trigger = Trigger.of(prepared.learner.pipeline, 0, 0, prepared.learner.bootstrap.x)

    def go_on(self, learnt: Material) -> None:
        """Where the trigger stood when the last process ended; `scored` is what it was then. `learnt`: those
        of the windows that taught the first version, and are no reason for a round."""
        rounds, learner = self.chronicle.rounds, self._prepared.learner
        last = rounds[-1].stream_started if rounds else 0
        seen = self.scored if last else len(learnt)
        if not last:
            self._knows(learnt)
        self.trigger = Trigger.of(learner.pipeline, last, seen, learner.bootstrap.x)
        for before in rounds:
            if cost := before.report.get("cost"):
                self.trigger.spent(before.stream_started, cost["cpu_seconds"])

    @property
    def name(self) -> str:
        return self.chronicle.cohort

    def first(self, why: str, packed: Packed) -> None:
        """Releases a version that no round has made."""
        report = self._prepared.report | {"gate": {"reason": why}}
        row = self.chronicle.row("bootstrap", 0)
        self.chronicle.finish(row, "released", report, self._prepared.teacher.key, packed)

    def begin(self, reason: str, now: int, material: Material) -> "Begun | None":
        """A round on `material`, of its own devices; None where it failed at once, which is written down."""
        since = self._since(material)
        self._knows(material)
        self.trigger.started(now, self.scored)
        row = self.chronicle.begin(reason, now)
        running = self.chronicle.newest
        assert running is not None, "the bootstrap has released one"
        learner = self._prepared.learner
        try:
            round_ = Round(
                learner,
                versions.packed_version(self.chronicle.store, running),
                material,
                since,
                now,
                learner.seed(len(self.chronicle.rounds) - 1),
                partial(self.chronicle.progress, row.id),
                self.chronicle.past(running),
                self.chronicle.cleared,
            )
        except ModelError as error:
            self.fail(row, error)
            return None
        return Begun(self, row, round_, material, running.version)

    def _since(self, material: Material) -> Times:
        """For each window up to when the last round, or the first version, knew its device: what ended before
        that round and was spoken of after it, as by a teacher whose words come late, is new all the same."""
        last = self.trigger.last_round
        bound = last or LATEST
        otherwise = min(bound, max(self._known.values(), default=last))
        names, place = np.unique(material.devices, return_inverse=True)
        ends = [min(bound, self._known.get(name, otherwise)) for name in names.tolist()]
        return np.array(ends, np.int64)[place]

    def _knows(self, material: Material) -> None:
        names, place = np.unique(material.devices, return_inverse=True)
        newest = np.zeros(len(names), np.int64)
        np.maximum.at(newest, place, material.ends)
        self._known |= dict(zip(names.tolist(), newest.tolist(), strict=True))

    def fail(self, row: Row, error: ModelError) -> str:
        self.chronicle.finish(row, "failed", {"error": str(error)}, self._prepared.teacher.key, None)
        return f"{row.id}: failed, {error}"

    def end(self, begun: "Begun", result: Result | ModelError, found: Found, excluded: int) -> str:
        if isinstance(result, ModelError):
            return self.fail(begun.row, result)
        verdict, row = result.verdict, begun.row
        self.chronicle.tell("gated", row.id, detail=f"{verdict.outcome}: {verdict.reason}")
        outcome = "released" if verdict.passed else verdict.outcome
        report = result.report | {
            "trigger": row.trigger,
            "running": begun.running,
            "excluded": excluded,
        }
        self.trigger.spent(row.stream_started, result.report["cost"]["cpu_seconds"])
        released, rejected = (result.candidate, None) if verdict.passed else (None, result.candidate)
        if verdict.passed:
            self.trigger.released(self._reference(begun.material))
        self.chronicle.finish(
            row, outcome, report | found.report(), self._prepared.teacher.key, released, rejected
        )
        return f"{row.id}: {outcome}, {verdict.reason}"

    def _reference(self, material: Material) -> Values:
        return drift.reference(material, self._prepared.learner.pipeline.sample)


@dataclass(frozen=True)
class Begun:
    """A cohort's round under way; `running` is the version that it starts from."""

    cohort: Cohort
    row: Row
    round: Round
    material: Material
    running: int

"""A cohort, live: what starts its rounds, what they start from, what came of them."""

from dataclasses import dataclass
from functools import partial

from iot_stream.distill import drift
from iot_stream.distill.material import Material
from iot_stream.distill.outliers import Found
from iot_stream.distill.student import Packed
from iot_stream.errors import ModelError
from iot_stream.readings import Values
from iot_stream.service import versions
from iot_stream.service.chronicle import Chronicle
from iot_stream.service.learning import Prepared
from iot_stream.service.news import News
from iot_stream.service.round import Result, Round
from iot_stream.service.triggers import Trigger
from iot_stream.store.registry import Round as Row


class Cohort:
    """`scored`: windows of its devices that the teacher has spoken on, as others count them."""

    def __init__(self, chronicle: Chronicle, prepared: Prepared) -> None:
        self.chronicle, self._prepared, self.scored = chronicle, prepared, 0
        self._news = News(0)
        self.trigger = Trigger.of(prepared.learner.pipeline, 0, 0, prepared.learner.bootstrap.x)

    def go_on(self, learnt: Material) -> None:
        """Where the trigger stood when the last process ended; `scored` is what it was then. `learnt`: those
        of the windows that taught the first version, and are no reason for a round."""
        rounds, learner = self.chronicle.rounds, self._prepared.learner
        last = rounds[-1].stream_started if rounds else 0
        seen = self.scored if last else len(learnt)
        self._news = News(last) if last else News(0).after(learnt, 0)
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
        before, self._news = self._news, self._news.after(material, now)
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
                before.since(material),
                now,
                learner.seed(len(self.chronicle.rounds) - 1),
                partial(self.chronicle.progress, row.id),
                self.chronicle.past(running),
                self.chronicle.cleared,
            )
        except ModelError as error:
            self.fail(row, error)
            return None
        return Begun(self, row, round_, material, running.version, before)

    def fail(self, row: Row, error: ModelError) -> str:
        self.chronicle.finish(row, "failed", {"error": str(error)}, self._prepared.teacher.key, None)
        return f"{row.id}: failed, {error}"

    def end(self, begun: "Begun", result: Result | ModelError, found: Found, excluded: int) -> str:
        if isinstance(result, ModelError):
            return self.fail(begun.row, result)
        verdict, row = result.verdict, begun.row
        if not verdict.enough:
            self._news = begun.before  # it is to judge in the next one, with what comes until then
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
    """A cohort's round under way; `running` is the version that it starts from, `before` what was known
    then."""

    cohort: Cohort
    row: Row
    round: Round
    material: Material
    running: int
    before: News

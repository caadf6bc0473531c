"""The rounds of a pipeline, live: data from the store, events on the broker, versions into the registry."""

import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

from iot_stream import topics
from iot_stream.clock import wall
from iot_stream.config import Config, Pipeline
from iot_stream.distill import drift, outliers
from iot_stream.errors import IotStreamError, ModelError, NotTaughtYet, TeacherAway
from iot_stream.mqtt import Connection
from iot_stream.readings import Values
from iot_stream.service import bootstrap, learning, round
from iot_stream.service.bootstrap import Bootstrap
from iot_stream.service.holding import Holding
from iot_stream.service.learning import Prepared
from iot_stream.service.scoring import Scoring, newest
from iot_stream.service.triggers import Trigger
from iot_stream.service.watching import Watching
from iot_stream.store import Store
from iot_stream.store.registry import Round, Version

log = logging.getLogger(__name__)

COHORT = "all"
AGAIN_S = 1.0  # between two questions to a teacher that has nothing to say yet, or is away


class Rounds:
    """Of one pipeline: what comes before the first, what starts one, what becomes of it."""

    def __init__(
        self,
        config: Config,
        store: Store,
        name: str,
        pipeline: Pipeline,
        folder: Path,
        connection: Connection,
    ) -> None:
        self._prefix, self._name, self._pipeline = config.prefix, name, pipeline
        self._store, self._folder, self._connection = store, folder, connection
        self._prepared: Prepared | None = None
        self._scoring: Scoring | None = None
        self._trigger = Trigger(pipeline.triggers, 0, 0)
        self._watching, self._holding = Watching(store, name, pipeline), Holding(store, name, pipeline)
        self._again = 0.0  # when the teacher is asked again, on the monotonic clock
        self._waiting = ""  # what for, as it was said

    # --- before the first round -------------------------------------------------------------

    def ready(self) -> bool:
        """Prepared, now or before; while the teacher has not taught enough, it says so."""
        if self._prepared is None and time.monotonic() >= self._again:
            try:
                self.prepare()
            except NotTaughtYet as error:
                self._wait(str(error))
        return self._prepared is not None

    def _wait(self, why: str) -> None:
        """Say why, once."""
        self._again = time.monotonic() + AGAIN_S
        if why != self._waiting:
            self._waiting = why
            self._tell("progress", self._round_id(), stage="teacher", detail=why)

    def prepare(self) -> None:
        """Teacher, first student and rivals; the first student is released as it is where nothing runs yet,
        or what runs has another form than is configured now."""
        self._close_interrupted_rounds()
        round_id = self._round_id()
        say = partial(self._progress, round_id)
        registry = self._store.registry
        self._prepared = learning.prepare(
            registry, self._name, self._pipeline, self._folder, say, self._heard
        )
        if reason := self._why_anew(self._prepared):
            report = self._prepared.report | {"gate": {"reason": f"first version: {reason}"}}
            self._finish(round_id, "bootstrap", wall(), 0, "released", report, self._prepared.first)
        teacher = learning.tuned(registry, self._prepared.teacher, self._pipeline)
        # Devices have their first student by now; the rivals are wanted for scoring only.
        rivals = learning.rivals(registry, self._prepared, say)
        watching = self._watching if self._pipeline.triggers.drift else None
        self._scoring = Scoring(self._store, self._name, self._pipeline, teacher, rivals, watching)
        self._go_on(self._scoring.scored, self._prepared.learner.bootstrap.x)

    def _heard(self) -> Bootstrap:
        student, teacher = (
            newest(self._store, self._name, self._pipeline, self._pipeline.cut(network))
            for network in (self._pipeline.student, self._pipeline.teacher)
        )
        return bootstrap.together(student, teacher)

    def _why_anew(self, prepared: Prepared) -> str:
        newest = self._store.registry.newest(self._name, COHORT)
        if newest is None:
            return "nothing to compare with"
        return learning.another_form(self._store, newest, prepared.learner)

    def _go_on(self, scored: int, reference: Values) -> None:
        """Where the trigger stood when this process last ended."""
        rounds = self._store.registry.rounds(self._name)
        last = rounds[-1].stream_started
        self._trigger = Trigger(self._pipeline.triggers, last, scored if last else 0, reference)
        for before in rounds:
            if cost := before.report.get("cost"):
                self._trigger.spent(before.stream_started, cost["cpu_seconds"])

    def _close_interrupted_rounds(self) -> None:
        for before in self._store.registry.rounds(self._name):
            if before.ended is None:
                with self._store.write() as tx:
                    self._store.registry.save_round(tx, before._replace(ended=wall(), outcome="interrupted"))

    def score(self) -> None:
        """What teacher and rivals say of windows that are new."""
        assert self._scoring is not None
        if time.monotonic() >= self._again:
            try:
                self._scoring.hear_teacher()
            except TeacherAway as error:
                self._wait(str(error))
        self._scoring.hear_rivals()

    # --- rounds -----------------------------------------------------------------------------

    def _now(self) -> int:
        return self._store.journal.now(self._name) if self._pipeline.clock == "stream" else wall()

    def obey(self) -> None:
        """Commands that are ours: distil now, roll back."""
        for command in self._store.registry.open_commands("distil", "rollback"):
            if command.pipeline != self._name:
                continue
            if command.kind == "distil":
                if self._holding.paused:
                    self._store.registry.close_command(command.id, "failed", f"{self._name} is paused")
                    continue
                self._trigger.command = command.id
                continue
            try:
                outcome = self._roll_back(int(command.arguments["version"]))
                self._store.registry.close_command(command.id, "done", outcome)
            except IotStreamError as error:
                self._store.registry.close_command(command.id, "failed", str(error))

    def step(self, once: bool = False) -> None:
        """A round, if there is a reason for one."""
        if self._trigger.watches:
            self._trigger.watch(self._watching.fresh(COHORT))
        assert self._scoring is not None
        scored = self._scoring.scored
        labels = self._store.journal.label_count(self._name, self._trigger.last_round)
        reason = "command" if once else self._trigger.reason(self._now(), scored, labels)
        if reason is None or self._holding.paused:
            return
        command, self._trigger.command = self._trigger.command, None
        since = self._trigger.last_round
        self._trigger.started(self._now(), scored)
        outcome = self._round(reason, since)
        if command is not None:
            self._store.registry.close_command(command, "done", outcome)

    def _round(self, reason: str, since: int) -> str:
        assert self._prepared is not None
        assert self._scoring is not None
        round_id, started, stream_started = self._round_id(), wall(), self._now()
        self._save(Round(round_id, self._name, COHORT, reason, started, None, stream_started, "running", {}))
        self._tell("started", round_id, trigger=reason)
        running = self._store.registry.newest(self._name, COHORT)
        assert running is not None
        material = self._scoring.material()
        found = self._holding.look(material, self._prepared.learner.bootstrap)
        material = outliers.without(material, found.leavers)
        try:
            result = round.run(
                self._prepared.learner,
                learning.packed_version(self._store, running),
                self._scoring.teacher,
                material,
                since,
                stream_started,
                self._prepared.learner.seed(len(self._store.registry.rounds(self._name)) - 1),
                partial(self._progress, round_id),
                self._past(running),
            )
        except ModelError as error:
            self._finish(round_id, reason, started, stream_started, "failed", {"error": str(error)}, None)
            return f"failed: {error}"
        if result.teacher is not self._scoring.teacher:
            learning.keep_tuned(self._store.registry, result.teacher, round_id)
            self._scoring.teacher = result.teacher
        verdict = result.verdict
        self._tell("gated", round_id, detail=f"{verdict.outcome}: {verdict.reason}")
        outcome = "released" if verdict.passed else verdict.outcome
        report = result.report | {
            "trigger": reason,
            "running": running.version,
            "excluded": self._scoring.excluded,
        }
        report |= found.report()
        self._trigger.spent(stream_started, result.report["cost"]["cpu_seconds"])
        if verdict.passed:
            self._trigger.released(drift.reference(material, self._pipeline.sample))
        if not verdict.passed:
            # A candidate that failed is kept beside its report, for a person to look at.
            with self._store.write() as tx:
                report["candidate"] = self._store.registry.put_artifact(tx, result.candidate.weights)
        self._finish(
            round_id,
            reason,
            started,
            stream_started,
            outcome,
            report,
            result.candidate if verdict.passed else None,
        )
        return f"{round_id}: {outcome}, {verdict.reason}"

    def _past(self, running: Version) -> list[bytes]:
        """The last versions of the running one's form, that it is to be averaged with."""
        registry, count = self._store.registry, self._pipeline.distill.average
        form = (running.graph, running.spec)
        alike = [v.resume for v in registry.versions(self._name, COHORT) if (v.graph, v.spec) == form]
        return [registry.artifact(resume) for resume in alike[max(0, len(alike) - count) :]]

    def _finish(
        self,
        round_id: str,
        reason: str,
        started: int,
        stream_started: int,
        outcome: str,
        report: dict[str, Any],
        released: Any,
    ) -> None:
        """Round and version in one transaction: no version without its report."""
        assert self._prepared is not None
        provenance = {name: part for name, part in report.items() if name != "why"} | {
            "teacher": self._prepared.teacher.key,
            "settings": repr(self._pipeline.distill),
            "network": repr(self._pipeline.student),
        }
        with self._store.write() as tx:
            if released is not None:
                version = learning.add_version(
                    self._store, tx, self._name, COHORT, round_id, released, provenance
                )
                report = report | {"version": version.version}
            self._store.registry.save_round(
                tx,
                Round(round_id, self._name, COHORT, reason, started, wall(), stream_started, outcome, report),
            )
        if released is None:
            self._tell("rejected" if outcome == "rejected" else outcome, round_id)

    def _roll_back(self, number: int) -> str:
        """A new version with an old one's weights."""
        old = next(
            (v for v in self._store.registry.versions(self._name, COHORT) if v.version == number), None
        )
        if old is None:
            raise ModelError(f"{self._name} has no version {number}; `iot-stream models list` shows them")
        with self._store.write() as tx:
            packed = learning.packed_version(self._store, old)
            provenance = {"rollback_of": number, "gate": {"reason": f"rolled back to version {number}"}}
            version = learning.add_version(self._store, tx, self._name, COHORT, old.round, packed, provenance)
        return f"version {version.version} carries the weights of version {number}"

    def _save(self, row: Round) -> None:
        with self._store.write() as tx:
            self._store.registry.save_round(tx, row)

    def _round_id(self) -> str:
        return f"{self._name}-{COHORT}-{len(self._store.registry.rounds(self._name)):04d}"

    def _progress(self, round_id: str, stage: str, detail: str) -> None:
        self._tell("progress", round_id, stage=stage, detail=detail)

    def _tell(self, event: str, round_id: str, **more: Any) -> None:
        log.info("%s %s %s", round_id, event, " ".join(str(value) for value in more.values()))
        message = topics.RoundEvent(event, round_id, wall(), COHORT, **more)
        topic = topics.ROUND.of(prefix=self._prefix, pipeline=self._name, round=round_id)
        self._connection.publish(topic, topics.encode(message))

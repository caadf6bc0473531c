"""The distiller: a process of its own that scores every window, waits for a reason, and runs rounds."""

import logging
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from iot_stream import labelling, topics
from iot_stream.clock import wall
from iot_stream.config import Config, Pipeline
from iot_stream.cut import Cut
from iot_stream.device.model import Model
from iot_stream.distill import drift, outliers, sampler
from iot_stream.distill.material import Material
from iot_stream.distill.teachers import Teacher
from iot_stream.errors import IotStreamError, ModelError, NotTaughtYet, TeacherAway
from iot_stream.mqtt import Connection
from iot_stream.presence import Presence
from iot_stream.service import bootstrap, learning, round
from iot_stream.service.bootstrap import Bootstrap
from iot_stream.service.holding import Holding
from iot_stream.service.learning import Prepared, logits_bytes, logits_of
from iot_stream.service.triggers import Trigger
from iot_stream.service.watching import Watching
from iot_stream.store import Store
from iot_stream.store.journal import WindowSet
from iot_stream.store.registry import Round, Version

log = logging.getLogger(__name__)

COHORT = "all"
POLL_S = 0.1
AGAIN_S = 1.0  # between two questions to a teacher that has nothing to say yet, or is away
SCORE = 4096
TEACHER = "teacher"


class Distiller:
    def __init__(self, config: Config, store: Store, folder: Path) -> None:
        self._config, self._store = config, store
        self._presence = Presence(config.prefix, "distiller")
        self._connection = Connection(
            config.address,
            f"{config.prefix}-distiller-{self._presence.instance}",
            lambda _: None,
            will=self._presence.will,
        )
        self._pipelines = [
            _Pipeline(config, store, name, pipeline, folder, self._connection)
            for name, pipeline in config.pipelines.items()
        ]

    def run(self, stopping: threading.Event, once: bool = False) -> None:
        """Until `stopping`; with `once`, one round for each pipeline that has anything to learn from."""
        self._connection.start()
        self._presence.say_online(self._connection)
        try:
            while not stopping.is_set():
                for pipeline in self._pipelines:
                    if not pipeline.ready():
                        continue
                    pipeline.score()
                    pipeline.obey()
                    pipeline.step(once)
                if once:
                    return
                stopping.wait(POLL_S)
        finally:
            self._presence.say_offline(self._connection)
            self._connection.stop()


@dataclass
class _Positions:
    student: int = 0
    teacher: int = 0


class _Pipeline:
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
        self._student_cut, self._teacher_cut = pipeline.cut(pipeline.student), pipeline.cut(pipeline.teacher)
        self._positions = _Positions()
        self._prepared: Prepared | None = None
        self._teacher: Teacher | None = None  # as the last round left it
        self._rivals: dict[str, Model] = {}
        self._trigger = Trigger(pipeline.triggers, 0, 0)
        self._watching, self._holding = Watching(store, name, pipeline), Holding(store, name, pipeline)
        self._excluded = 0  # windows that the last round was not to learn from
        self._scored = 0  # windows that the teacher has spoken on
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
        self._teacher = learning.tuned(self._store.registry, self._prepared.teacher, self._pipeline)
        # Devices have their first student by now; the rivals are wanted for scoring only.
        self._rivals = learning.rivals(self._store.registry, self._prepared, say)
        self._go_on()

    def _heard(self) -> Bootstrap:
        return bootstrap.together(self._newest(self._student_cut), self._newest(self._teacher_cut))

    def _why_anew(self, prepared: Prepared) -> str:
        newest = self._store.registry.newest(self._name, COHORT)
        if newest is None:
            return "nothing to compare with"
        return learning.another_form(self._store, newest, prepared.learner)

    def _go_on(self) -> None:
        """Where scoring and triggers stood when this process last ended."""
        registry = self._store.registry
        teacher, static = self._model_name(TEACHER), self._model_name(learning.STATIC)
        self._positions.teacher = registry.scored_up_to(self._name, teacher, self._teacher_cut.id)
        self._positions.student = registry.scored_up_to(self._name, static, self._student_cut.id)
        self._scored = registry.output_count(self._name, teacher)
        assert self._prepared is not None
        rounds = registry.rounds(self._name)
        last, reference = rounds[-1].stream_started, self._prepared.learner.bootstrap.x
        self._trigger = Trigger(self._pipeline.triggers, last, self._scored if last else 0, reference)
        for before in rounds:
            if cost := before.report.get("cost"):
                self._trigger.spent(before.stream_started, cost["cpu_seconds"])

    def _close_interrupted_rounds(self) -> None:
        for before in self._store.registry.rounds(self._name):
            if before.ended is None:
                with self._store.write() as tx:
                    self._store.registry.save_round(tx, before._replace(ended=wall(), outcome="interrupted"))

    # --- scoring ----------------------------------------------------------------------------

    def score(self) -> None:
        """What teacher and rivals say of windows that are new; kept, so no window is passed twice."""
        try:
            while time.monotonic() >= self._again and self._score_next(TEACHER):
                pass
        except TeacherAway as error:  # its word is held back: the windows wait for it
            self._wait(str(error))
        while self._score_next(*self._rivals):
            pass

    def _score_next(self, *models: str) -> int:
        assert self._teacher is not None
        teacher = models == (TEACHER,)
        cut = self._teacher_cut if teacher else self._student_cut
        after = self._positions.teacher if teacher else self._positions.student
        windows = self._store.journal.windows(
            self._name, cut.id, (cut.length, len(cut.inputs)), after=after, limit=SCORE
        )
        if not len(windows):
            return 0
        rows = []
        for model in models:
            logits = self._teacher.logits(windows.x) if teacher else self._rivals[model].logits(windows.x)
            label = self._model_name(model)
            if self._trigger.watches and teacher:
                self._watching.heard(windows, logits)
            columns = (
                windows.devices.tolist(),
                windows.ends.tolist(),
                windows.starts.tolist(),
                windows.arrived.tolist(),
            )
            rows += [
                (self._name, label, device, end, start, arrived, content)
                for device, end, start, arrived, content in zip(*columns, logits_bytes(logits), strict=True)
            ]
        with self._store.write() as tx:
            self._store.registry.add_outputs(tx, rows)
        if teacher:
            self._positions.teacher = int(windows.ids[-1])
            self._scored += len(windows)
        else:
            self._positions.student = int(windows.ids[-1])
            if self._trigger.watches:
                self._watching.cut(windows)
        return len(windows)

    def _model_name(self, model: str) -> str:
        """Outputs are kept by what made them: another teacher's word is not this one's."""
        assert self._prepared is not None
        return f"{model}:{self._prepared.teacher.key[:16]}"

    def _material(self) -> Material:
        """All stored windows that the teacher has spoken on, with the labels that have come."""
        cut, classes = self._student_cut, self._pipeline.classes
        windows = self._newest(cut)
        since = int(windows.ends.min()) if len(windows) else 0
        said = self._store.registry.outputs(self._name, self._model_name(TEACHER), since)
        place = {(device, start): i for i, (device, _, start, _, _) in enumerate(said)}
        keys = zip(windows.devices.tolist(), windows.starts.tolist(), strict=True)
        found = np.array([place.get(key, -1) for key in keys], np.int64)
        windows = windows.rows(found >= 0)
        logits = logits_of([said[i][4] for i in found[found >= 0]], len(classes))
        heard = labelling.spoken(logits)
        windows, logits = windows.rows(heard), logits[heard]
        keep = self._store.scope.allowed(self._name, windows.devices, windows.starts, windows.ends)
        self._excluded = int((~keep).sum())
        windows, logits = windows.rows(keep), logits[keep]
        labels, mixed = labelling.join(
            windows.devices, windows.starts, windows.ends, self._store.journal.labels(self._name)
        )
        labels[mixed] = labelling.NO_LABEL
        material = Material(windows.devices, windows.starts, windows.ends, windows.x, logits, labels)
        return self._with_teacher_x(material)

    def _newest(self, cut: Cut) -> WindowSet:
        shape = (cut.length, len(cut.inputs))
        return self._store.journal.windows(
            self._name, cut.id, shape, newest=sampler.reach(self._pipeline.sample)
        )

    def _with_teacher_x(self, material: Material) -> Material:
        windows = self._newest(self._teacher_cut)
        keys = zip(windows.devices.tolist(), windows.starts.tolist(), strict=True)
        place = {key: row for row, key in enumerate(keys)}
        keys = zip(material.devices.tolist(), material.starts.tolist(), strict=True)
        found = np.array([place.get(key, -1) for key in keys], np.int64)
        return replace(material.rows(found >= 0), teacher_x=windows.x[found[found >= 0]])

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
        labels = self._store.journal.label_count(self._name, self._trigger.last_round)
        reason = "command" if once else self._trigger.reason(self._now(), self._scored, labels)
        if reason is None or self._holding.paused:
            return
        command, self._trigger.command = self._trigger.command, None
        since = self._trigger.last_round
        self._trigger.started(self._now(), self._scored)
        outcome = self._round(reason, since)
        if command is not None:
            self._store.registry.close_command(command, "done", outcome)

    def _round(self, reason: str, since: int) -> str:
        assert self._prepared is not None
        assert self._teacher is not None
        round_id, started, stream_started = self._round_id(), wall(), self._now()
        self._save(Round(round_id, self._name, COHORT, reason, started, None, stream_started, "running", {}))
        self._tell("started", round_id, trigger=reason)
        running = self._store.registry.newest(self._name, COHORT)
        assert running is not None
        material = self._material()
        found = self._holding.look(material, self._prepared.learner.bootstrap)
        material = outliers.without(material, found.leavers)
        try:
            result = round.run(
                self._prepared.learner,
                learning.packed_version(self._store, running),
                self._teacher,
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
        if result.teacher is not self._teacher:
            learning.keep_tuned(self._store.registry, result.teacher, round_id)
            self._teacher = result.teacher
        verdict = result.verdict
        self._tell("gated", round_id, detail=f"{verdict.outcome}: {verdict.reason}")
        outcome = "released" if verdict.passed else verdict.outcome
        report = result.report | {"trigger": reason, "running": running.version, "excluded": self._excluded}
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

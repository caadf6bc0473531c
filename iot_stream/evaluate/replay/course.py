"""One seed under the virtual clock: bootstrap, rounds, and what everyone said of every window."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.config import Pipeline, Recordings, device_upload
from iot_stream.distill import drift, outliers, sampler
from iot_stream.distill.drift import Fresh
from iot_stream.distill.material import Material
from iot_stream.distill.outliers import Leaver
from iot_stream.distill.student import Packed
from iot_stream.distill.teachers import Teacher
from iot_stream.errors import ModelError
from iot_stream.evaluate.peers import lessons
from iot_stream.evaluate.peers import run as peers
from iot_stream.evaluate.persistence import Word, repeated
from iot_stream.evaluate.replay import plan, rivals
from iot_stream.evaluate.replay.fleet import LEARNING, STUDENT, Cohort, Fleet, Version
from iot_stream.evaluate.replay.plan import Turn
from iot_stream.evaluate.replay.releases import Downloads
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.evaluate.replay.uploads import Uploads
from iot_stream.readings import Values
from iot_stream.recordings import Known
from iot_stream.service import learning, round
from iot_stream.service.learning import Prepared
from iot_stream.service.stages import Say
from simulator.script import NEVER

TEACHER, PERSISTENCE = "teacher", "persistence"

ROUNDS, PEERS = "rounds", "peers"
Step = Callable[[str, float], None]
"""Called with what is under way, ROUNDS or PEERS, and the share of it that is done."""


class Memory:
    """Where a replay keeps trained models: nowhere beyond its end."""

    def __init__(self) -> None:
        self._models: dict[str, tuple[bytes, dict[str, Any]]] = {}

    def model(self, key: str) -> tuple[bytes, dict[str, Any]] | None:
        return self._models.get(key)

    def put_model(self, key: str, kind: str, content: bytes, report: dict[str, Any]) -> None:  # noqa: ARG002
        self._models[key] = (content, report)

    def checkpoint(self, key: str) -> None:  # noqa: ARG002
        return None

    def drop_checkpoints(self, prefix: str) -> None:
        pass


@dataclass(frozen=True)
class Done:
    """A round as it ended. `version` and `bytes` are 0 where nothing was released to its `devices`."""

    turn: Turn
    outcome: str
    reason: str
    version: int
    bytes: int
    report: dict[str, Any]
    devices: int = 0


@dataclass(frozen=True)
class Course:
    """`student`: the last of the largest cohort. `said`: a rival's class of each window (n,), −1 where it
    said nothing. `sent` (m, 2): when each message went up (ns), and its bytes. `bytes_down` to a device that
    took every version, on average; `bundle_bytes` in its last message. `peers`: where they ran, what each
    tells of itself."""

    seed: int
    prepared: Prepared
    student: Packed
    said: dict[str, NDArray[np.int64]]
    sent: NDArray[np.int64]
    rounds: list[Done]
    bytes_down: int
    bundle_bytes: int
    seconds: float
    peers: dict[str, dict[str, Any]] = field(default_factory=dict)


def run(
    name: str,
    pipeline: Pipeline,
    folder: Path,
    stream: Stream,
    known: list[Known],
    step: Step,
    say: Say,
    beside_peers: bool = False,
) -> Course:
    """`pipeline` has the seed; `known`: the labels that become known. Raises ConfigError, ModelError."""
    began = time.perf_counter()
    models = Memory()
    prepared = learning.prepare(models, name, pipeline, folder, say)
    said = {
        rival: _classes(model.logits(stream.x))
        for rival, model in learning.rivals(models, prepared, say).items()
    }
    step(ROUNDS, 0.0)
    clock = _Rounds(name, prepared, stream, known, say)
    clock.run(step)
    stream = replace(stream, taught=clock.stream.taught)
    said |= {lane: clock.fleet.speak(lane, stream) for lane in LEARNING}
    spoken = stream.place >= 0
    said[TEACHER] = np.where(spoken, _classes(clock.logits), -1)
    said[PERSISTENCE] = _persistence(prepared, stream, known, said[TEACHER])
    turns = list({done.turn.now: done.turn for done in clock.done}.values())
    ran = _peers(prepared, stream, known, said[TEACHER], turns, step) if beside_peers else {}
    said |= {name: peer.said for name, peer in ran.items()}
    return Course(
        pipeline.seed,
        prepared,
        clock.fleet.largest.newest(STUDENT),
        said,
        clock.uploads.sent if clock.uploads else stream.sent,
        clock.done,
        clock.releases.bytes_down,
        clock.releases.bundle_bytes,
        time.perf_counter() - began,
        {name: peer.report for name, peer in ran.items()},
    )


@dataclass
class _Rounds:
    """The lanes of student and learning rivals through the rounds; `logits` (n, classes) of the teacher."""

    name: str
    prepared: Prepared
    stream: Stream
    known: list[Known]
    say: Say
    fleet: Fleet = field(init=False)
    logits: Values = field(init=False)
    teacher: Teacher = field(init=False)
    releases: Downloads = field(init=False)
    uploads: Uploads | None = None
    held: dict[str, Leaver] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    _heard: int = -1  # up to this moment the teacher of each time has spoken

    def __post_init__(self) -> None:
        first, devices = self.prepared.first, np.unique(self.stream.devices).tolist()
        if upload := device_upload(self.pipeline):
            self.uploads = Uploads(self.pipeline, upload, self.stream)
            self.stream = self.uploads.stream
        self.teacher = self.prepared.teacher
        nothing = np.zeros((1, len(self.prepared.learner.pipeline.classes)), np.float32)
        self.logits = np.concatenate([self.teacher.logits(self.stream.teacher_x), nothing])[self.stream.place]
        begin = int(self.stream.ends.min()) if len(self.stream) else 0
        self.fleet, self.releases = Fleet(self.prepared, devices), Downloads(self.name, devices)
        for cohort in self.fleet.cohorts:
            self._release(cohort, 0, first, "first version: nothing to compare with", begin)

    @property
    def pipeline(self) -> Pipeline:
        return self.prepared.learner.pipeline

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.pipeline.cut(self.pipeline.student).inputs

    def run(self, step: Step) -> None:
        """All rounds; the trigger sees what their versions say."""
        recordings = self.pipeline.recordings or Recordings()
        begin, end = int(self.stream.ends.min()), int(self.stream.ends.max())
        fleet = self.fleet
        turns = plan.turns(
            self.stream, fleet.cohorts, self._learnt_with, recordings, self.known, self._look, self._send_up
        )
        for due in turns:
            self._take(due)
            step(ROUNDS, (due[0].now - begin) / max(1, end - begin))
        self._send_up(NEVER)
        self._hear(NEVER)

    def _send_up(self, now: int) -> None:
        """What devices choose by now, with what they run."""
        if self.uploads:
            self.uploads.until(now, lambda device: self.fleet.cohorts[self.fleet.of(device)].running)

    def _learnt_with(self, device: str) -> str:
        """Its cohort; none where it is held."""
        return "" if device in self.held else self.fleet.of(device)

    def _look(self, now: int, rows: NDArray[np.int64], cohort: str) -> Fresh:
        """What teacher and running student say of windows."""
        self._hear(now)
        x, running = self.stream.x[rows], self.fleet.cohorts[cohort].running
        return Fresh(x, self.logits[rows], running.logits(x) if len(rows) else self.logits[rows])

    def _take(self, due: list[Turn]) -> None:
        """The rounds of one moment, in all lanes."""
        now, done = due[0].now, due[0].done
        self._hear(done)
        material, holding = self._without_leavers(self._material(now))
        due = [*due, *self._regrouped(material, due)]
        parts = {turn.cohort: material.rows(self.fleet.rows(material.devices, turn.cohort)) for turn in due}
        rounds = [self._round(turn, number, parts[turn.cohort]) for number, turn in enumerate(due, 1)]
        others = ~np.isin(self.fleet.cohorts_of(material.devices), list(parts))
        results = round.together(rounds, self.teacher, material.rows(others))
        taught = {id(each.teacher): each.teacher for each in map(_unless_failed, results)}
        for turn, round_, result in zip(due, rounds, map(_unless_failed, results), strict=True):
            cohort = self.fleet.cohorts[turn.cohort]
            running = {lane: cohort.newest(lane) for lane in LEARNING}
            if not result.verdict.enough:
                cohort.since = turn.since
            if result.verdict.passed:
                cohort.release(turn.done, result.candidate)
                cohort.trigger.released(drift.reference(parts[turn.cohort], self.pipeline.sample))
            self._note(turn, result, holding)
            self._rivals(cohort, turn, running, parts[turn.cohort], round_.seed)
        # Where one cohort's round holds the teacher, it is as it was for all.
        if len(taught) == 1:
            (self.teacher,) = taught.values()

    def _round(self, turn: Turn, number: int, material: Material) -> round.Round:
        learner, cohort = self.prepared.learner, self.fleet.cohorts[turn.cohort]
        return round.Round(
            learner,
            cohort.newest(STUDENT),
            material,
            turn.since,
            turn.now,
            learner.seed(len(self.done) + number),
            self.say,
            cohort.past(learner.pipeline.distill.average),
        )

    def _rivals(
        self, cohort: Cohort, turn: Turn, running: dict[str, Packed], material: Material, seed: int
    ) -> None:
        learner = self.prepared.learner
        labels_only = rivals.labels_only(learner, running[rivals.LABELS_ONLY], material, turn.now, seed)
        cohort.versions[rivals.LABELS_ONLY].append(Version(turn.done, labels_only))
        control = rivals.control(learner, running[rivals.CONTROL], turn.now, seed)
        cohort.versions[rivals.CONTROL].append(Version(turn.done, control))

    def _regrouped(self, material: Material, due: list[Turn]) -> list[Turn]:
        """Devices that have become alike share a student from now on; a round of each cohort that changes."""
        moves, now, done = self.fleet.moves(material), due[0].now, due[0].done
        for name in self.fleet.move(moves, now):
            self._release(name, 0, self.fleet.cohorts[name].newest(STUDENT), "first version: split off", now)
        for device, name in moves.items():
            self.releases.joined(name, device)
        changed = dict.fromkeys(name for name in moves.values() if name not in {turn.cohort for turn in due})
        why = "cohort: its devices have changed"
        return [self.fleet.cohorts[name].turn(now, done, why, name) for name in changed]

    def _release(self, cohort: str, number: int, packed: Packed, reason: str, now: int) -> int:
        devices, round_id = self.fleet.devices(cohort), f"{self.name}-{cohort}-{number:04d}"
        return self.releases.add(cohort, devices, packed, round_id, reason, now)

    def _without_leavers(self, material: Material) -> tuple[Material, outliers.Found]:
        """Nobody is there to resume a device: who is held once is held to the end."""
        material = outliers.without(material, self.held.values())
        found = outliers.find(material, self.prepared.learner.bootstrap, self.inputs, self.pipeline.hold, {})
        self.held |= {leaver.device: leaver for leaver in found.leavers}
        return outliers.without(material, found.leavers), found

    def _material(self, now: int) -> Material:
        """What the service has at `now`: windows that the teacher has spoken on, labels that have come."""
        stream, settings = self.stream, self.pipeline.sample
        rows = np.flatnonzero(stream.arrived <= now)[-sampler.reach(settings) :]
        rows = rows[stream.taught[rows] <= now]
        rows = rows[labelling.spoken(self.logits[rows])]
        devices, starts, ends = stream.devices[rows], stream.starts[rows], stream.ends[rows]
        come = [known.label for known in self.known if known.at <= now]
        labels, mixed = labelling.join(devices, starts, ends, come)
        labels[mixed] = labelling.NO_LABEL
        teacher_x = stream.teacher_x[stream.place[rows]]
        return Material(devices, starts, ends, stream.x[rows], self.logits[rows], labels, teacher_x)

    def _hear(self, until: int) -> None:
        """What the teacher, if it has been taught anew, says of windows that end by `until`."""
        if self.teacher is not self.prepared.teacher:
            stream = self.stream
            rows = (stream.ends > self._heard) & (stream.ends <= until) & (stream.place >= 0)
            if rows.any():
                self.logits[rows] = self.teacher.logits(stream.teacher_x[stream.place[rows]])
        self._heard = max(self._heard, until)

    def _note(self, turn: Turn, result: round.Result, holding: outliers.Found) -> None:
        verdict, size, version = result.verdict, 0, 0
        if verdict.passed:
            number = sum(done.turn.cohort == turn.cohort for done in self.done) + 1
            size = self._release(turn.cohort, number, result.candidate, verdict.reason, turn.done)
            version = self.releases.version(turn.cohort)
        outcome = "released" if verdict.passed else verdict.outcome
        devices = len(self.fleet.devices(turn.cohort))
        report = result.report | holding.report()
        self.done.append(Done(turn, outcome, verdict.reason, version, size, report, devices))


def _unless_failed(result: round.Result | ModelError) -> round.Result:
    if isinstance(result, ModelError):
        raise result
    return result


def _classes(logits: Values) -> NDArray[np.int64]:
    return labelling.named(logits)


def _peers(
    prepared: Prepared,
    stream: Stream,
    known: list[Known],
    teacher: NDArray[np.int64],
    turns: Sequence[Turn],
    step: Step,
) -> dict[str, peers.Ran]:
    learner = prepared.learner
    heard = lessons.of_stream(stream, known, teacher)
    seed, spec = learner.pipeline.seed, learner.architecture.spec
    return peers.run(spec, learner.bootstrap, stream, heard, turns, seed, partial(step, PEERS))


def _persistence(
    prepared: Prepared, stream: Stream, known: list[Known], teacher: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Teacher's words and late labels repeated; before any, the bootstrap's last label."""
    heard = np.flatnonzero((stream.taught < NEVER) & (teacher >= 0))
    words = [
        Word(int(stream.taught[row]), int(stream.ends[row]), str(stream.devices[row]), int(teacher[row]))
        for row in heard
    ]
    words += [Word(each.at, each.label.end, each.label.device, each.label.value) for each in known]
    boot = prepared.learner.bootstrap
    truth = np.where(boot.labels >= 0, boot.labels, boot.said)
    before = int(truth[np.argmax(boot.ends)])
    return repeated(stream.devices, stream.ends, stream.arrived, words, before)

"""One seed under the virtual clock: bootstrap, rounds, and what everyone said of every window."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.config import Pipeline, Recordings
from iot_stream.device.model import Model
from iot_stream.distill import drift, outliers, sampler
from iot_stream.distill.drift import Fresh
from iot_stream.distill.material import Material
from iot_stream.distill.outliers import Leaver
from iot_stream.distill.student import Packed
from iot_stream.distill.teachers import Teacher
from iot_stream.evaluate.peers import lessons
from iot_stream.evaluate.peers import run as peers
from iot_stream.evaluate.persistence import Word, repeated
from iot_stream.evaluate.replay import plan, rivals
from iot_stream.evaluate.replay.plan import Turn
from iot_stream.evaluate.replay.releases import Releases
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.readings import Times, Values
from iot_stream.recordings import Known
from iot_stream.service import learning, round
from iot_stream.service.learning import Prepared
from iot_stream.service.stages import Say
from iot_stream.service.triggers import Trigger
from simulator.script import NEVER

STUDENT, TEACHER, PERSISTENCE = "student", "teacher", "persistence"
LEARNING = (STUDENT, rivals.LABELS_ONLY, rivals.CONTROL)
"""Those that go through the rounds."""

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


@dataclass(frozen=True)
class Done:
    """A round as it ended. `version` and `bytes` are 0 where nothing was released."""

    turn: Turn
    outcome: str
    reason: str
    version: int
    bytes: int
    report: dict[str, Any]


@dataclass(frozen=True)
class Course:
    """`said`: a rival's class of each window (n,), −1 where it said nothing. `peers`: where they ran,
    what each tells of itself."""

    seed: int
    prepared: Prepared
    student: Packed
    said: dict[str, NDArray[np.int64]]
    rounds: list[Done]
    releases: Releases
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
    said |= {lane: _speak(versions, stream) for lane, versions in clock.versions.items()}
    spoken = stream.place >= 0
    said[TEACHER] = np.where(spoken, _classes(clock.logits), -1)
    said[PERSISTENCE] = _persistence(prepared, stream, known, said[TEACHER])
    turns = [done.turn for done in clock.done]
    ran = _peers(prepared, stream, known, said[TEACHER], turns, step) if beside_peers else {}
    said |= {name: peer.said for name, peer in ran.items()}
    return Course(
        pipeline.seed,
        prepared,
        clock.versions[STUDENT][-1].packed,
        said,
        clock.done,
        clock.releases,
        time.perf_counter() - began,
        {name: peer.report for name, peer in ran.items()},
    )


@dataclass(frozen=True)
class _Version:
    """Acts on windows that end after `since` (ns)."""

    since: int
    packed: Packed


@dataclass
class _Rounds:
    """The lanes of student and learning rivals through the rounds; `logits` (n, classes) of the teacher."""

    name: str
    prepared: Prepared
    stream: Stream
    known: list[Known]
    say: Say
    versions: dict[str, list[_Version]] = field(init=False)
    logits: Values = field(init=False)
    teacher: Teacher = field(init=False)
    releases: Releases = field(init=False)
    trigger: Trigger = field(init=False)
    running: Model = field(init=False)
    held: dict[str, Leaver] = field(default_factory=dict)
    done: list[Done] = field(default_factory=list)
    _heard: int = -1  # up to this moment the teacher of each time has spoken

    def __post_init__(self) -> None:
        first = self.prepared.first
        self.versions = {lane: [_Version(-1, first)] for lane in LEARNING}
        self.teacher = self.prepared.teacher
        nothing = np.zeros((1, len(self.prepared.learner.pipeline.classes)), np.float32)
        self.logits = np.concatenate([self.teacher.logits(self.stream.teacher_x), nothing])[self.stream.place]
        self.trigger = Trigger(self.pipeline.triggers, 0, 0, self.prepared.learner.bootstrap.x)
        self.running = first.model()
        self.releases = Releases(self.name)
        begin = int(self.stream.ends.min()) if len(self.stream) else 0
        self.releases.add(first, f"{self.name}-all-0000", "first version: nothing to compare with", begin)

    @property
    def pipeline(self) -> Pipeline:
        return self.prepared.learner.pipeline

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.pipeline.cut(self.pipeline.student).inputs

    def run(self, step: Step) -> None:
        """All rounds; the trigger sees what their versions say."""
        told = np.sort(np.array([known.at for known in self.known], np.int64))
        recordings = self.pipeline.recordings or Recordings()
        begin, end = int(self.stream.ends.min()), int(self.stream.ends.max())
        for turn in plan.turns(self.stream, self.trigger, recordings, told, self._look):
            self._take(turn)
            step(ROUNDS, (turn.now - begin) / max(1, end - begin))
        self._hear(NEVER)

    def _look(self, now: int, rows: NDArray[np.int64]) -> Fresh:
        """What teacher and running student say of windows of devices that are not held."""
        self._hear(now)
        rows = rows[~np.isin(self.stream.devices[rows], np.array(list(self.held), np.str_))]
        x = self.stream.x[rows]
        return Fresh(x, self.logits[rows], self.running.logits(x) if len(rows) else self.logits[rows])

    def _take(self, turn: Turn) -> None:
        """One turn of all lanes."""
        self._hear(turn.done)
        learner = self.prepared.learner
        seed = learner.seed(len(self.done) + 1)
        material, holding = self._without_leavers(self._material(turn.now))
        running = {lane: versions[-1].packed for lane, versions in self.versions.items()}

        past = [version.packed.resume for version in self.versions[STUDENT]]
        past = past[max(0, len(past) - learner.pipeline.distill.average) :]
        result = round.run(
            learner,
            running[STUDENT],
            self.teacher,
            material,
            turn.since,
            turn.now,
            seed,
            self.say,
            past,
        )
        if result.verdict.passed:
            self.versions[STUDENT].append(_Version(turn.done, result.candidate))
            self.running = result.candidate.model()
            self.trigger.released(drift.reference(material, self.pipeline.sample))
        self._note(turn, result, holding)
        self.teacher = result.teacher

        labels_only = rivals.labels_only(learner, running[rivals.LABELS_ONLY], material, turn.now, seed)
        self.versions[rivals.LABELS_ONLY].append(_Version(turn.done, labels_only))
        control = rivals.control(learner, running[rivals.CONTROL], turn.now, seed)
        self.versions[rivals.CONTROL].append(_Version(turn.done, control))

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
            round_id = f"{self.name}-all-{len(self.done) + 1:04d}"
            size = self.releases.add(result.candidate, round_id, verdict.reason, turn.done)
            version = self.releases.version
        outcome = "released" if verdict.passed else verdict.outcome
        self.done.append(Done(turn, outcome, verdict.reason, version, size, result.report | holding.report()))


def _classes(logits: Values) -> NDArray[np.int64]:
    return labelling.named(logits)


def _speak(versions: list[_Version], stream: Stream) -> NDArray[np.int64]:
    """Of each window the word of the version that was active at its end."""
    said = np.full(len(stream), -1, np.int64)
    begins: Times = np.array([version.since for version in versions], np.int64)
    active = np.searchsorted(begins, stream.ends, side="left") - 1
    for number in np.unique(active).tolist():
        rows = active == number
        said[rows] = _classes(versions[number].packed.model().logits(stream.x[rows]))
    return said


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

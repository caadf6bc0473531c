"""One round, top to bottom: sample, train, distil, fuse, encode, judge. No store, no broker, no clock of its
own, so that the live distiller and the replay of recordings run the very same lines."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from iot_stream.clock import iso
from iot_stream.config import Pipeline
from iot_stream.distill import sampler, teachers
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture, Packed
from iot_stream.distill.teachers import Lessons, Teacher
from iot_stream.readings import Times, Values
from iot_stream.release import gate
from iot_stream.release.gate import Verdict

Say = Callable[[str, str], None]  # (stage, detail)


@dataclass(frozen=True)
class Learner:
    """What stays from round to round: settings, the student's form, its bootstrap and its first weights, and
    what the teacher was first taught."""

    pipeline: Pipeline
    architecture: Architecture
    bootstrap: Material
    anchor: bytes
    lessons: Lessons

    def seed(self, number: int) -> int:
        """Of a round, by how many came before it (the bootstrap is the first)."""
        return self.pipeline.seed + number


@dataclass(frozen=True)
class Result:
    candidate: Packed
    verdict: Verdict
    teacher: Teacher
    report: dict[str, Any]


def run(
    learner: Learner,
    running: Packed,
    teacher: Teacher,
    stream: Material,
    since: int,
    now: int,
    seed: int,
    say: Say,
) -> Result:
    """Distil from `stream` (what the teacher has spoken on so far) into a candidate, and judge it.

    `running` is the version on the devices; `since` and `now` are stream times (ns) of the last round's
    start and of this one's. Raises ModelError.
    """
    began, cpu_began = time.perf_counter(), time.process_time()

    # Sample: what judges is taken out first; the rest is recent windows and a reservoir of old regimes.
    trains, judges = sampler.hold_out(stream, since, learner.pipeline.gate)
    learnt = stream.rows(trains)
    batch = sampler.draw(learnt, learner.bootstrap, learner.pipeline.sample, now)
    judged = stream.rows(judges)
    say("sample", f"{batch.recent} recent, {batch.reservoir} from the reservoir, {len(judged)} to judge by")

    # Training: the teacher goes on with the labels that have come, and speaks anew on the sample.
    tuned, training = _tune(learner, teacher, learnt, now, seed, say)
    if training:
        batch = replace(batch, material=_said_anew(_as_now(learner, batch.material, tuned), tuned))
        judged = _said_anew(judged, tuned)

    # Distillation, from the weights on the devices; fusion is the moving average and the pull to the anchor.
    architecture, settings = learner.architecture, learner.pipeline.distill
    net, trained = architecture.further(
        running.resume, batch.material, batch.weights, settings, seed, learner.anchor
    )
    losses = ", ".join(f"{name} {value:.4f}" for name, value in trained.losses.items())
    say("distillation", f"{trained.steps} steps: {losses}")

    # As the device will run it: encoded, decoded, in the device's runtime.
    candidate = architecture.pack(net)
    verdict = _judge(learner, candidate, running, judged)
    bare = architecture.without_fusion(net, trained, judged.x)

    report = {
        "since": iso(since),
        "now": iso(now),
        "sample": {
            "recent": batch.recent,
            "reservoir": batch.reservoir,
            "labelled": int((batch.material.labels >= 0).sum()),
            "recent_median_and_newest_ns": _span(batch.material.ends[: batch.recent]),
            "devices": sorted(set(batch.material.devices[: batch.recent].tolist())),
        },
        "training": training,
        "distillation": {
            "steps": trained.steps,
            "losses": trained.losses,
            "accuracy_before_fusion": _right(bare, judged, learner.pipeline.gate.n_min),
        },
        "fusion": {"ema": settings.ema, "pull": settings.pull},
        "gate": verdict.report(),
        "cost": {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_began,
            "distill_seconds": trained.seconds,
        },
    }
    return Result(candidate, verdict, tuned, report)


def _tune(
    learner: Learner, teacher: Teacher, stream: Material, now: int, seed: int, say: Say
) -> tuple[Teacher, dict[str, Any]]:
    """The teacher after the stream's labels, and its windows where it learns from those; as it was where
    there is nothing for it, or it is not wanted."""
    if not learner.pipeline.train.tune_steps or stream.teacher_x is None:
        return teacher, {}
    ages = sampler.by_age(stream.ends, now, learner.pipeline.sample)
    lessons = Lessons(stream.teacher_x, stream.labels, ages, stream.ends)
    tuned, cost = teachers.tune(teacher, lessons, learner.lessons, learner.pipeline.train, seed)
    if tuned is teacher:
        return teacher, {}
    late = int((stream.labels >= 0).sum())
    losses = "".join(f": loss {value:.4f}" for value in cost.losses.values())
    say("training", f"teacher tuned on {len(stream)} windows, {late} of them with late labels{losses}")
    return tuned, {"late_labels": late, "steps": cost.steps, "losses": cost.losses}


def _as_now(learner: Learner, material: Material, teacher: Teacher) -> Material:
    """Windows of the past as they would look now, where the teacher knows how their classes moved and sees
    what the student sees."""
    same = teacher.spec.cut == learner.architecture.spec.cut
    if not (teacher.follows and same):
        return material
    classes = np.where(material.labels >= 0, material.labels, material.said)
    moved = teacher.as_now(material.x, classes, material.ends)
    return replace(material, x=moved, teacher_x=moved)


def _said_anew(material: Material, teacher: Teacher) -> Material:
    assert material.teacher_x is not None
    return replace(material, logits=teacher.logits(material.teacher_x))


def _span(ends: Times) -> list[int]:
    """Median and maximum of the windows' ends (ns)."""
    return [int(np.median(ends)), int(ends.max())] if len(ends) else [0, 0]


def _judge(learner: Learner, candidate: Packed, running: Packed, judged: Material) -> Verdict:
    new, old = candidate.model(), running.model()
    classes = learner.pipeline.classes
    nothing = np.zeros((0, len(classes)), np.float32)
    return gate.judge(
        new.logits(judged.x) if len(judged) else nothing,
        old.logits(judged.x) if len(judged) else nothing,
        judged.logits,
        judged.labels,
        len(candidate.weights),
        learner.pipeline.gate,
        classes,
    )


def _right(logits: Values | None, judged: Material, n_min: int) -> float | None:
    """Accuracy on what the gate judges by; None where that is nothing."""
    truth, _ = gate.truth_of(judged.logits, judged.labels, n_min)
    known = truth >= 0
    if logits is None or not known.any():
        return None
    return float((logits[known].argmax(axis=1) == truth[known]).mean())

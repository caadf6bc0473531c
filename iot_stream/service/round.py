"""One round, top to bottom: sample, train, distil, fuse, encode, judge. No store, no broker, no clock of its
own, so that the live distiller and the replay of recordings run the very same lines."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from iot_stream.clock import iso
from iot_stream.config import Pipeline
from iot_stream.distill import cost, sampler, teachers
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
    passes = 0
    if training:
        batch = replace(batch, material=_said_anew(batch.material, tuned))
        judged = _said_anew(judged, tuned)
        passes += len(batch.material) + len(judged)

    # Distillation, from the weights on the devices; fusion is the moving average and the pull to the anchor.
    architecture, settings = learner.architecture, learner.pipeline.distill
    spec = architecture.spec
    if settings.of_features:
        batch = replace(batch, material=_with_features(batch.material, tuned))
        passes += len(batch.material)
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
            "flops": cost.training_flops(net, spec.cut.length, spec.model_channels, trained.windows)
            + cost.teacher_flops(tuned, passes, training.get("windows", 0)),
            "teacher_passes": passes,
            "teacher_passes_saved": trained.windows - passes,
        },
    }
    return Result(candidate, verdict, tuned, report)


def _tune(
    learner: Learner, teacher: Teacher, stream: Material, now: int, seed: int, say: Say
) -> tuple[Teacher, dict[str, Any]]:
    """The teacher fine-tuned on the stream's labels; as it was where there are none, or it is not wanted."""
    fresh = np.flatnonzero(stream.labels >= 0)
    if not learner.pipeline.train.tune_steps or stream.teacher_x is None or not len(fresh):
        return teacher, {}
    ages = sampler.by_age(stream.ends[fresh], now, learner.pipeline.sample)
    lessons = Lessons(stream.teacher_x[fresh], stream.labels[fresh], ages)
    train = learner.pipeline.train
    tuned, spent = teachers.tune(teacher, lessons, learner.lessons, train, seed)
    losses = "".join(f": loss {value:.4f}" for value in spent.losses.values())
    say("training", f"teacher fine-tuned on {len(fresh)} late labels{losses}")
    windows = train.tune_steps * train.batch
    return tuned, {
        "late_labels": len(fresh),
        "steps": spent.steps,
        "windows": windows,
        "losses": spent.losses,
    }


def _said_anew(material: Material, teacher: Teacher) -> Material:
    assert material.teacher_x is not None
    return replace(material, logits=teacher.logits(material.teacher_x))


def _with_features(material: Material, teacher: Teacher) -> Material:
    assert material.teacher_x is not None
    return replace(material, features=teachers.features(teacher, material.teacher_x))


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

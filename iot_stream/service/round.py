"""One round, top to bottom: sample, distil, fuse, encode, judge. No store, no broker, no clock of its own,
so that the live distiller and the replay of recordings run the very same lines."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from iot_stream.clock import iso
from iot_stream.config import Pipeline
from iot_stream.distill import sampler, student
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture, Packed
from iot_stream.distill.trainer import distil
from iot_stream.readings import Times
from iot_stream.release import gate
from iot_stream.release.gate import Verdict

Say = Callable[[str, str], None]  # (stage, detail)


@dataclass(frozen=True)
class Learner:
    """What stays from round to round: settings, the student's form, its bootstrap and its first weights."""

    pipeline: Pipeline
    architecture: Architecture
    bootstrap: Material
    anchor: bytes


@dataclass(frozen=True)
class Result:
    candidate: Packed
    verdict: Verdict
    report: dict[str, Any]


def run(
    learner: Learner, running: Packed, stream: Material, since: int, now: int, seed: int, say: Say
) -> Result:
    """Distil from `stream` (what the teacher has spoken on so far) into a candidate, and judge it.

    `running` is the version on the devices; `since` and `now` are stream times (ns) of the last round's
    start and of this one's. Raises ModelError.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    settings = learner.pipeline.distill

    # Sample: what judges is taken out first; the rest is recent windows and a reservoir of old regimes.
    trains, judges = sampler.hold_out(stream, since, learner.pipeline.gate)
    batch = sampler.draw(stream.rows(trains), learner.bootstrap, learner.pipeline.sample, now)
    judged = stream.rows(judges)
    say("sample", f"{batch.recent} recent, {batch.reservoir} from the reservoir, {len(judged)} to judge by")

    # Distillation, from the weights on the devices; fusion is the moving average and the pull to the anchor.
    net = learner.architecture.resumed(running.resume)
    trained = distil(
        net,
        learner.architecture.spec.model_input(batch.material.x),
        batch.material.logits,
        batch.material.labels,
        settings,
        seed,
        weights=batch.weights,
        anchor=student.tensors(learner.anchor),
    )
    losses = ", ".join(f"{name} {value:.4f}" for name, value in trained.losses.items())
    say("distillation", f"{trained.steps} steps: {losses}")

    # As the device will run it: encoded, decoded, in the device's runtime.
    candidate = learner.architecture.pack(net)
    verdict = _judge(learner, candidate, running, judged)

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
        "distillation": {"steps": trained.steps, "losses": trained.losses},
        "fusion": {"ema": settings.ema, "pull": settings.pull},
        "gate": verdict.report(),
        "cost": {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_began,
            "distill_seconds": trained.seconds,
        },
    }
    return Result(candidate, verdict, report)


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

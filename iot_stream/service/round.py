"""One round, top to bottom: sample, train, distil, fuse, encode, judge. No store, no broker, no clock of its
own, so that the live distiller and the replay of recordings run the very same lines."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from iot_stream.clock import iso
from iot_stream.distill import cost, sampler, split
from iot_stream.distill.explain import account
from iot_stream.distill.material import Material
from iot_stream.distill.student import Packed
from iot_stream.distill.teachers import Teacher
from iot_stream.readings import Times
from iot_stream.release import gate
from iot_stream.release.gate import Verdict
from iot_stream.service import stages
from iot_stream.service.stages import Learner, Say


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
    past: Sequence[bytes] = (),
) -> Result:
    """Distil from `stream` (what the teacher has spoken on so far) into a candidate, and judge it.

    `running` is the version on the devices; `since` and `now` are stream times (ns) of the last round's
    start and of this one's. `past`: as many of the last versions (`Packed.resume`) as `distill.average`
    says, the running one among them. Raises ModelError.
    """
    began, cpu_began = time.perf_counter(), time.process_time()

    # Trust: what a broken channel made the teacher say is neither learnt nor judged by.
    spoken_of, broken = stream, stages.broken(learner, stream)
    stream = stream.rows(np.flatnonzero(~broken.any(axis=1)))

    # Sample: what judges is taken out first; the rest is recent windows and a reservoir of old regimes.
    parts = split.split(stream, learner.bootstrap, since, learner.pipeline.gate)
    learnt, judged = stream.rows(parts.trains), stream.rows(parts.judges)
    old = split.old_regimes(stream, learner.bootstrap, parts)
    known = learner.bootstrap.rows(parts.bootstrap_trains)
    batch = sampler.draw(learnt, known, learner.pipeline.sample, now)
    if learner.pipeline.sample.disagreement:
        mine = running.model().logits(batch.material.x)
        batch = sampler.by_disagreement(batch, mine, learner.pipeline.sample.disagreement)
    told = f", {len(old)} of old regimes" if len(old) else ""
    say(
        "sample",
        f"{batch.recent} recent, {batch.reservoir} from the reservoir, {len(judged)} to judge by{told}",
    )

    # Training: the teacher goes on with the labels that have come, and speaks anew on the sample.
    tuned, training = stages.tune(learner, teacher, learnt, now, seed, say)
    passes = 0
    if training:
        batch = replace(
            batch, material=stages.said_anew(stages.as_now(learner, batch.material, tuned), tuned)
        )
        judged, old = stages.said_anew(judged, tuned), stages.said_anew(old, tuned)
        passes += len(batch.material) + len(judged) + len(old)

    # Fusion, its first part: which α, β, T and rate do best on the newest of what may be learnt.
    architecture, spec = learner.architecture, learner.architecture.spec
    settings, trials = stages.searched(learner, running, tuned, bool(training), learnt, known, now, seed, say)

    # Distillation, from the weights on the devices; fusion's second part is the moving average, the pull to
    # the anchor and the mean with past students.
    if settings.of_features:
        batch = replace(batch, material=stages.with_features(batch.material, tuned))
        passes += len(batch.material)
    net, trained = architecture.further(
        running.resume, batch.material, batch.weights, settings, seed, learner.anchor, past
    )
    losses = ", ".join(f"{name} {value:.4f}" for name, value in trained.losses.items())
    say("distillation", f"{trained.steps} steps: {losses}")
    say("fusion", f"moving average {settings.ema}, pull {settings.pull}, mean with {len(past)} past students")

    # As the device will run it: encoded, decoded, in the device's runtime.
    candidate = architecture.pack(net)
    verdict = stages.judge(learner, candidate, running, judged, old)
    new = spoken_of.ends > since
    doubt = stages.doubt(learner, spoken_of.rows(new), broken[new], judged if training else stream)
    if doubt:
        verdict, tuned = replace(verdict, outcome="held", reason=f"the teacher is held: {doubt}"), teacher
        say("training", verdict.reason)
    bare = architecture.without_fusion(net, trained, judged.x)

    explaining = time.perf_counter()
    truth, basis = gate.truth_of(judged.logits, judged.labels, learner.pipeline.gate.n_min)
    evidence = account.Evidence(stream, learnt, judged, truth, basis, batch, learner.bootstrap, since)
    why = account.of(architecture, running, candidate, evidence, settings)

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
        "trust": {"broken": int(broken.any(axis=1).sum()), "doubt": doubt},
        "distillation": {
            "steps": trained.steps,
            "losses": trained.losses,
            "accuracy_before_fusion": stages.accuracy(bare, judged, learner.pipeline.gate.n_min),
        },
        "fusion": {"ema": settings.ema, "pull": settings.pull, "averaged": len(past), "search": trials},
        "gate": verdict.report(),
        "why": msgspec.to_builtins(why),
        "cost": {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu_began,
            "distill_seconds": trained.seconds,
            "explain_seconds": time.perf_counter() - explaining,
            "flops": cost.training_flops(net, spec.cut.length, spec.model_channels, trained.windows)
            + cost.teacher_flops(tuned, passes, training.get("windows", 0)),
            "teacher_passes": passes,
            "teacher_passes_saved": trained.windows - passes,
        },
    }
    return Result(candidate, verdict, tuned, report)


def _span(ends: Times) -> list[int]:
    """Median and maximum of the windows' ends (ns)."""
    return [int(np.median(ends)), int(ends.max())] if len(ends) else [0, 0]

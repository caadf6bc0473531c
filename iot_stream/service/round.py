"""One round, top to bottom: sample, train, distil, fuse, encode, judge. No store, no broker, no clock of its
own, so that the live distiller and the replay of recordings run the very same lines.

A round is of one cohort. Those of several cohorts that are due at one moment go through it together: their
teacher is one, and students of one form are distilled in one stack.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from iot_stream.clock import iso
from iot_stream.config.learning import DistillSettings
from iot_stream.distill import cost, sampler, split
from iot_stream.distill.cohorts import Lesson, distil_together
from iot_stream.distill.explain import account
from iot_stream.distill.material import Material
from iot_stream.distill.student import Packed
from iot_stream.distill.teachers import Teacher
from iot_stream.distill.trainer import Trained
from iot_stream.errors import ModelError
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


def run(round_: "Round", teacher: Teacher) -> Result:
    """Of one cohort by itself. Raises ModelError."""
    (result,) = together([round_], teacher)
    if isinstance(result, ModelError):
        raise result
    return result


def together(
    rounds: Sequence["Round"], teacher: Teacher, beside: Material | None = None
) -> list[Result | ModelError]:
    """Rounds of several cohorts of one pipeline at one moment; in the place of one that failed stands why.

    `beside`: windows of devices whose cohort has no round now; their late labels teach the teacher as well.
    """
    first = rounds[0]
    learnt, judged = first.learnt, first.judged
    for each in rounds[1:]:
        learnt, judged = learnt.and_then(each.learnt), judged.and_then(each.judged)
    if beside is not None:
        sound = ~stages.broken(first.learner, beside).any(axis=1)
        learnt = learnt.and_then(beside.rows(np.flatnonzero(sound)))
    with _Meter() as tuning:
        tuned, training = stages.tune(
            first.learner, teacher, learnt, judged, first.now, first.seed, first.say
        )
    found: dict[int, Result | ModelError] = {}
    lessons: dict[int, tuple[Lesson, DistillSettings]] = {}
    for number, each in enumerate(rounds):
        try:
            lessons[number] = each.lesson(teacher, tuned, training)
        except ModelError as error:
            found[number] = error
    for settings in {repr(settings): settings for _, settings in lessons.values()}.values():
        alike = [number for number, (_, own) in lessons.items() if own == settings]
        for number, trained in zip(
            alike, distil_together([lessons[n][0] for n in alike], settings), strict=True
        ):
            found[number] = trained if isinstance(trained, ModelError) else rounds[number].result(trained)
    shared = len(rounds)
    spent = cost.teacher_flops(tuned, 0, training.get("windows", 0))
    return [_with_training(found[number], tuning, spent, shared) for number in range(shared)]


class Round:
    """A cohort's, in three parts: what is learnt from; the lesson of the student; what came of it.

    It distils from `stream` (what the teacher has spoken on so far) into a candidate, and judges it.
    `running` is the version on the devices; `since` and `now` are stream times (ns) of the last round's
    start and of this one's. `past`: as many of the last versions (`Packed.resume`) as `distill.average`
    says, the running one among them.
    """

    def __init__(
        self,
        learner: Learner,
        running: Packed,
        stream: Material,
        since: int,
        now: int,
        seed: int,
        say: Say,
        past: Sequence[bytes] = (),
    ) -> None:
        self.learner, self._running, self._since, self.now = learner, running, since, now
        self.seed, self.say, self._past = seed, say, past
        self._meter = _Meter()
        with self._meter:
            # Trust: what a broken channel made the teacher say is neither learnt nor judged by.
            self._spoken_of, self._broken = stream, stages.broken(learner, stream)
            self._stream = stream = stream.rows(np.flatnonzero(~self._broken.any(axis=1)))

            # Sample: what judges is taken out first; the rest is recent windows, and a reservoir of old ones.
            parts = split.split(stream, learner.bootstrap, since, learner.pipeline.gate)
            self.learnt, self.judged = stream.rows(parts.trains), stream.rows(parts.judges)
            self._old = split.old_regimes(stream, learner.bootstrap, parts)
            self._known = learner.bootstrap.rows(parts.bootstrap_trains)
            batch = sampler.draw(self.learnt, self._known, learner.pipeline.sample, now)
            if learner.pipeline.sample.disagreement:
                mine = running.model().logits(batch.material.x)
                batch = sampler.by_disagreement(batch, mine, learner.pipeline.sample.disagreement)
            self._batch = batch
            told = f", {len(self._old)} of old regimes" if len(self._old) else ""
            judges = f"{len(self.judged)} to judge by{told}"
            say("sample", f"{batch.recent} recent, {batch.reservoir} from the reservoir, {judges}")

    def lesson(
        self, teacher: Teacher, tuned: Teacher, training: dict[str, Any]
    ) -> tuple[Lesson, DistillSettings]:
        """From the weights on the devices, with what the teacher says now. Raises ModelError.

        `training`: what it took to teach `teacher` into `tuned`, empty where nothing did.
        """
        with self._meter:
            self._teacher, self._tuned, self._training = teacher, tuned, training
            learner, self._passes = self.learner, 0
            if training:
                moved = stages.as_now(learner, self._batch.material, tuned)
                self._batch = replace(self._batch, material=stages.said_anew(moved, tuned))
                self.judged, self._old = (stages.said_anew(part, tuned) for part in (self.judged, self._old))
                self._passes = len(moved) + len(self.judged) + len(self._old)

            # Fusion, its first part: which α, β, T and rate do best on the newest of what may be learnt.
            self._settings, self._trials = stages.searched(
                learner, self._running, tuned, bool(training), self.learnt, self._known, self.now,
                self.seed, self.say,
            )  # fmt: skip

            if self._settings.of_features:
                material = stages.with_features(self._batch.material, tuned)
                self._batch = replace(self._batch, material=material)
                self._passes += len(material)
            self._lesson = learner.architecture.lesson(
                self._running.resume, self._batch.material, self._batch.weights, self.seed, learner.anchor
            )
            return self._lesson, self._settings

    def result(self, trained: Trained) -> Result:
        """Fusion's second part is the moving average, the pull to the anchor and the mean with past students;
        then the candidate as the device will run it: encoded, decoded, in the device's runtime."""
        with self._meter:
            learner, judged, tuned = self.learner, self.judged, self._tuned
            architecture, settings, net = learner.architecture, self._settings, self._lesson.student
            trained = architecture.fused(self._lesson, trained, self._past)
            losses = ", ".join(f"{name} {value:.4f}" for name, value in trained.losses.items())
            self.say("distillation", f"{trained.steps} steps: {losses}")
            mean = f"mean with {len(self._past)} past students"
            self.say("fusion", f"moving average {settings.ema}, pull {settings.pull}, {mean}")

            candidate = architecture.pack(net)
            verdict = stages.judge(learner, candidate, self._running, judged, self._old)
            new = self._spoken_of.ends > self._since
            heard = judged if self._training else self._stream
            doubt = stages.doubt(learner, self._spoken_of.rows(new), self._broken[new], heard)
            if doubt:
                verdict = replace(verdict, outcome="held", reason=f"the teacher is held: {doubt}")
                tuned = self._teacher
                self.say("training", verdict.reason)
            bare = architecture.without_fusion(net, trained, judged.x)

            with _Meter() as explaining:
                truth, basis = gate.truth_of(judged.logits, judged.labels, learner.pipeline.gate.n_min)
                evidence = account.Evidence(
                    self._stream,
                    self.learnt,
                    judged,
                    truth,
                    basis,
                    self._batch,
                    learner.bootstrap,
                    self._since,
                )
                why = account.of(architecture, self._running, candidate, evidence, settings)
        report = {
            "since": iso(self._since),
            "now": iso(self.now),
            "sample": self._sampled(),
            "training": self._training,
            "trust": {"broken": int(self._broken.any(axis=1).sum()), "doubt": doubt},
            "distillation": {
                "steps": trained.steps,
                "losses": trained.losses,
                "accuracy_before_fusion": stages.accuracy(bare, judged, learner.pipeline.gate.n_min),
            },
            "fusion": {
                "ema": settings.ema,
                "pull": settings.pull,
                "averaged": len(self._past),
                "search": self._trials,
            },
            "gate": verdict.report(),
            "why": msgspec.to_builtins(why),
            "cost": self._cost(trained) | {"explain_seconds": explaining.seconds},
        }
        return Result(candidate, verdict, tuned, report)

    def _sampled(self) -> dict[str, Any]:
        batch = self._batch
        return {
            "recent": batch.recent,
            "reservoir": batch.reservoir,
            "labelled": int((batch.material.labels >= 0).sum()),
            "recent_median_and_newest_ns": _span(batch.material.ends[: batch.recent]),
            "devices": sorted(set(batch.material.devices[: batch.recent].tolist())),
        }

    def _cost(self, trained: Trained) -> dict[str, Any]:
        spec, passes = self.learner.architecture.spec, self._passes
        mine = cost.training_flops(
            self._lesson.student, spec.cut.length, spec.model_channels, trained.windows
        )
        return {
            "seconds": self._meter.seconds + trained.seconds,
            "cpu_seconds": self._meter.cpu_seconds + trained.cpu_seconds,
            "distill_seconds": trained.seconds,
            "flops": mine + cost.teacher_flops(self._tuned, passes, 0),
            "teacher_passes": passes,
            "teacher_passes_saved": trained.windows - passes,
        }


class _Meter:
    """Seconds, and seconds of CPU, of all that was done within it."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> "_Meter":
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += time.perf_counter() - self._began
        self.cpu_seconds += time.process_time() - self._cpu_began


def _with_training(
    result: Result | ModelError, tuning: _Meter, flops: int, rounds: int
) -> Result | ModelError:
    """Each round bears its share of what its teacher's training took."""
    if isinstance(result, Result):
        spent = result.report["cost"]
        spent["seconds"] += tuning.seconds / rounds
        spent["cpu_seconds"] += tuning.cpu_seconds / rounds
        spent["flops"] += flops // rounds
    return result


def _span(ends: Times) -> list[int]:
    """Median and maximum of the windows' ends (ns)."""
    return [int(np.median(ends)), int(ends.max())] if len(ends) else [0, 0]

"""One round, top to bottom: sample, train, distil, fuse, encode, judge. No store, no broker, no clock of its
own, so that the live distiller and the replay of recordings run the very same lines.

A round is of one cohort. Those of several cohorts that are due at one moment go through it together: their
teacher is one, and students of one form are distilled in stacks, here or over many machines.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from iot_stream.clock import iso
from iot_stream.config.cohorts import RAY
from iot_stream.distill import cost, machines, sampler, split
from iot_stream.distill.cohorts import Learn, Lesson, distil_together, learn_here
from iot_stream.distill.explain import account
from iot_stream.distill.losses import Parts
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture, Packed
from iot_stream.distill.teachers import Teacher
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ModelError
from iot_stream.readings import Times
from iot_stream.release import gate
from iot_stream.release.gate import Verdict
from iot_stream.service import candidates, stages
from iot_stream.service.candidates import Candidate
from iot_stream.service.packing import Packing
from iot_stream.service.stages import Learner, Say
from iot_stream.store.doubts import Clearing

BEGINNING = -(2**63)  # before all windows
TELL_S = 1.0  # between two words of a lesson's losses


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
        sound = ~stages.broken(first.learner, beside, first.cleared_until).any(axis=1)
        learnt = learnt.and_then(beside.rows(np.flatnonzero(sound)))
    with _Meter() as tuning:
        tuned, training = stages.tune(
            first.learner, teacher, learnt, judged, first.now, first.seed, first.say
        )
    found: dict[int, Result | ModelError] = {}
    lessons: dict[int, list[Lesson]] = {}
    for number, each in enumerate(rounds):
        try:
            lessons[number] = each.lessons(teacher, tuned, training)
        except ModelError as error:
            found[number] = error
    cohorts = first.learner.pipeline.cohorts
    learn: Learn
    if cohorts.engine == RAY:
        learn = partial(machines.learn, threads=cohorts.threads)
    else:
        learn = partial(learn_here, threads=cohorts.threads, progress=_losses(first.say))
    outcomes = iter(distil_together([*chain.from_iterable(lessons.values())], cohorts.stack, learn))
    for number, theirs in lessons.items():
        found[number] = rounds[number].result(list(islice(outcomes, len(theirs))))
    shared = len(rounds)
    spent = cost.teacher_flops(tuned, 0, training.get("windows", 0))
    return [_with_training(found[number], tuning, spent, shared) for number in range(shared)]


def _losses(say: Say) -> Progress:
    """Tells the losses of a lesson that takes longer than a moment."""
    told = time.monotonic()

    def progress(done: int, steps: int, parts: Parts) -> None:
        nonlocal told
        if time.monotonic() >= told + TELL_S:
            told = time.monotonic()
            losses = ", ".join(f"{name} {float(part.mean()):.4f}" for name, part in parts.items())
            say("distillation", f"step {done} of {steps}: {losses}")

    return progress


class Round:
    """A cohort's, in three parts: what is learnt from; the lessons of the student; what came of them.

    It distils from `stream` (what the teacher has spoken on so far) into a candidate, and judges it.
    `running` is the version on the devices; `since` (ns, for each window or for all): what ends later is new
    to this round, which starts at `now`. `past`: as many of the last versions (`Packed.resume`) as
    `distill.average` says, the running one among them. `cleared`: until when a person has taken the teacher's
    side.
    """

    def __init__(
        self,
        learner: Learner,
        running: Packed,
        stream: Material,
        since: int | Times,
        now: int,
        seed: int,
        say: Say,
        past: Sequence[bytes] = (),
        cleared: Clearing | None = None,
    ) -> None:
        self.learner, self._running, self.now = learner, running, now
        self._since = int(np.min(since, initial=now))
        self.seed, self.say, self._past = seed, say, past
        self._architecture = learner.architecture.under(running)
        self._cleared, self.cleared_until = cleared, cleared.until if cleared else BEGINNING
        self._meter = _Meter()
        with self._meter:
            # Trust: what a broken channel made the teacher say is neither learnt nor judged by.
            self._spoken_of, self._new = stream, stream.ends > since
            self._broken = stages.broken(learner, stream, self.cleared_until)
            sound = np.flatnonzero(~self._broken.any(axis=1))
            self._stream, self._fresh = stream, fresh = stream.rows(sound), self._new[sound]

            # Sample: what judges is taken out first; the rest is recent windows, and a reservoir of old ones.
            parts = split.split(stream, learner.bootstrap, fresh, learner.pipeline.gate)
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

    def lessons(self, teacher: Teacher, tuned: Teacher, training: dict[str, Any]) -> list[Lesson]:
        """From the weights on the devices, with what the teacher says now; one for each candidate. Raises
        ModelError.

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
            ways, recent = [self._architecture], self._batch.material.x[: self._batch.recent]
            if self._settings.renormalise and len(recent) >= learner.pipeline.gate.n_min:
                ways.append(self._architecture.renormalised(recent))
            arguments = self._batch.material, self._batch.weights, self._settings, self.seed, learner.anchor
            self._ways = [(way, way.lesson(self._running.resume, *arguments)) for way in ways]
            return [lesson for _, lesson in self._ways]

    def result(self, outcomes: Sequence[Trained | ModelError]) -> Result | ModelError:
        """Of the lessons; ModelError where all of them failed.

        Fusion's second part is the moving average, the pull to the anchor and the mean with past students;
        then the candidate as the device will run it: encoded, decoded, in the device's runtime.
        """
        with self._meter:
            learner, judged, tuned, settings = self.learner, self.judged, self._tuned, self._settings
            tried = [
                self._candidate(*way, outcome)
                for way, outcome in zip(self._ways, outcomes, strict=True)
                if isinstance(outcome, Trained)
            ]
            if not tried:
                return next(each for each in outcomes if isinstance(each, ModelError))
            taken = candidates.best(tried)
            verdict, trained = taken.choice.verdict, taken.trained
            losses = ", ".join(f"{name} {value:.4f}" for name, value in trained.losses.items())
            self.say("distillation", f"{trained.steps} steps: {losses}")
            fused = {
                f"moving average {settings.ema:g}": settings.ema,
                f"pull {settings.pull:g}": settings.pull,
                f"mean with {taken.averaged} past students": taken.averaged,
                "inputs normalised anew": taken.renormalised,
            }
            self.say("fusion", ", ".join(told for told, done in fused.items() if done) or "none")
            new = self._new
            heard = judged if self._training else self._stream
            doubt = stages.doubt(
                learner, self._spoken_of.rows(new), self._broken[new], heard, self.cleared_until
            )
            if doubt:
                verdict = replace(verdict, outcome="held", reason=f"the teacher is held: {doubt}")
                tuned = self._teacher
                self.say("training", verdict.reason)
            bare = taken.architecture.without_fusion(taken.lesson.student, trained, judged.x)

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
                    self._fresh,
                )
                why = account.of(
                    self._architecture, self._running, taken.choice.candidate, evidence, settings
                )
        report = {
            "since": iso(self._since),
            "now": iso(self.now),
            "sample": self._sampled(),
            "training": self._training,
            "trust": {
                "broken": int(self._broken.any(axis=1).sum()),
                "doubt": doubt,
                "cleared": self._cleared and {"until": iso(self._cleared.until), "by": self._cleared.who},
            },
            "distillation": {
                "steps": trained.steps,
                "losses": trained.losses,
                "accuracy_before_fusion": stages.accuracy(bare, judged, learner.pipeline.gate.n_min),
            },
            "fusion": {
                "ema": settings.ema,
                "pull": settings.pull,
                "averaged": taken.averaged,
                "search": self._trials,
                "renormalised": candidates.compared(tried, taken),
            },
            "encoding": taken.choice.told,
            "gate": verdict.report(),
            "why": msgspec.to_builtins(why),
            "cost": self._cost([each.trained for each in tried]) | {"explain_seconds": explaining.seconds},
        }
        return Result(taken.choice.candidate, verdict, tuned, report)

    def _candidate(self, architecture: Architecture, lesson: Lesson, trained: Trained) -> Candidate:
        anew = architecture is not self._architecture
        past = () if anew else self._past  # past students know inputs as the running one does
        trained = architecture.fused(lesson, trained, past)
        packing = Packing(self.learner, architecture, lesson.student, self._running, self.judged, self._old)
        return Candidate(architecture, lesson, trained, len(past), packing.chosen(), anew)

    def _sampled(self) -> dict[str, Any]:
        batch = self._batch
        return {
            "recent": batch.recent,
            "reservoir": batch.reservoir,
            "labelled": int((batch.material.labels >= 0).sum()),
            "recent_median_and_newest_ns": _span(batch.material.ends[: batch.recent]),
            "devices": sorted(set(batch.material.devices[: batch.recent].tolist())),
        }

    def _cost(self, trained: Sequence[Trained]) -> dict[str, Any]:
        """Of all candidates together."""
        spec, passes, (_, lesson) = self._architecture.spec, self._passes, self._ways[0]
        seconds, windows = sum(each.seconds for each in trained), sum(each.windows for each in trained)
        mine = cost.training_flops(lesson.student, spec.cut.length, spec.model_channels, windows)
        return {
            "seconds": self._meter.seconds + seconds,
            "cpu_seconds": self._meter.cpu_seconds + sum(each.cpu_seconds for each in trained),
            "distill_seconds": seconds,
            "flops": mine + cost.teacher_flops(self._tuned, passes, 0),
            "teacher_passes": passes,
            "teacher_passes_saved": windows - passes,
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

"""One round, top to bottom: sample, train, distil, fuse, encode, judge. No store, no broker, no clock of its
own, so that the live distiller and the replay of recordings run the very same lines."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import iso
from iot_stream.config import Pipeline
from iot_stream.config.learning import DistillSettings
from iot_stream.device.model import Model
from iot_stream.distill import cost, sampler, search, split, teachers
from iot_stream.distill.explain import account
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture, Packed
from iot_stream.distill.teachers import Lessons, Teacher, check
from iot_stream.distill.teachers.check import Record
from iot_stream.labelling import enough_classes
from iot_stream.readings import Times, Values
from iot_stream.release import gate
from iot_stream.release.gate import Verdict

Say = Callable[[str, str], None]  # (stage, detail)


@dataclass(frozen=True)
class Learner:
    """What stays from round to round: settings, the student's form, its bootstrap and its first weights, what
    the teacher was first taught, and what it was like then."""

    pipeline: Pipeline
    architecture: Architecture
    bootstrap: Material
    anchor: bytes
    lessons: Lessons
    record: Record

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
    past: Sequence[bytes] = (),
) -> Result:
    """Distil from `stream` (what the teacher has spoken on so far) into a candidate, and judge it.

    `running` is the version on the devices; `since` and `now` are stream times (ns) of the last round's
    start and of this one's. `past`: as many of the last versions (`Packed.resume`) as `distill.average`
    says, the running one among them. Raises ModelError.
    """
    began, cpu_began = time.perf_counter(), time.process_time()

    # Trust: what a broken channel made the teacher say is neither learnt nor judged by.
    spoken_of, broken = stream, _broken(learner, stream)
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
    tuned, training = _tune(learner, teacher, learnt, now, seed, say)
    passes = 0
    if training:
        batch = replace(batch, material=_said_anew(_as_now(learner, batch.material, tuned), tuned))
        judged, old = _said_anew(judged, tuned), _said_anew(old, tuned)
        passes += len(batch.material) + len(judged) + len(old)

    # Fusion, its first part: which α, β, T and rate do best on the newest of what may be learnt.
    architecture, spec = learner.architecture, learner.architecture.spec
    settings, trials = _search(learner, running, tuned, bool(training), learnt, known, now, seed, say)

    # Distillation, from the weights on the devices; fusion's second part is the moving average, the pull to
    # the anchor and the mean with past students.
    if settings.of_features:
        batch = replace(batch, material=_with_features(batch.material, tuned))
        passes += len(batch.material)
    net, trained = architecture.further(
        running.resume, batch.material, batch.weights, settings, seed, learner.anchor, past
    )
    losses = ", ".join(f"{name} {value:.4f}" for name, value in trained.losses.items())
    say("distillation", f"{trained.steps} steps: {losses}")
    say("fusion", f"moving average {settings.ema}, pull {settings.pull}, mean with {len(past)} past students")

    # As the device will run it: encoded, decoded, in the device's runtime.
    candidate = architecture.pack(net)
    verdict = _judge(learner, candidate, running, judged, old)
    new = spoken_of.ends > since
    doubt = _doubt(learner, spoken_of.rows(new), broken[new], judged if training else stream)
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
            "accuracy_before_fusion": _right(bare, judged, learner.pipeline.gate.n_min),
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


def _tune(
    learner: Learner, teacher: Teacher, stream: Material, now: int, seed: int, say: Say
) -> tuple[Teacher, dict[str, Any]]:
    """The teacher after the stream's labels, and its windows where it learns from those; as it was where
    there is nothing for it, or it is not wanted."""
    if not learner.pipeline.train.tune_steps or stream.teacher_x is None:
        return teacher, {}
    ages = sampler.by_age(stream.ends, now, learner.pipeline.sample)
    lessons = Lessons(stream.teacher_x, stream.labels, ages, stream.ends)
    tuned, spent = teachers.tune(teacher, lessons, learner.lessons, learner.pipeline.train, seed)
    if tuned is teacher:
        return teacher, {}
    late = int((stream.labels >= 0).sum())
    losses = "".join(f": loss {value:.4f}" for value in spent.losses.values())
    say("training", f"teacher tuned on {len(stream)} windows, {late} of them with late labels{losses}")
    return tuned, {
        "late_labels": late,
        "steps": spent.steps,
        "windows": spent.windows,
        "losses": spent.losses,
    }


def _search(
    learner: Learner,
    running: Packed,
    teacher: Teacher,
    retold: bool,
    learnt: Material,
    known: Material,
    now: int,
    seed: int,
    say: Say,
) -> tuple[DistillSettings, list[dict[str, Any]]]:
    """The settings that do best walking forward: trained on all but the newest of `learnt`, tried on that."""
    settings, architecture = learner.pipeline.distill, learner.architecture
    if settings.search is None:
        return settings, []
    older, newest = search.walk_forward(learnt)
    held, batch = learnt.rows(newest), sampler.draw(learnt.rows(older), known, learner.pipeline.sample, now)
    if retold:
        held, batch = _said_anew(held, teacher), replace(batch, material=_said_anew(batch.material, teacher))
    if settings.of_features:
        batch = replace(batch, material=_with_features(batch.material, teacher))
    truth = np.where(held.labels >= 0, held.labels, held.said)
    if not enough_classes(truth, search.FEWEST):
        say("fusion", "no search: hardly more than one class among the newest windows")
        return settings, []

    def trial(tried: DistillSettings, share: float, trial_seed: int) -> Values:
        count = max(1, round(share * len(batch.material)))
        rows = np.sort(np.random.default_rng(trial_seed).permutation(len(batch.material))[:count])
        net, _ = architecture.further(
            running.resume,
            batch.material.rows(rows),
            batch.weights[rows],
            tried,
            trial_seed,
            learner.anchor,
        )
        return architecture.logits(net, held.x)

    labelled = bool((batch.material.labels >= 0).any())
    found = search.halving(settings, labelled, truth, trial, seed)
    chosen = found.settings
    told = f"T {chosen.temperature:.3g}, rate {chosen.rate:.3g}, α {chosen.alpha:.3g}, β {chosen.beta:.3g}"
    say("fusion", f"{len(found.trials)} trials on {len(held)} newest windows: {told}")
    return chosen, found.trials


def _broken(learner: Learner, stream: Material) -> NDArray[np.bool_]:
    """(n, inputs) of the teacher: where it cannot be believed, as far as they are at hand."""
    if stream.teacher_x is None:
        return np.zeros((len(stream), 0), bool)
    return learner.record.broken(stream.teacher_x, stream.devices, stream.ends, stream.logits)


def _doubt(learner: Learner, new: Material, broken: NDArray[np.bool_], heard: Material) -> str:
    """Why the teacher is held, empty if it is not; late labels judge by `heard`."""
    last = np.argsort(heard.ends, kind="stable")
    by_labels = heard.logits[last], heard.labels[last]
    return check.doubt(learner.record, broken, new.logits, by_labels, learner.pipeline.trust)


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


def _with_features(material: Material, teacher: Teacher) -> Material:
    assert material.teacher_x is not None
    return replace(material, features=teachers.features(teacher, material.teacher_x))


def _span(ends: Times) -> list[int]:
    """Median and maximum of the windows' ends (ns)."""
    return [int(np.median(ends)), int(ends.max())] if len(ends) else [0, 0]


def _judge(learner: Learner, candidate: Packed, running: Packed, judged: Material, old: Material) -> Verdict:
    """On recent windows, then on those of old regimes."""
    new, before = candidate.model(), running.model()
    settings, classes = learner.pipeline.gate, learner.pipeline.classes
    verdict = gate.judge(
        _logits(new, judged),
        _logits(before, judged),
        judged.logits,
        judged.labels,
        len(candidate.weights),
        settings,
        classes,
    )
    return gate.judge_old(verdict, _logits(new, old), _logits(before, old), old.logits, old.labels, settings)


def _logits(model: Model, material: Material) -> Values:
    return model.logits(material.x) if len(material) else np.zeros_like(material.logits)


def _right(logits: Values | None, judged: Material, n_min: int) -> float | None:
    """Accuracy on what the gate judges by; None where that is nothing."""
    truth, _ = gate.truth_of(judged.logits, judged.labels, n_min)
    known = truth >= 0
    if logits is None or not known.any():
        return None
    return float((logits[known].argmax(axis=1) == truth[known]).mean())

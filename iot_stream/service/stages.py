"""The stages of a round, one function each, and what stays from round to round."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Pipeline
from iot_stream.config.learning import DistillSettings
from iot_stream.device.model import Model
from iot_stream.distill import sampler, search, teachers
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture, Packed
from iot_stream.distill.teachers import Lessons, Teacher, check
from iot_stream.distill.teachers.check import Record
from iot_stream.labelling import enough_classes
from iot_stream.readings import Values
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


def tune(
    learner: Learner, teacher: Teacher, stream: Material, judged: Material, now: int, seed: int, say: Say
) -> tuple[Teacher, dict[str, Any]]:
    """The teacher after the stream's labels, and its windows where it learns from those, if it passes a gate
    of its own on `judged`; as it was where there is nothing for it, or it is not wanted."""
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
    verdict = _judge_teacher(learner, tuned, teacher, judged)
    say("training", f"teacher {verdict['outcome']}: {verdict['reason']}")
    return tuned if verdict["outcome"] == "passed" else teacher, {
        "late_labels": late,
        "steps": spent.steps,
        "windows": spent.windows,
        "losses": spent.losses,
        "gate": verdict,
    }


def _judge_teacher(learner: Learner, tuned: Teacher, before: Teacher, judged: Material) -> dict[str, Any]:
    """The teacher's own gate, on windows that were kept to judge by and whose labels have come."""
    settings, labelled = learner.pipeline.gate, judged.rows(judged.labels >= 0)
    if len(labelled) < settings.n_min:
        labelled = labelled.rows(np.zeros(len(labelled), bool))  # decides nothing, and need not be asked
        return gate.judge_teacher(labelled.logits, labelled.logits, labelled.labels, settings)
    assert labelled.teacher_x is not None
    said, had_said = (teacher.logits(labelled.teacher_x) for teacher in (tuned, before))
    return gate.judge_teacher(said, had_said, labelled.labels, settings)


def searched(
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
    settings, architecture = learner.pipeline.distill, learner.architecture.under(running)
    if settings.search is None:
        return settings, []
    older, newest = search.walk_forward(learnt)
    held, batch = learnt.rows(newest), sampler.draw(learnt.rows(older), known, learner.pipeline.sample, now)
    if retold:
        held, batch = said_anew(held, teacher), replace(batch, material=said_anew(batch.material, teacher))
    if settings.of_features:
        batch = replace(batch, material=with_features(batch.material, teacher))
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


def broken(learner: Learner, stream: Material, cleared: int) -> NDArray[np.bool_]:
    """(n, inputs) of the teacher: where it cannot be believed, as far as they are at hand.

    Windows that end by `cleared` (ns) are believed, and a channel that is stuck is so since then.
    """
    if stream.teacher_x is None:
        return np.zeros((len(stream), 0), bool)
    found = np.zeros((len(stream), len(learner.record.channels)), bool)
    since, x = np.flatnonzero(stream.ends > cleared), stream.teacher_x
    found[since] = learner.record.broken(
        x[since], stream.devices[since], stream.ends[since], stream.logits[since]
    )
    return found


def doubt(learner: Learner, new: Material, broken: NDArray[np.bool_], heard: Material, cleared: int) -> str:
    """Why the teacher is held, empty if it is not; late labels judge by `heard`. What ends by `cleared` (ns)
    does not count."""
    counts = new.ends > cleared
    new, broken, heard = new.rows(counts), broken[counts], heard.rows(heard.ends > cleared)
    last = np.argsort(heard.ends, kind="stable")
    by_labels = check.Heard(heard.logits[last], heard.labels[last], heard.devices[last])
    return check.doubt(learner.record, broken, new.logits, by_labels, learner.pipeline.trust)


def as_now(learner: Learner, material: Material, teacher: Teacher) -> Material:
    """Windows of the past as they would look now, where the teacher knows how their classes moved and sees
    what the student sees."""
    same = teacher.spec.cut == learner.architecture.spec.cut
    if not (teacher.follows and same):
        return material
    classes = np.where(material.labels >= 0, material.labels, material.said)
    moved = teacher.as_now(material.x, classes, material.ends)
    return replace(material, x=moved, teacher_x=moved)


def said_anew(material: Material, teacher: Teacher) -> Material:
    assert material.teacher_x is not None
    return replace(material, logits=teacher.logits(material.teacher_x))


def with_features(material: Material, teacher: Teacher) -> Material:
    assert material.teacher_x is not None
    return replace(material, features=teachers.features(teacher, material.teacher_x))


def judge(learner: Learner, candidate: Packed, running: Packed, judged: Material, old: Material) -> Verdict:
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


def accuracy(logits: Values | None, judged: Material, n_min: int) -> float | None:
    """Accuracy on what the gate judges by; None where that is nothing."""
    truth, _ = gate.truth_of(judged.logits, judged.labels, n_min)
    known = truth >= 0
    if logits is None or not known.any():
        return None
    return float((logits[known].argmax(axis=1) == truth[known]).mean())

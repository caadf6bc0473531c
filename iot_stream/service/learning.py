"""Before the first round: teacher, first student, rivals; made once, then taken from the registry."""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Pipeline
from iot_stream.device.model import Model
from iot_stream.distill import split, teachers
from iot_stream.distill import student as students
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.losses import SOFT, Parts
from iot_stream.distill.material import Material
from iot_stream.distill.models import factory
from iot_stream.distill.student import Architecture, Packed
from iot_stream.distill.teachers import Lessons, Teacher
from iot_stream.distill.teachers.check import Record
from iot_stream.errors import ConfigError, ModelError
from iot_stream.labelling import NO_LABEL, named, spoken
from iot_stream.service import bootstrap as bootstraps
from iot_stream.service import cold_start
from iot_stream.service.bootstrap import Bootstrap
from iot_stream.service.models import Models, keep, unpack
from iot_stream.service.stages import Learner, Say
from iot_stream.spec import Spec

log = logging.getLogger(__name__)

STATIC, STATIC_ALL = "static", "static_all"


@dataclass(frozen=True)
class Prepared:
    """`everything` is all that the teacher was trained on: what the rival static-all learns from. `cold`: the
    first student comes from what devices have said, not from recordings."""

    learner: Learner
    teacher: Teacher
    first: Packed
    everything: Material
    report: dict[str, Any]
    cold: bool


def prepare(
    models: Models,
    name: str,
    pipeline: Pipeline,
    folder: Path,
    say: Say,
    heard: Callable[[], Bootstrap] | None = None,
) -> Prepared:
    """`heard`: the windows that have come, from which a teacher that needs no labels makes a first student
    where no bootstrap is recorded. Raises ConfigError, ModelError; NotTaughtYet while these are too few."""
    factory.importable(folder)
    # Before the teacher is trained, which may take hours: what could not learn from it.
    SOFT.get(pipeline.distill.loss).weighted(pipeline.distill.loss_weights)
    cut = pipeline.cut(pipeline.student)
    students.check(pipeline.student, cut, pipeline.classes, pipeline.window.masks)
    recorded = pipeline.recordings and pipeline.recordings.bootstrap
    if recorded:
        wide = bootstraps.load(pipeline, recorded.teacher, folder)
        narrow = bootstraps.load(pipeline, recorded.student, folder)
        last = int(max(wide.ends.max(), narrow.ends.max())) + 1
        wide, narrow = _before_the_stream(wide, last), _before_the_stream(narrow, last)
        teacher, taught = _teacher(models, pipeline, wide, say)
    elif heard is not None and teachers.ready(pipeline.teacher):
        teacher, taught = _teacher(models, pipeline, bootstraps.nothing(pipeline), say)
        wide = narrow = cold_start.bootstrap(models, name, pipeline, teacher, heard)
    else:
        raise ConfigError(
            f"pipelines.{name}.recordings.bootstrap: nothing to learn from; name recordings or a world"
        )
    all_of_it, initial = _material(pipeline, wide, teacher), _material(pipeline, narrow, teacher)
    if not len(initial) or not len(all_of_it):
        raise ModelError(
            "the teacher says nothing of the bootstrap; are its channels in recordings.channels?"
        )
    spec = students.spec_for(initial, cut, pipeline.classes, pipeline.window.masks)
    learnt = initial.rows(~split.apart(initial, pipeline.gate, split.whole_span(initial)).touched)
    architecture = _architecture(models, pipeline, spec, _student_key(pipeline, spec, learnt, teacher.key))
    first, cost = _student(models, STATIC, pipeline, architecture, learnt, teacher.key, say)
    report = {
        "teacher": taught,
        "first_student": cost,
        "parameters": architecture.parameters,
        "teacher_parameters": teacher.parameters,
    }
    return Prepared(
        Learner(
            pipeline,
            architecture,
            initial,
            first.resume,
            Lessons(wide.teacher_x, wide.labels, ends=wide.ends),
            _record(pipeline, teacher, wide, say),
        ),
        teacher,
        first,
        all_of_it,
        report,
        cold=not recorded,
    )


def rivals(models: Models, prepared: Prepared, say: Say) -> dict[str, Model]:
    """The students that are never updated, to be scored on every window beside the devices' own."""
    pipeline, architecture = prepared.learner.pipeline, prepared.learner.architecture
    everything, _ = _student(
        models, STATIC_ALL, pipeline, architecture, prepared.everything, prepared.teacher.key, say
    )
    return {STATIC: prepared.first.model(), STATIC_ALL: everything.model()}


def _teacher(models: Models, pipeline: Pipeline, data: Bootstrap, say: Say) -> tuple[Teacher, dict[str, Any]]:
    cut = pipeline.cut(pipeline.teacher)
    known = data.labels >= 0
    windows, labels = data.teacher_x[known], data.labels[known]
    key = teachers.key_of(windows, labels, cut, pipeline.teacher, pipeline.train, pipeline.seed)
    kept = models.model(key)
    trained = len(labels) > 0  # else it is made elsewhere, and asked for again while it is waited for
    if kept:
        if trained:
            say("training", "teacher taken from the registry")
        spec = msgspec.json.decode(kept[1]["spec"], type=Spec)
        return teachers.from_bytes(key, kept[0], spec, pipeline.teacher, pipeline.train), kept[1]["training"]
    if trained:
        say("training", f"teacher {pipeline.teacher.arch} on {len(labels)} labelled windows")
    teacher, cost = teachers.train(
        key,
        Lessons(windows, labels, ends=data.ends[known]),
        cut,
        pipeline.classes,
        pipeline.window.masks,
        pipeline.teacher,
        pipeline.train,
        pipeline.seed,
        _every_tenth(say, "training"),
        partial(_checkpoints, models, key),
    )
    said = named(teacher.logits(windows))
    agreement = float((said == labels).mean()) if len(labels) else None
    training = {
        "windows": len(labels),
        "steps": cost.steps,
        "losses": cost.losses,
        "seconds": cost.seconds,
        "cpu_seconds": cost.cpu_seconds,
        "accuracy_on_bootstrap": agreement,
    }
    if agreement is not None:
        say("training", f"teacher agrees with {agreement:.1%} of its labels after {cost.seconds:.1f} s")
    models.put_model(
        key, "teacher", teacher.to_bytes(), {"spec": teacher.spec.encode().decode(), "training": training}
    )
    models.drop_checkpoints(key)
    return teacher, training


def _checkpoints(models: Models, key: str, member: int) -> Checkpoints | None:
    """Of one of a teacher's members."""
    keeper = models.checkpoint(f"{key}:{member}")
    return Checkpoints(keeper) if keeper else None


def _record(pipeline: Pipeline, teacher: Teacher, data: Bootstrap, say: Say) -> Record:
    """What the teacher was like on all that it was taught."""
    cut, logits = pipeline.cut(pipeline.teacher), teacher.logits(data.teacher_x)
    said = named(logits)
    if pipeline.trust.folds > 1 and not teachers.ready(pipeline.teacher):
        said = _cross_validated(pipeline, data)
        known = (data.labels >= 0) & (said >= 0)
        found = float((said == data.labels)[known].mean()) if known.any() else 0.0
        say("training", f"teacher right on {found:.1%} of the bootstrap when cross-validated")
    x, devices, ends, labels = data.teacher_x, data.devices, data.ends, data.labels
    return Record.of(cut.inputs, x, devices, ends, logits, labels, said, states=bool(cut.states))


def _cross_validated(pipeline: Pipeline, data: Bootstrap) -> NDArray[np.int64]:
    """What teachers taught on the other blocks of time say of each block; −1 where nobody could be taught."""
    said = np.full(len(data.ends), NO_LABEL)
    cut, folds = pipeline.cut(pipeline.teacher), pipeline.trust.folds
    for block in np.array_split(np.argsort(data.ends, kind="stable"), folds):
        rest = data.labels >= 0
        rest[block] = False
        if len(block) and set(np.unique(data.labels[rest])) == set(range(len(pipeline.classes))):
            lessons = Lessons(data.teacher_x[rest], data.labels[rest], ends=data.ends[rest])
            shape = cut, pipeline.classes, pipeline.window.masks, pipeline.teacher, pipeline.train
            judged, _ = teachers.train("", lessons, *shape, pipeline.seed)
            said[block] = named(judged.logits(data.teacher_x[block]))
    return said


def _architecture(models: Models, pipeline: Pipeline, spec: Spec, first: str) -> Architecture:
    """With the graph of the first student where that is kept, for an export is the longest part of a start.
    Only a factory of the user's is asked each time: who knows what it builds."""
    kept = None if pipeline.student.own else models.model(first)
    if kept:
        return Architecture(pipeline.student, spec, unpack(kept[0]).graph)
    return Architecture.of(pipeline.student, spec, pipeline.seed)


def _student(
    models: Models,
    kind: str,
    pipeline: Pipeline,
    architecture: Architecture,
    material: Material,
    teacher: str,
    say: Say,
) -> tuple[Packed, dict[str, Any]]:
    """A student distilled once from scratch: kept under the hash of all that made it."""
    key = _student_key(pipeline, architecture.spec, material, teacher)
    kept = models.model(key)
    if kept:
        return unpack(kept[0]), kept[1]
    say("distillation", f"{kind} student on {len(material)} windows, {pipeline.distill.first_steps} steps")
    net, trained = architecture.first(material, pipeline.distill, pipeline.seed)
    packed = architecture.pack(net)
    agreement = float((packed.model().logits(material.x).argmax(axis=1) == material.said).mean())
    report = {
        "steps": trained.steps,
        "losses": trained.losses,
        "seconds": trained.seconds,
        "agreement": agreement,
    }
    say("distillation", f"{kind} student agrees with the teacher on {agreement:.1%} of its windows")
    models.put_model(key, kind, keep(packed), report)
    return packed, report


def _student_key(pipeline: Pipeline, spec: Spec, material: Material, teacher: str) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(material.x).tobytes())
    digest.update(repr([teacher, pipeline.distill, pipeline.student, pipeline.seed]).encode())
    digest.update(spec.encode())
    return digest.hexdigest()


def _before_the_stream(data: Bootstrap, last: int) -> Bootstrap:
    """With times below zero: recordings that are laid out in time all begin at the same moment, the stream's
    too, and whoever goes by the order must not take the one for the other."""
    return replace(data, starts=data.starts - last, ends=data.ends - last)


def _material(pipeline: Pipeline, data: Bootstrap, teacher: Teacher) -> Material:
    """What the teacher has a word on."""
    material = Material(
        data.devices,
        data.starts,
        data.ends,
        data.student_x,
        teacher.logits(data.teacher_x),
        data.labels,
        data.teacher_x if pipeline.teacher_sees_again else None,
        teachers.features(teacher, data.teacher_x) if pipeline.distill.of_features else None,
    )
    return material.rows(spoken(material.logits))


def _every_tenth(say: Say, stage: str) -> Any:
    """How far a training is, and how long it still takes at the pace that it has had."""
    begin: list[tuple[float, int]] = []

    def progress(done: int, steps: int, _: Parts) -> None:
        if not begin:
            begin.append((time.monotonic(), done))
        if done * 10 // steps != (done - 1) * 10 // steps:
            since, first = begin[0]
            left = (time.monotonic() - since) / max(1, done - first) * (steps - done)
            say(stage, f"step {done} of {steps}" + (f", about {left:.0f} s left" if left >= 1 else ""))

    return progress

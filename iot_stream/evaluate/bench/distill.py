"""What a distillation costs, beside a plain training loop on the same data; and many students in one batch,
beside one after the other."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from iot_stream.config import Pipeline
from iot_stream.config.learning import DistillSettings
from iot_stream.distill.cohorts import Lesson, distil_together
from iot_stream.distill.engine import CPU, Engine
from iot_stream.distill.models import build
from iot_stream.distill.teachers.network import NetworkMember
from iot_stream.distill.trainer import distil, predict
from iot_stream.errors import ConfigError, ModelError
from iot_stream.evaluate.replay.course import Memory
from iot_stream.readings import Values
from iot_stream.service import bootstrap, learning

PLATEAU = 0.2
"""The early stop that is measured: chosen on a quarter of bearing_cwru's bootstrap (docs/losses.md)."""

SHARE = (0.1, 0.3)  # of the windows, what a cohort has at least and at most
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What is to be learnt: student windows `x` (n, length, channels) and the teacher's of the same moments,
    scaled; what judges: `test_x` (m, length, channels) and the classes that are true of it."""

    pipeline: Pipeline
    student: Callable[[int], nn.Module]
    teacher: nn.Module
    x: Values
    teacher_x: Values
    test_x: Values
    truth: NDArray[np.int64]

    def accuracy(self, student: nn.Module) -> float:
        return float((predict(student, self.test_x).argmax(axis=1) == self.truth).mean())


@dataclass
class Clock:
    """Seconds of wall and of processor time since it was made."""

    def __post_init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


def prepare(name: str, pipeline: Pipeline, folder: Path, say: Say) -> Task:
    """The teacher of a configuration, trained; all that it was trained on; the stream's windows to judge by.

    Raises ConfigError, ModelError.
    """
    settings = pipeline.recordings
    if settings is None or settings.bootstrap is None:
        raise ConfigError(f"pipelines.{name}.recordings.bootstrap: nothing to learn from")
    # The first student is nobody's concern here.
    short = msgspec.structs.replace(pipeline.distill, first_steps=1)
    quick = msgspec.structs.replace(pipeline, distill=short)
    prepared = learning.prepare(Memory(), name, quick, folder, lambda _, detail: say(detail))
    member, *others = prepared.teacher.members
    if others or not isinstance(member, NetworkMember):
        raise ModelError("bench distill: the teacher is no single network; choose another configuration")
    wide = bootstrap.load(pipeline, settings.bootstrap.teacher, folder)
    judging = bootstrap.load(pipeline, settings.stream, folder)
    known = judging.labels >= 0
    spec, network = prepared.learner.architecture.spec, pipeline.student

    def student(seed: int) -> nn.Module:
        shape = spec.cut.length, spec.model_channels, len(spec.classes)
        return build(network.arch, *shape, seed=seed, **dict(network.options))

    return Task(
        pipeline,
        student,
        member.module,
        spec.model_input(wide.student_x),
        prepared.teacher.spec.model_input(wide.teacher_x),
        spec.model_input(judging.student_x[known]),
        judging.labels[known],
    )


def measure(task: Task, seeds: int, cohorts: int, say: Say) -> dict[str, Any]:
    """The figures, means over the seeds; seconds of the processor too, for a machine that is not idle."""
    torch.set_num_threads(1)  # as replay: students are too small to share
    rows = []
    for seed in range(task.pipeline.seed, task.pipeline.seed + seeds):
        rows.append(_distillation(task, seed))
        say(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()))
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    result = found | {
        "speedup": found["plain_s"] / found["ours_s"],
        "cpu_speedup": found["plain_cpu_s"] / found["ours_cpu_s"],
        "speedup_of_round": found["plain_s"] / found["distil_s"],
        "seeds": seeds,
        "windows": len(task.x),
        "teacher_parameters": _parameters(task.teacher),
        "student_parameters": _parameters(task.student(0)),
    }
    return result | {"cohorts": _many(task, cohorts)}


def _distillation(task: Task, seed: int) -> dict[str, float]:
    """One student by the plain loop, one by ours: the teacher's pass over all windows is ours too, though the
    service has made it before, when it scored them."""
    settings = task.pipeline.distill
    steps = settings.first_steps
    plain, ours = task.student(seed), task.student(seed)
    clock = Clock()
    plain_loop(plain, task.teacher, task.x, task.teacher_x, settings, steps, seed)
    plain_s, plain_cpu_s = clock.read()
    clock = Clock()
    said = predict(task.teacher, task.teacher_x, hardware=task.pipeline.train)
    pass_s, pass_cpu_s = clock.read()
    stopping = msgspec.structs.replace(settings, plateau=settings.plateau or PLATEAU)
    trained = distil(ours, task.x, said, None, stopping, seed, steps=steps)
    return {
        "plain_s": plain_s,
        "ours_s": pass_s + trained.seconds,
        "plain_cpu_s": plain_cpu_s,
        "ours_cpu_s": pass_cpu_s + trained.cpu_seconds,
        "teacher_pass_s": pass_s,
        "distil_s": trained.seconds,
        "distil_cpu_s": trained.cpu_seconds,
        "accuracy_plain": task.accuracy(plain),
        "accuracy_ours": task.accuracy(ours),
        "steps_plain": steps,
        "steps_ours": trained.steps,
        "teacher_passes_saved": steps * min(settings.batch, len(task.x)) - len(task.x),
    }


def plain_loop(
    student: nn.Module,
    teacher: nn.Module,
    x: Values,
    teacher_x: Values,
    settings: DistillSettings,
    steps: int,
    seed: int,
) -> None:
    """Knowledge distillation as tutorials write it: both nets in every step, float32, all steps; on a GPU
    where ours is."""
    device = Engine.of(settings, student).device
    student.to(device)
    teacher.to(device)
    inputs, seen = torch.from_numpy(x).to(device), torch.from_numpy(teacher_x).to(device)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(student.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    T, queue = settings.temperature, torch.empty(0, dtype=torch.int64)
    batch = min(settings.batch, len(x))
    teacher.eval()
    student.train()
    for _ in range(steps):
        if len(queue) < batch:
            queue = torch.randperm(len(x), generator=generator)
        rows, queue = queue[:batch], queue[batch:]
        with torch.no_grad():
            p: Tensor = F.softmax(teacher(seen[rows]) / T, dim=1)
        log_q = F.log_softmax(student(inputs[rows]) / T, dim=1)
        loss = F.kl_div(log_q, p, reduction="batchmean") * T**2
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    student.eval().to(CPU)
    teacher.to(CPU)


def _many(task: Task, number: int) -> dict[str, Any]:
    """A round for each of so many cohorts, each with windows and a seed of its own."""
    settings = task.pipeline.distill
    said = predict(task.teacher, task.teacher_x)
    generator = np.random.default_rng(task.pipeline.seed)
    lessons = []
    for seed in range(number):
        rows = generator.choice(len(task.x), int(len(task.x) * generator.uniform(*SHARE)), replace=False)
        lessons.append(Lesson(task.student(seed), task.x[rows], said[rows], None, settings, seed))
    alone = [replace(lesson, student=task.student(lesson.seed)) for lesson in lessons]
    clock = Clock()
    for lesson in alone:
        distil(lesson.student, lesson.x, lesson.teacher_logits, None, settings, lesson.seed)
    one_by_one_s, one_by_one_cpu_s = clock.read()
    clock = Clock()
    distil_together(lessons)
    batched_s, batched_cpu_s = clock.read()
    return {
        "n": number,
        "steps": settings.steps,
        "one_by_one_s": one_by_one_s,
        "batched_s": batched_s,
        "speedup": one_by_one_s / batched_s,
        "one_by_one_cpu_s": one_by_one_cpu_s,
        "batched_cpu_s": batched_cpu_s,
        "cpu_speedup": one_by_one_cpu_s / batched_cpu_s,
        "accuracy_one_by_one": float(np.mean([task.accuracy(each.student) for each in alone])),
        "accuracy_batched": float(np.mean([task.accuracy(each.student) for each in lessons])),
    }


def _parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())

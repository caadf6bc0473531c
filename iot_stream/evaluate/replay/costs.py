"""What the small model saves: compute, storage and inference of teacher and student, side by side."""

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from iot_stream.distill.cost import flops, seconds_per_window
from iot_stream.distill.teachers import Teacher
from iot_stream.distill.teachers.network import NetworkMember
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.spec import Spec

WINDOWS = 50
BATCH = 32
STEPS = 5


def compared(course: Course, stream: Stream) -> list[dict[str, Any]]:
    """Rows of {what, unit, teacher, student}; those in seconds are measured, here and now, on one thread."""
    learner, teacher = course.prepared.learner, course.prepared.teacher
    architecture = learner.architecture
    student = architecture.resumed(course.student.resume)
    model = course.student.model()
    ours, theirs = stream.x[:WINDOWS], stream.teacher_x[:WINDOWS]
    small, large = learner.architecture.parameters, teacher.parameters
    rows = [
        ("parameters", "", large, small),
        ("storage: weights", "bytes", len(teacher.to_bytes()), len(course.student.weights)),
        *_compute(teacher, student, architecture.spec),
        (
            "inference: a window (student in the device's runtime)",
            "s",
            seconds_per_window(teacher.logits, theirs),
            seconds_per_window(model.logits, ours),
        ),
    ]
    names = ("what", "unit", "teacher", "student")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _compute(teacher: Teacher, student: nn.Module, spec: Spec) -> list[tuple[str, str, float, float]]:
    """Where both are one network; of support vectors and the like there is nothing to compare."""
    if len(teacher.members) > 1 or not isinstance(teacher.members[0], NetworkMember):
        return []
    large = teacher.members[0].module
    step = f"compute: a training step of {BATCH} windows"
    return [
        ("compute: operations a window", "FLOP", _flops(large, teacher.spec), _flops(student, spec)),
        (step, "s", _step(large, teacher.spec), _step(student, spec)),
    ]


def _flops(network: nn.Module, spec: Spec) -> int:
    return flops(network, spec.cut.length, spec.model_channels)


def _step(network: nn.Module, spec: Spec) -> float:
    """Median seconds of forward and backward pass of one batch."""
    x = torch.zeros(BATCH, spec.cut.length, spec.model_channels)
    y = torch.zeros(BATCH, dtype=torch.int64)
    taken = []
    for _ in range(STEPS):
        began = time.perf_counter()
        nn.functional.cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        taken.append(time.perf_counter() - began)
        network.zero_grad()
    return float(np.median(taken))

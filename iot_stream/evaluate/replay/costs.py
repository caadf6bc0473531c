"""What the small model saves: compute, storage and inference of teacher and student, side by side."""

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from iot_stream.distill.cost import flops, seconds_per_window
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.windows import Spec

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
    small, large = learner.architecture.parameters, course.prepared.report["teacher_parameters"]
    rows = [
        ("parameters", "", large, small),
        ("storage: weights", "bytes", len(teacher.to_bytes()), len(course.student.weights)),
        (
            "compute: operations a window",
            "FLOP",
            _flops(teacher.network, teacher.spec),
            _flops(student, architecture.spec),
        ),
        (
            f"compute: a training step of {BATCH} windows",
            "s",
            _step(teacher.network, teacher.spec),
            _step(student, architecture.spec),
        ),
        (
            "inference: a window (teacher in torch, student in the device's runtime)",
            "s",
            seconds_per_window(teacher.logits, theirs),
            seconds_per_window(model.logits, ours),
        ),
    ]
    names = ("what", "unit", "teacher", "student")
    return [dict(zip(names, row, strict=True)) for row in rows]


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

"""The registry of losses that compare a student's logits with a teacher's."""

from typing import Protocol

import torch
from torch import Tensor

from iot_stream.distill.registry import Registry


class SoftLoss(Protocol):
    """`(student_logits (n, classes), teacher_logits (n, classes), temperature) -> scalar`."""

    def __call__(self, student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor: ...


def precise(logits: Tensor) -> Tensor:
    """Logits in float32 at least: in bf16 the difference of two logarithms is mostly rounding."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


SOFT: Registry[SoftLoss] = Registry("loss")

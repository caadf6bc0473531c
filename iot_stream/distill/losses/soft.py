"""The registry of losses that compare a student with its teacher, and what they compare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from iot_stream.distill.registry import Registry
from iot_stream.errors import ModelError, nearest

Parts = dict[str, Tensor]
"""The parts of a loss by name, scalars, unweighted."""


@dataclass(frozen=True)
class Batch:
    """What both nets say of n rows: logits (n, classes), the class that is `right` (n,) int64, and where a
    loss asks for them the outputs (n, width) of their last hidden layers, the student's already mapped."""

    student: Tensor
    teacher: Tensor
    right: Tensor
    student_features: Tensor | None = None
    teacher_features: Tensor | None = None


@dataclass(frozen=True)
class SoftLoss:
    """A loss as settings name it: parts of a batch at a temperature, and what each weighs by its paper."""

    parts: Callable[[Batch, float], Parts]
    weights: Mapping[str, float]
    features: bool = False

    def weighted(self, chosen: Mapping[str, float]) -> "SoftLoss":
        """With these weights in place of the paper's; raises ModelError for a part that it has not."""
        for name in chosen:
            if name not in self.weights:
                raise ModelError(
                    f"distill.loss_weights: no part {name!r}; {nearest(name, sorted(self.weights))}"
                )
        return SoftLoss(self.parts, {**self.weights, **chosen}, self.features)

    def __call__(self, batch: Batch, temperature: float) -> tuple[Tensor, Parts]:
        """The weighted sum, and its unweighted parts."""
        parts = self.parts(batch, temperature)
        return torch.stack([self.weights[name] * part for name, part in parts.items()]).sum(), parts


SOFT: Registry[SoftLoss] = Registry("loss")

OfLogits = Callable[[Tensor, Tensor, float], Tensor]


def register(name: str) -> Callable[[OfLogits], OfLogits]:
    """For `loss(student_logits, teacher_logits, temperature)`, which has one part, of its own name."""

    def add(loss: OfLogits) -> OfLogits:
        def parts(batch: Batch, temperature: float) -> Parts:
            return {name: loss(batch.student, batch.teacher, temperature)}

        SOFT.register(name)(SoftLoss(parts, {name: 1.0}))
        return loss

    return add


def precise(logits: Tensor) -> Tensor:
    """Logits in float32 at least: in bf16 the difference of two logarithms is mostly rounding."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def compared(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both (n, classes) in float32 at least, the teacher's without a gradient. Raises ModelError where their
    shapes differ: torch would stretch one to the other and compare what nobody meant."""
    if student.dim() != 2 or student.shape != teacher.shape:
        shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ModelError(f"a loss compares two of one shape, a row a window; got {shapes}")
    return precise(student), precise(teacher.detach())


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(P ‖ Q) of logarithms of probabilities (n, outcomes): the sum over outcomes, the mean over rows."""
    return (log_p.exp() * (log_p - log_q)).sum() / len(log_p)

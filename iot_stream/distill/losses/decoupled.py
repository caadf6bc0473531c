"""Decoupled KD: Zhao, Cui, Song, Qiu & Liang, "Decoupled knowledge distillation", arXiv 2203.08679 (CVPR
2022), section 3.

It takes KD apart: how sure the teacher is of the right class, and how it ranks the others. In KD
itself the second is weighted by 1 − p(right), next to nothing where the teacher is sure.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from iot_stream.distill.losses.soft import SOFT, Batch, Parts, SoftLoss, compared, divergence


def right_class(student_logits: Tensor, teacher_logits: Tensor, right: Tensor, temperature: float) -> Tensor:
    """TCKD: T² · KL of (p(right), 1 − p(right)), mean over the batch.

    Logits (n, classes); `right` (n,) int64. With one class it is 0.
    """
    student, teacher = compared(student_logits, teacher_logits)
    log_p, log_q = _log_softmax(teacher, temperature), _log_softmax(student, temperature)
    return temperature**2 * divergence(_right_or_not(log_p, right), _right_or_not(log_q, right))


def other_classes(
    student_logits: Tensor, teacher_logits: Tensor, right: Tensor, temperature: float
) -> Tensor:
    """NCKD: T² · KL over the classes that are not right, as if there were no other, mean over the batch.

    Logits (n, classes); `right` (n,) int64. With one class or two it is 0.
    """
    student, teacher = compared(student_logits, teacher_logits)
    log_p = _log_softmax(_others(teacher, right), temperature)
    log_q = _log_softmax(_others(student, right), temperature)
    return temperature**2 * divergence(log_p, log_q)


def decoupled(
    student_logits: Tensor,
    teacher_logits: Tensor,
    right: Tensor,
    temperature: float,
    alpha: float = 1.0,
    beta: float = 8.0,
) -> Tensor:
    """α·TCKD + β·NCKD, 1 and 8 as the authors' code has them; the surer a teacher is, the larger β may be.

    >>> import torch
    >>> student, teacher = torch.zeros(1, 3), torch.tensor([[3.0, 1.0, 0.0]])
    >>> round(decoupled(student, teacher, torch.tensor([0]), temperature=1.0).item(), 4)
    1.4446
    """
    at = student_logits, teacher_logits, right, temperature
    return alpha * right_class(*at) + beta * other_classes(*at)


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    return F.log_softmax(logits / temperature, dim=1)


def _right_or_not(log_p: Tensor, right: Tensor) -> Tensor:
    """(n, 2) of log p(right) and log(1 − p(right)), the latter summed up from its terms: nothing cancels."""
    if log_p.shape[1] == 1:
        return log_p
    of_right = log_p.gather(1, right[:, None])
    return torch.cat([of_right, _others(log_p, right).logsumexp(dim=1, keepdim=True)], dim=1)


def _others(values: Tensor, right: Tensor) -> Tensor:
    """(n, classes − 1): each row without its right class."""
    columns = torch.arange(values.shape[1] - 1, device=values.device)
    return values.gather(1, columns + (columns >= right[:, None]).long())


def _parts(batch: Batch, temperature: float) -> Parts:
    """Where nobody knows the label, the teacher's own word is what is right."""
    at = batch.student, batch.teacher, batch.right, temperature
    return {"right_class": right_class(*at), "other_classes": other_classes(*at)}


SOFT.register("decoupled")(SoftLoss(_parts, {"right_class": 1.0, "other_classes": 8.0}))

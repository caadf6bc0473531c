"""DIST: Huang, You, Wang, Qian & Xu, "Knowledge distillation from a stronger teacher", arXiv 2205.10536
(NeurIPS 2022), section 3.

A student much smaller than its teacher cannot have its probabilities; it can have their relations: which of
two classes a row is nearer to (`between_classes`), which of two rows is more of a class (`within_classes`).
"""

from torch import Tensor
from torch.nn import functional as F

from iot_stream.distill.losses.soft import SOFT, Batch, Parts, SoftLoss, compared

LEAST = 1e-8  # a deviation below this is none: there is no relation to learn


def between_classes(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Inter-class relation: T² · (1 − Pearson's correlation over a row's classes), mean over the rows.

    Logits (n, classes), of which the softmax at T is compared. A row in which the teacher names all classes
    alike counts 0.
    """
    q, p = (F.softmax(each / temperature, dim=1) for each in compared(student_logits, teacher_logits))
    return temperature**2 * _unlike(q, p)


def within_classes(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Intra-class relation: the same over the batch's rows, mean over the classes.

    A class of which the teacher says the same in all rows counts 0; so does a batch of one row.
    """
    q, p = (F.softmax(each / temperature, dim=1) for each in compared(student_logits, teacher_logits))
    return temperature**2 * _unlike(q.T, p.T)


def dist(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, beta: float = 1.0, gamma: float = 1.0
) -> Tensor:
    """β · inter-class + γ · intra-class relation; both 1 as in the authors' code.

    >>> import torch
    >>> student, teacher = torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> round(dist(student, teacher, temperature=1.0).item(), 4)
    3.5
    """
    at = student_logits, teacher_logits, temperature
    return beta * between_classes(*at) + gamma * within_classes(*at)


def _unlike(student: Tensor, teacher: Tensor) -> Tensor:
    """1 − correlation, row by row, mean over the rows; 0 for a row in which the teacher's values are one."""
    student, teacher = (values - values.mean(dim=1, keepdim=True) for values in (student, teacher))
    apart = 1 - F.cosine_similarity(student, teacher, dim=1, eps=LEAST)
    return (apart * (teacher.square().sum(dim=1) > LEAST**2)).mean()


def _parts(batch: Batch, temperature: float) -> Parts:
    at = batch.student, batch.teacher, temperature
    return {"between_classes": between_classes(*at), "within_classes": within_classes(*at)}


SOFT.register("dist")(SoftLoss(_parts, {"between_classes": 1.0, "within_classes": 1.0}))

"""Logit standardisation: Sun, Ren, Li, Wang & Cao, "Logit standardization in knowledge distillation",
arXiv 2403.01427 (CVPR 2024), section 4."""

from torch import Tensor

from iot_stream.distill.losses.kd import kd
from iot_stream.distill.losses.soft import compared, precise, register

LEAST = 1e-7  # as in the authors' code: a row whose deviation is below this has none


@register("standardised")
def standardised(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KD of z-scores: each row of either side less its mean, divided by its deviation over the classes.

    So a small student need not have the range of its teacher's logits, only their relations. Its own range is
    then free: how sure it says it is means nothing, unless labels (β) hold it. Logits (n, classes).

    >>> import torch
    >>> student, teacher = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[1.0, 11.0, 21.0]])
    >>> standardised(student, teacher, temperature=2.0).item()
    0.0
    """
    student, teacher = compared(student_logits, teacher_logits)
    return kd(z_scores(student), z_scores(teacher), temperature)


def z_scores(logits: Tensor) -> Tensor:
    """(n, classes) of mean 0 and deviation 1 in each row; equal logits give 0.

    The squares are divided by the number of classes; the authors' code divides by one less, which is only
    another T.
    """
    centred = precise(logits) - precise(logits).mean(dim=1, keepdim=True)
    # Clamped before the root, whose slope at 0 is endless.
    return centred / centred.square().mean(dim=1, keepdim=True).clamp(min=LEAST**2).sqrt()

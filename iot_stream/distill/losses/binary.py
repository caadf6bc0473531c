"""Binary and multi-label KD, where each class is a question of its own: the one-versus-all loss (MLD) of
Yang et al., "Multi-label knowledge distillation", arXiv 2308.06453 (ICCV 2023)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from iot_stream.distill.losses.soft import compared, register


@register("binary")
def binary(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL of (σ(teacher / T), 1 − σ) and (σ(student / T), 1 − σ): sum over classes, mean over the batch.

    Logits (n, classes) of independent classes, of which none, one or several are true; (n, 1) is a plain yes
    or no. T as in Hinton's KD; with 1 it is the paper's.

    >>> import torch
    >>> round(binary(torch.tensor([[0.0]]), torch.tensor([[2.0]]), temperature=1.0).item(), 4)
    0.3278
    """
    student, teacher = (each / temperature for each in compared(student_logits, teacher_logits))
    yes = torch.sigmoid(teacher) * (F.logsigmoid(teacher) - F.logsigmoid(student))
    no = torch.sigmoid(-teacher) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return temperature**2 * (yes + no).sum() / len(student)

"""Logits met as they are: Ba & Caruana, "Do deep nets really need to be deep?", arXiv 1312.6184 (NIPS 2014),
section 2.2. Kim et al., arXiv 2105.08919 (2021), find it better than KD at any temperature where teachers err
little."""

from torch import Tensor

from iot_stream.distill.losses.soft import compared, register


@register("logit_mse")
def logit_mse(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:  # noqa: ARG001
    """½ · ‖student − teacher‖² over the classes, mean over the batch; there is no temperature in it.

    Of logits of mean 0 it is what KD tends to as T grows, times the number of classes (Hinton et al., 2.1).
    Logits (n, classes).

    >>> import torch
    >>> logit_mse(torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 1.0]])).item()
    4.5
    """
    student, teacher = compared(student_logits, teacher_logits)
    apart = student - teacher
    return apart.square().sum() / (2 * len(apart))

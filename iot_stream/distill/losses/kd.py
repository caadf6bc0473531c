"""Knowledge distillation: Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network",
arXiv 1503.02531 (2015), section 2."""

from torch import Tensor
from torch.nn import functional as F

from iot_stream.distill.losses.soft import divergence, precise, register


@register("kd")
def kd(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(P ‖ Q), P = softmax(teacher / T), Q = softmax(student / T), mean over the batch.

    T² keeps the gradient's size when T changes. Logits of shape (n, classes); no gradient reaches the
    teacher.

    >>> import torch
    >>> round(kd(torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]]), temperature=1.0).item(), 4)
    0.3278
    """
    log_p = F.log_softmax(precise(teacher_logits.detach()) / temperature, dim=1)
    log_q = F.log_softmax(precise(student_logits) / temperature, dim=1)
    return temperature**2 * divergence(log_p, log_q)

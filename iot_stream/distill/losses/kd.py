"""Knowledge distillation: Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network",
arXiv 1503.02531 (2015), section 2."""

from torch import Tensor
from torch.nn import functional as F

from iot_stream.distill.losses.soft import compared, divergence, register


@register("kd")
def kd(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(P ‖ Q), P = softmax(teacher / T), Q = softmax(student / T), mean over the batch.

    T² keeps the gradient's size when T changes. Logits of shape (n, classes); no gradient reaches the
    teacher.

    >>> import torch
    >>> round(kd(torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]]), temperature=1.0).item(), 4)
    0.3278
    """
    student, teacher = compared(student_logits, teacher_logits)
    log_p, log_q = (F.log_softmax(logits / temperature, dim=1) for logits in (teacher, student))
    return temperature**2 * divergence(log_p, log_q)

"""The service's loss: the teacher's word on every row, the label's where there is one."""

from collections.abc import Mapping

import torch
from torch import Tensor

from iot_stream.distill.losses.cross_entropy import NO_LABEL, cross_entropy
from iot_stream.distill.losses.soft import SOFT, Batch, Parts
from iot_stream.errors import ModelError


def combined(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    loss: str = "kd",
    weights: Mapping[str, float] | None = None,
    temperature: float,
    alpha: float,
    beta: float,
    student_features: Tensor | None = None,
    teacher_features: Tensor | None = None,
) -> tuple[Tensor, Parts]:
    """`α·soft + β·L_s` and what it is made of: `soft`, its own unweighted parts, `labels`; a term of weight 0
    is neither computed nor named.

    `loss` names one of the registry, `weights` those of its parts that shall not be its paper's. Logits
    (n, classes); labels (n,) int64 with −1 where there is none. Raises ModelError.
    """
    if not alpha and not beta:
        raise ModelError("distill: alpha and beta are both 0, so there is nothing to learn from")
    total, parts = torch.zeros((), device=student_logits.device), Parts()
    if alpha > 0:
        right = torch.where(labels == NO_LABEL, teacher_logits.argmax(dim=1), labels)
        batch = Batch(student_logits, teacher_logits, right, student_features, teacher_features)
        soft, own = SOFT.get(loss).weighted(weights or {})(batch, temperature)
        total = total + alpha * soft
        parts |= {"soft": soft} | (own if len(own) > 1 else {})
    if beta > 0:
        parts["labels"] = cross_entropy(student_logits, labels)
        total = total + beta * parts["labels"]
    return total, parts

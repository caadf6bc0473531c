"""The service's loss: the teacher's word on every row, the label's where there is one."""

from torch import Tensor

from iot_stream.distill.losses.cross_entropy import cross_entropy
from iot_stream.distill.losses.soft import SoftLoss


def combined(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    soft: SoftLoss,
    temperature: float,
    alpha: float,
    beta: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """`α·soft + β·L_s` and its unweighted parts `soft` and `labels`.

    Logits (n, classes); labels (n,) int64 with −1 where there is none.
    """
    parts = {
        "soft": soft(student_logits, teacher_logits, temperature),
        "labels": cross_entropy(student_logits, labels),
    }
    return alpha * parts["soft"] + beta * parts["labels"], parts

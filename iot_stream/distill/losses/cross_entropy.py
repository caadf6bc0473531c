"""L_s: cross-entropy with the labels of those rows that have one."""

from torch import Tensor
from torch.nn import functional as F

from iot_stream.distill.losses.soft import precise

NO_LABEL = -1


def cross_entropy(student_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the labelled rows of −log softmax(student)[label]; 0 where no row has a label.

    `student_logits` (n, classes); `labels` (n,) int64, `NO_LABEL` where there is none.
    """
    total = F.cross_entropy(precise(student_logits), labels, ignore_index=NO_LABEL, reduction="sum")
    return total / (labels != NO_LABEL).sum().clamp(min=1)

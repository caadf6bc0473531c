"""Losses of distillation: pure functions of logits, one a file, each with its paper.

`soft(name)(student_logits, teacher_logits, temperature)` is one of the registry's;
`combined` adds the labels' cross-entropy.
"""

from iot_stream.distill.losses.combined import combined
from iot_stream.distill.losses.cross_entropy import NO_LABEL, cross_entropy
from iot_stream.distill.losses.kd import kd
from iot_stream.distill.losses.soft import SOFT, SoftLoss

__all__ = ["NO_LABEL", "SOFT", "SoftLoss", "combined", "cross_entropy", "kd"]

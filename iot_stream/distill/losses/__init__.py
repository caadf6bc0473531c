"""Losses of distillation: pure functions, one a file, each with its paper (docs/losses.md).

`SOFT.names()` are what `distill.loss` may be; `combined` is the loss of the service, any of these with the
labels' cross-entropy.
"""

from iot_stream.distill.losses.binary import binary
from iot_stream.distill.losses.combined import combined
from iot_stream.distill.losses.cross_entropy import NO_LABEL, cross_entropy
from iot_stream.distill.losses.decoupled import decoupled, other_classes, right_class
from iot_stream.distill.losses.dist import between_classes, dist, within_classes
from iot_stream.distill.losses.hints import hints, regressor
from iot_stream.distill.losses.kd import kd
from iot_stream.distill.losses.logit_mse import logit_mse
from iot_stream.distill.losses.soft import SOFT, Batch, Parts, SoftLoss
from iot_stream.distill.losses.standardised import standardised, z_scores

__all__ = [
    "NO_LABEL",
    "SOFT",
    "Batch",
    "Parts",
    "SoftLoss",
    "between_classes",
    "binary",
    "combined",
    "cross_entropy",
    "decoupled",
    "dist",
    "hints",
    "kd",
    "logit_mse",
    "other_classes",
    "regressor",
    "right_class",
    "standardised",
    "within_classes",
    "z_scores",
]

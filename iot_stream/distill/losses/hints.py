"""FitNets: Romero, Ballas, Ebrahimi Kahou, Chassang, Gatta & Bengio, "FitNets: hints for thin deep nets",
arXiv 1412.6550 (ICLR 2015), section 2.2."""

import torch
from torch import Tensor, nn

from iot_stream.distill.losses.kd import kd
from iot_stream.distill.losses.soft import SOFT, Batch, Parts, SoftLoss, compared
from iot_stream.errors import ModelError


def hints(mapped: Tensor, teacher_features: Tensor) -> Tensor:
    """½ · the squared distance of a feature (equation 3), mean over features and batch.

    `mapped` (n, width): what the student's hidden layer says, after a regressor.

    >>> hints(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).item()
    1.0
    """
    student, teacher = compared(mapped, teacher_features)
    return (student - teacher).square().mean() / 2


@torch.no_grad()
def regressor(student_features: Tensor, teacher_features: Tensor) -> nn.Linear:
    """A map from the student's features (n, narrow) to the teacher's (n, wide); it learns with the student.

    It begins at least squares, so that no random map tears away a student that knows much already.
    """
    ones = torch.ones(len(student_features), 1)
    basis = torch.cat([student_features, ones], dim=1).double().cpu()
    solution = torch.linalg.lstsq(basis, teacher_features.double().cpu(), driver="gelsd").solution.float()
    linear = nn.Linear(student_features.shape[1], teacher_features.shape[1])
    linear.weight.copy_(solution[:-1].T)
    linear.bias.copy_(solution[-1])
    return linear


def _parts(batch: Batch, temperature: float) -> Parts:
    if batch.student_features is None or batch.teacher_features is None:
        raise ModelError("loss hints: compares hidden layers, and was given logits alone")
    return {
        "kd": kd(batch.student, batch.teacher, temperature),
        "hints": hints(batch.student_features, batch.teacher_features),
    }


# The paper has hints first, then KD; here both at once, for a round starts from a student that knows both.
SOFT.register("hints")(SoftLoss(_parts, {"kd": 1.0, "hints": 1.0}, features=True))

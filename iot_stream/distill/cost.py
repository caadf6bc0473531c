"""What a model costs to run: operations, and time on this machine."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from iot_stream.distill.teachers import Teacher
from iot_stream.distill.teachers.network import NetworkMember
from iot_stream.readings import Values

BACK = 2  # a backward pass takes twice the products of the forward one: for the weights, and for the inputs


def flops(model: nn.Module, length: int, channels: int) -> int:
    """Floating-point operations for one window (length, channels), a multiply-add counted as **two**.

    Only matrix products and convolutions count, as torch's own counter has it: biases, batch norm,
    activations and resizing are left out. The model is left in the mode it was in.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, length, channels))
    finally:
        model.train(was_training)
    return int(counter.get_total_flops())


def training_flops(model: nn.Module, length: int, channels: int, windows: int) -> int:
    """An estimate for forward and backward passes of so many windows, repeated ones counted again."""
    return (1 + BACK) * windows * flops(model, length, channels)


def teacher_flops(teacher: Teacher, passed: int, taught: int) -> int:
    """An estimate for `passed` windows that it speaks on, and `taught` that each of its networks learns from.

    An estimator's operations are not counted.
    """
    if not passed and not taught:
        return 0
    spec = teacher.spec
    networks = [member.module for member in teacher.members if isinstance(member, NetworkMember)]
    once = sum(flops(network, spec.cut.length, spec.model_channels) for network in networks)
    return once * (passed + (1 + BACK) * taught)


def seconds_per_window(predict: Callable[[Values], object], windows: Values) -> float:
    """Median wall time of a prediction, over windows (n ≥ 1, length, channels), one by one as on a device.

    The first is predicted once more beforehand: what only happens at the start is not counted.
    """
    predict(windows[:1])
    taken = []
    for row in range(len(windows)):
        began = time.perf_counter()
        predict(windows[row : row + 1])
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))

import time

import numpy as np
import pytest
import torch
from torch import nn

from iot_stream.distill.cost import flops, seconds_per_window
from iot_stream.distill.models import build


def test_flops_of_an_mlp_by_hand() -> None:
    # Each weight is one multiply-add a window, and that counts two.
    model = build("mlp", 8, 3, 4, hidden=[16, 5])
    assert flops(model, 8, 3) == 2 * (8 * 3 * 16 + 16 * 5 + 5 * 4)


def test_flops_of_a_convolution_by_hand() -> None:
    class Convolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv1d(6, 8, 5, stride=2, padding=2, groups=2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x.transpose(1, 2))

    outputs, taps = 16 * 8, 5 * 6 // 2  # of 32 readings every second, of the channels half
    assert flops(Convolution(), 32, 6) == 2 * outputs * taps


def test_a_resnet18_is_known_to_take_two_times_1_81_billion_for_a_photograph() -> None:
    # 1.814e9 multiply-adds at 224 × 224 with 1000 classes, as torchvision's page of models has it.
    model = build("resnet18", 224, 224, 1000, size=224)
    assert flops(model, 224, 224) == pytest.approx(2 * 1.814e9, rel=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_counting_changes_nothing(training: bool) -> None:
    model = build("resnet1d", 64, 2, 3).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert flops(model, 64, 2) > 0
    assert model.training is training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_time_is_the_median_of_windows_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    seen: list[float] = []
    durations = iter([100.0, 1.0, 7.0, 2.0])  # the first is the start, which does not count

    def predict(x: np.ndarray) -> None:
        nonlocal clock
        assert x.shape == (1, 4, 2)
        seen.append(float(x[0, 0, 0]))
        clock += next(durations)

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    windows = np.arange(3, dtype=np.float32)[:, None, None] * np.ones((1, 4, 2), np.float32)
    assert seconds_per_window(predict, windows) == 2.0
    assert seen == [0.0, 0.0, 1.0, 2.0]

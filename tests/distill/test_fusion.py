import pytest
import torch
from torch import nn

from iot_stream.distill.fusion import MovingAverage, average, pull


def line(weight: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


def test_average_follows_the_recurrence_with_its_growing_decay() -> None:
    layer = line(0.0)
    average = MovingAverage(layer, decay=0.5)
    expected = 0.0
    for step, weight in enumerate([1.0, 4.0, -2.0, 8.0, 3.0, 3.0, 1.0, 7.0, 2.0, 5.0], start=1):
        nn.init.constant_(layer.weight, weight)
        average.update()
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * weight
    average.apply()
    assert layer.weight.item() == pytest.approx(expected, rel=1e-6)


def test_average_does_not_touch_the_weights_until_applied() -> None:
    layer = line(1.0)
    average = MovingAverage(layer, decay=0.9)
    nn.init.constant_(layer.weight, 2.0)
    average.update()
    assert layer.weight.item() == 2.0


def test_pull_moves_by_its_share() -> None:
    layer = line(1.0)
    pull(layer, {"weight": torch.tensor([[6.0]])}, 0.2)
    assert layer.weight.item() == pytest.approx(0.8 * 1 + 0.2 * 6)


def test_average_is_the_mean_of_the_weights_of_all() -> None:
    layer = line(1.0)
    average(layer, [{"weight": torch.tensor([[2.0]])}, {"weight": torch.tensor([[6.0]])}], torch.zeros(2, 1))
    assert layer.weight.item() == pytest.approx(3.0)


def test_average_takes_batch_norm_anew_for_the_weights_it_made() -> None:
    # The mean of the two students has weight 2: its own outputs are 2·x, whatever theirs were.
    net = nn.Sequential(line(1.0), nn.BatchNorm1d(1)).eval()
    past = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    past["0.weight"], past["1.running_mean"] = torch.tensor([[3.0]]), torch.tensor([100.0])
    x = torch.tensor([[1.0], [3.0], [5.0], [7.0]])
    average(net, [past], x)
    assert net[1].running_mean.item() == pytest.approx(2 * 4.0)
    assert net[1].running_var.item() == pytest.approx(4 * x.var().item(), rel=1e-5)
    assert not net.training

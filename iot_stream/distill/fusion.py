"""Stage *fusion*, first form: one model out of several points in weight space."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

BATCH = 256


class MovingAverage:
    """Exponential moving average of a model's weights over training steps.

    Polyak & Juditsky (1992) in the form of Tarvainen & Valpola, "Mean teachers are better role
    models", arXiv 1703.01780 (2017): the decay grows with the steps taken, min(decay, (1+k)/(10+k)), so
    that a short round is not held at its start. Batch norm's running statistics are copied, for they
    are averages already.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._weights: list[Tensor] = list(model.parameters())
        self.means = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights as they are now into the mean."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.means, self._weights, 1 - keep)

    @torch.no_grad()
    def apply(self) -> None:
        """Replaces the model's weights by their mean."""
        torch._foreach_copy_(self._weights, self.means)


@torch.no_grad()
def pull(model: nn.Module, anchor: Mapping[str, Tensor], share: float) -> None:
    """w ← (1 − ρ)·w + ρ·anchor, in place: a round that starts nearer to the first student forgets less."""
    for name, weight in model.named_parameters():
        weight.lerp_(anchor[name].to(weight), share)


@torch.no_grad()
def average(model: nn.Module, past: Sequence[Mapping[str, Tensor]], inputs: Tensor) -> None:
    """w ← mean of w and the weights of past students, in place.

    Izmailov et al., "Averaging weights leads to wider optima and better generalization", arXiv
    1803.05407 (2018); Wortsman et al., "Model soups", arXiv 2203.05482 (2022): points that were tuned
    from a common start lie in one basin. The mean of running statistics is not the statistics of the
    mean: batch norm takes them anew from `inputs` (n, length, channels), n ≥ 2.
    """
    for name, weight in model.named_parameters():
        weight.copy_(torch.stack([weight, *(each[name].to(weight) for each in past)]).mean(dim=0))
    parts = [inputs[begin : begin + BATCH] for begin in range(0, len(inputs), BATCH)]
    update_bn([part for part in parts if len(part) > 1], model)

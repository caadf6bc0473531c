"""The registry of architectures and the one door to it: a name and options in, a seeded module out."""

import inspect
from collections.abc import Callable

import torch
from torch import nn

from iot_stream.distill.models import factory
from iot_stream.distill.registry import Registry
from iot_stream.errors import ModelError, nearest

ARCHITECTURES: Registry[Callable[..., nn.Module]] = Registry("architecture")
"""Each takes `(length, channels, classes, *, options…)` and maps (n, length, channels) to (n, classes)."""


def architectures() -> list[str]:
    return ARCHITECTURES.names()


def options(arch: str) -> dict[str, object]:
    """The options of an architecture with their defaults."""
    signature = inspect.signature(ARCHITECTURES.get(arch))
    return {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def build(
    arch: str, length: int, channels: int, classes: int, *, seed: int = 0, **chosen: object
) -> nn.Module:
    """A freshly initialised model; the same seed gives the same weights. `arch` may be a `module:function`.

    Its forward takes (n, length, channels) float32 and gives logits (n, classes). Raises ModelError for
    an unknown architecture or option, naming the nearest, and for values that give no model.
    """
    if ":" in arch:
        return factory.network(arch, length, channels, classes, seed, **chosen)
    make = ARCHITECTURES.get(arch)
    valid = options(arch)
    for name in chosen:
        if name not in valid:
            raise ModelError(f"no option of {arch} {name!r}; {nearest(name, sorted(valid))}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return make(length, channels, classes, **chosen)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"{arch} cannot be built with {chosen}: {error}") from error


def parameters(model: nn.Module) -> int:
    """Number of weights, the size that a release must carry."""
    return sum(weight.numel() for weight in model.parameters())

"""What a network says in its last hidden layer: the input of the linear map that gives its logits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from iot_stream.errors import ModelError


def head(model: nn.Module) -> nn.Linear:
    """The last linear map of a network; raises ModelError where there is none, or none before it."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ModelError(
            "loss hints: the network does not end in a linear map, so its features are not known"
        )
    own = {id(weight) for weight in linear[-1].parameters()}
    if all(id(weight) in own for weight in model.parameters()):
        raise ModelError(
            "loss hints: a linear student has no hidden layer to teach; take kd, or `hidden: [16]`"
        )
    return linear[-1]


@contextmanager
def overheard(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds the features (n, width) of the newest forward pass."""
    heard: list[Tensor] = []

    def keep(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        heard[:] = [arguments[0]]

    hook = head(model).register_forward_pre_hook(keep)
    try:
        yield heard
    finally:
        hook.remove()

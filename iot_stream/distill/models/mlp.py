"""A multilayer perceptron over the whole window; with length 1 the model of feature vectors."""

from collections.abc import Sequence

from torch import Tensor, nn

from iot_stream.distill.models.build import ARCHITECTURES

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


@ARCHITECTURES.register("mlp")
class Mlp(nn.Module):
    """`hidden` widths and `activation` (tanh or relu)."""

    def __init__(
        self,
        length: int,
        channels: int,
        classes: int,
        *,
        hidden: Sequence[int] = (16,),
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation {activation!r} is not one of {', '.join(sorted(ACTIVATIONS))}")
        layers: list[nn.Module] = [nn.Flatten()]
        width = length * channels
        for wider in hidden:
            layers += [nn.Linear(width, wider), ACTIVATIONS[activation]()]
            width = wider
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]

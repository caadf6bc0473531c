"""A time-series foundation model as teacher: its encoder stays as it is, a head on top learns your classes.

The encoder is a transformer over patches, as PatchTST (Nie et al., ICLR 2023) and the models after it have:
each channel by itself, scaled by its own mean and deviation, cut into patches. For a model of a library
(MOMENT, Chronos, TimesFM, …) make `Encoder` from it and keep the rest.
"""

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """(series, length) → (series, width)."""

    def __init__(self, length: int, patch: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch, width)
        self.place = nn.Parameter(0.02 * torch.randn(length // patch, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, series: Tensor) -> Tensor:
        patches = series[:, : len(self.place) * self.patch].unflatten(1, (-1, self.patch))
        return self.layers(self.embed(patches) + self.place).mean(dim=1)  # type: ignore[no-any-return]


class Teacher(nn.Module):
    def __init__(self, encoder: Encoder, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(requires_grad=False)
        self.head = nn.Linear(channels * (width + 2), classes)

    def forward(self, x: Tensor) -> Tensor:
        series = x.transpose(1, 2)
        middle, spread = series.mean(dim=2, keepdim=True), series.std(dim=2, keepdim=True, correction=0)
        scaled = (series - middle) / (spread + 1e-5)
        features = self.encoder(scaled.flatten(0, 1)).unflatten(0, series.shape[:2])
        # What the scaling took away may be what tells the classes apart.
        return self.head(torch.cat([features, middle, spread], dim=2).flatten(1))  # type: ignore[no-any-return]


def build(
    length: int,
    channels: int,
    classes: int,
    _seed: int,  # torch's randomness is seeded already
    *,
    checkpoint: str = "",
    patch: int = 8,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
) -> nn.Module:
    """`checkpoint`: the encoder's weights, safetensors beside this file; none: as it was initialised."""
    if length < patch:
        raise ValueError(f"a window of {length} readings is shorter than a patch of {patch}")
    encoder = Encoder(length, patch, width, layers, heads)
    if checkpoint:
        safetensors.torch.load_model(encoder, Path(__file__).parent / checkpoint)
    return Teacher(encoder, channels, width, classes)

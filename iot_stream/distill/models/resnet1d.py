"""A residual net for time series: the default teacher.

After He et al., "Deep residual learning for image recognition", arXiv 1512.03385 (2015), with the
one-dimensional form of Wang, Yan & Oates, "Time series classification from scratch with deep neural
networks", arXiv 1611.06455 (2016): blocks of two convolutions with a shortcut, global average pooling.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from iot_stream.distill.models.build import ARCHITECTURES


class Residual(nn.Module):
    """Two convolutions with batch norm, added to a shortcut; the first one strides."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm1 = nn.BatchNorm1d(outputs)
        self.conv2 = nn.Conv1d(outputs, outputs, kernel, 1, kernel // 2, bias=False)
        self.norm2 = nn.BatchNorm1d(outputs)
        self.shortcut = nn.Sequential(
            nn.Conv1d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm1d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


@ARCHITECTURES.register("resnet1d")
class ResNet1d(nn.Module):
    """`stem` channels, `widths` of the residual blocks (each halves the rate), `kernel`."""

    def __init__(
        self,
        length: int,  # noqa: ARG002 pooling makes it free; every architecture is built with it
        channels: int,
        classes: int,
        *,
        stem: int = 24,
        stem_kernel: int = 15,
        stem_stride: int = 4,
        widths: Sequence[int] = (32, 64),
        kernel: int = 9,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(channels, stem, stem_kernel, stem_stride, stem_kernel // 2, bias=False),
            nn.BatchNorm1d(stem),
            nn.ReLU(),
        )
        ends = [stem, *widths]
        self.blocks = nn.Sequential(*(Residual(a, b, kernel, 2) for a, b in pairwise(ends)))
        self.head = nn.Linear(ends[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.stem(x.transpose(1, 2)))
        return self.head(features.mean(dim=2))  # type: ignore[no-any-return]

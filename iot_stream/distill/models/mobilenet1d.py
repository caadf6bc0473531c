"""A small convolutional net for time series from depthwise-separable blocks: the default student.

After Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
applications", arXiv 1704.04861 (2017), in one dimension: a full convolution that decimates, then
blocks of a convolution along time for each channel and a mixing of channels.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from iot_stream.distill.models.build import ARCHITECTURES


def separable(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Depthwise then pointwise convolution, batch norm after each, ReLU between and after."""
    return nn.Sequential(
        nn.Conv1d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
        nn.BatchNorm1d(inputs),
        nn.ReLU(),
        nn.Conv1d(inputs, outputs, 1, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    )


@ARCHITECTURES.register("mobilenet1d")
class MobileNet1d(nn.Module):
    """`stem` channels of the first convolution, `widths` of the blocks, `kernel` and `stem_stride`.

    Every block halves the rate. The default, folded, has 1,116 parameters with two channels and four classes.
    """

    def __init__(
        self,
        length: int,  # noqa: ARG002 pooling makes it free; every architecture is built with it
        channels: int,
        classes: int,
        *,
        stem: int = 8,
        stem_kernel: int = 15,
        stem_stride: int = 4,
        widths: Sequence[int] = (16, 16),
        kernel: int = 15,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(channels, stem, stem_kernel, stem_stride, stem_kernel // 2, bias=False),
            nn.BatchNorm1d(stem),
            nn.ReLU(),
        )
        ends = [stem, *widths]
        self.blocks = nn.Sequential(*(separable(a, b, kernel, 2) for a, b in pairwise(ends)))
        self.head = nn.Linear(ends[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.stem(x.transpose(1, 2)))
        return self.head(features.mean(dim=2))  # type: ignore[no-any-return]

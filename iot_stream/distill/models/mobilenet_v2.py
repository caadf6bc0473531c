"""torchvision's MobileNetV2 over a window as an image: the founding article's student.

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", arXiv 1801.04381 (2018).
"""

from torch import nn

from iot_stream.distill.models.build import ARCHITECTURES
from iot_stream.distill.models.image import RANDOM, OnImage, initialise


@ARCHITECTURES.register("mobilenet_v2")
def mobilenet_v2(
    length: int,  # noqa: ARG001 the image has one size; every architecture is built with it
    channels: int,
    classes: int,
    *,
    size: int = 32,
    width: int = 0,
    weights: str = RANDOM,
) -> nn.Module:
    """`size` of the image, `weights`: none, download (ImageNet), or a file; `width` of frames, 0: none."""
    from torchvision import models  # 170 MB that only its users pay

    # No dropout: it would draw from the global generator, and no seed would decide a student.
    net = models.mobilenet_v2(num_classes=classes, dropout=0.0)
    pretrained = models.MobileNet_V2_Weights.IMAGENET1K_V1
    initialise(
        net, weights, "classifier.", lambda: pretrained.get_state_dict(progress=False, check_hash=True)
    )
    return OnImage(net, size, width, channels)

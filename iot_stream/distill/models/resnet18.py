"""torchvision's ResNet18 over a window as an image: the founding article's teacher.

He et al., "Deep residual learning for image recognition", arXiv 1512.03385 (2015).
"""

from torch import nn

from iot_stream.distill.models.build import ARCHITECTURES
from iot_stream.distill.models.image import RANDOM, OnImage, initialise


@ARCHITECTURES.register("resnet18")
def resnet18(
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

    net = models.resnet18(num_classes=classes)
    pretrained = models.ResNet18_Weights.IMAGENET1K_V1
    initialise(net, weights, "fc.", lambda: pretrained.get_state_dict(progress=False, check_hash=True))
    return OnImage(net, size, width, channels)

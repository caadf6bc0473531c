"""Architectures by name: `build("mobilenet1d", length=256, channels=2, classes=4, widths=[12, 16])`."""

from iot_stream.distill.models import mlp as _mlp
from iot_stream.distill.models import mobilenet1d as _mobilenet1d
from iot_stream.distill.models import mobilenet_v2 as _mobilenet_v2
from iot_stream.distill.models import resnet1d as _resnet1d
from iot_stream.distill.models import resnet18 as _resnet18
from iot_stream.distill.models.build import architectures, build, options, parameters

__all__ = ["architectures", "build", "options", "parameters"]

_REGISTERED = (_mlp, _mobilenet1d, _mobilenet_v2, _resnet1d, _resnet18)

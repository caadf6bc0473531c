"""A student's exact weights for torch: safetensors, and in its metadata what builds the network around them.

They are those that the next round would start from, with batch norm: to train on. A device has them folded
and encoded, so its logits differ a little.
"""

import json
from typing import Any

import safetensors.numpy

from iot_stream.config import Network
from iot_stream.export import Released


def torch_file(released: Released, network: Network) -> bytes:
    """The metadata is JSON under `iot_stream`: `arch`, `options`, `length`, `channels`, `classes`, `mean`,
    `scale`, `masks`, `inputs`; docs/export.md shows how it is loaded."""
    spec = released.spec
    described: dict[str, Any] = {
        "name": released.name,
        "arch": network.arch,
        "options": dict(network.options),
        "length": spec.cut.length,
        "channels": spec.model_channels,
        "classes": spec.classes,
        "inputs": spec.cut.inputs,
        "mean": spec.mean,
        "scale": spec.scale,
        "masks": spec.masks,
    }
    weights = safetensors.numpy.load(released.resume)
    return safetensors.numpy.save(weights, {"iot_stream": json.dumps(described)})

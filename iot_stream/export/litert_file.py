"""A student as a `.tflite`: the network with its weights, for LiteRT on phones and other small computers.

What goes in is normalised: `mean`, `scale` and `masks` stand in the file's description, which is JSON, and
so do the names of inputs and classes.
"""

import json

from iot_stream.artifact import encodings
from iot_stream.device.runtime import check_weights
from iot_stream.device.runtime.graph import Graph
from iot_stream.device.runtime.plan import Plan
from iot_stream.errors import ConfigError, ModelError, Refused
from iot_stream.export import Released


def litert_file(released: Released) -> bytes:
    """Raises ConfigError where LiteRT is missing, ModelError for a student beyond it."""
    try:
        from iot_stream.device.runtime.tflite import tflite
    except ImportError as error:
        raise ConfigError(f"LiteRT needs its extra: pip install 'iot-stream[litert]' ({error})") from error
    spec = released.spec
    described = {
        "name": released.name,
        "inputs": spec.cut.inputs,
        "classes": spec.classes,
        "mean": spec.mean,
        "scale": spec.scale,
        "masks": spec.masks,
    }
    try:
        plan = Plan.of(Graph.read(released.graph))
        weights = encodings.decode(released.encoding, released.weights).tensors
        check_weights(plan.weights, weights)
        return tflite(plan, weights, json.dumps(described))
    except Refused as refused:
        raise ModelError(f"this student cannot be exported to LiteRT: {refused.detail}") from refused

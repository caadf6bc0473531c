"""A student as one ONNX file that needs nothing beside it: weights and normalisation are in it.

Input `window` (n, length, inputs): raw values as they stand in a window, NaN where one is missing. Output
`logits` (n, classes). What comes before a window (derived channels, resampling, hygiene) is not in it.
"""

import json

import numpy as np

from iot_stream.artifact import encodings
from iot_stream.device.runtime.step import INPUT
from iot_stream.errors import ConfigError
from iot_stream.export import Released
from iot_stream.spec import FARTHEST

WINDOW = "window"


def onnx_file(released: Released) -> bytes:
    """Raises ConfigError where the package `onnx` is missing."""
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ConfigError(f"ONNX needs the extra: pip install 'iot-stream[train]' ({error})") from error
    spec = released.spec
    model = onnx.load_from_string(released.graph)
    graph = model.graph
    weights = encodings.decode(released.encoding, released.weights).tensors
    constants = {
        **weights,
        "spec:mean": np.array(spec.mean, np.float32),
        "spec:scale": np.array(spec.scale, np.float32),
        "spec:low": np.float32(-FARTHEST),
        "spec:high": np.float32(FARTHEST),
        "spec:nothing": np.float32(0),
    }
    shape: list[str | int | None] = ["n", spec.cut.length, len(spec.cut.inputs)]
    scaled = "spec:scaled" if spec.masks else INPUT
    before = [
        helper.make_node("IsNaN", [WINDOW], ["spec:missing"]),
        helper.make_node("Sub", [WINDOW, "spec:mean"], ["spec:centred"]),
        helper.make_node("Div", ["spec:centred", "spec:scale"], ["spec:divided"]),
        helper.make_node("Clip", ["spec:divided", "spec:low", "spec:high"], ["spec:bounded"]),
        helper.make_node("Where", ["spec:missing", "spec:nothing", "spec:bounded"], [scaled]),
    ]
    if spec.masks:
        before.append(helper.make_node("Cast", ["spec:missing"], ["spec:mask"], to=TensorProto.FLOAT))
        before.append(helper.make_node("Concat", [scaled, "spec:mask"], [INPUT], axis=2))
    nodes = [*before, *graph.node]
    del graph.input[:], graph.node[:]
    graph.input.append(helper.make_tensor_value_info(WINDOW, TensorProto.FLOAT, shape))
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(v), name) for name, v in sorted(constants.items())
    )
    helper.set_model_props(
        model,
        {
            "name": released.name,
            "inputs": json.dumps(spec.cut.inputs),
            "classes": json.dumps(spec.classes),
        },
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))

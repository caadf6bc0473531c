"""A student as C99: the fixed files of `c/`, and a header and tables of its own.

The tables are the numpy runtime's plan, so C and Python run the same steps; what neither knows is refused by
name. The fixed files are compiled against the generated header, which states every size.
"""

import hashlib
import math
from importlib import resources

import numpy as np

from iot_stream.artifact import encodings
from iot_stream.cut import Cut
from iot_stream.derive import Derived
from iot_stream.device.runtime import check_weights, operators
from iot_stream.device.runtime.graph import Graph
from iot_stream.device.runtime.plan import Plan
from iot_stream.device.runtime.step import INPUT, Shape, Step
from iot_stream.errors import ModelError, Refused
from iot_stream.export import Released
from iot_stream.export.arena import arena
from iot_stream.export.c_text import array, comment, defines, double, single, string, table

ENCODING = "int8"
WEIGHTS = "weights.int8"
FUNCTIONS = (
    "log",
    "log1p",
    "diff",
    "absolute_humidity",
    "ema",
    "minus_ema",
    "spread",
    "deviation",
    "day_sine",
    "day_cosine",
    "weekend",
    "band",
)
"""Of `derive`'s registry those that c/iot_derive.c has."""
MOST_16 = 0xFFFE


def source(released: Released) -> tuple[dict[str, bytes], Plan]:
    """Files by name, and what they run; raises ModelError, naming what C does not have."""
    if released.encoding != ENCODING:
        raise ModelError(f"C reads weights as {ENCODING}, these are {released.encoding}")
    _check_cut(released.spec.cut)
    try:
        plan = Plan.of(Graph.read(released.graph))
        decoded = encodings.decode(released.encoding, released.weights)
        check_weights(plan.weights, decoded.tensors)
    except Refused as refused:
        raise ModelError(f"this student cannot be exported to C: {refused.detail}") from refused
    if not len(released.spec.golden_windows()) or decoded.selftest is None:
        raise ModelError("the version has no golden windows, by which C tries weights before it uses them")
    folder = resources.files("iot_stream.export") / "c"
    files = {each.name: each.read_bytes() for each in folder.iterdir() if each.name.endswith((".c", ".h"))}
    files["iot_model.h"] = _header(released, plan).encode()
    files["iot_model.c"] = _tables(released, plan).encode()
    files[WEIGHTS] = released.weights
    return files, plan


def _check_cut(cut: Cut) -> None:
    """Raises ModelError for what c/iot_window.c does not do."""
    for derived in cut.derive:
        if derived.function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise ModelError(f"derive.{derived.name}: C has no {derived.function}(…); it has {known}")
    if cut.join:
        raise ModelError("window.join: in C a reading has all its channels; leave join out")
    if cut.states:
        raise ModelError("C has no channels that hold as states")
    if cut.period and not cut.gap:
        raise ModelError("window.rate needs window.gap in C, which bounds what is filled at once")


def _header(released: Released, plan: Plan) -> str:
    spec, cut = released.spec, released.spec.cut
    places, size = arena(plan)
    matrices = sum(len(shape) > 1 for shape in plan.weights.values())
    used = {derived.function for derived in cut.derive}
    sizes: dict[str, int | str] = {
        "CHANNELS": len(cut.channels),
        "DERIVED": len(cut.derive),
        "INPUTS": len(cut.inputs),
        "LENGTH": cut.length,
        "HOP": cut.hop,
        "PERIOD": f"{cut.period}LL",
        "GAP": f"{cut.gap}LL",
        "HOLD": int(cut.fill == "hold"),
        "ERROR_VALUES": len(cut.error_values),
        "LIMITS": len(cut.limits),
        "MASKS": int(spec.masks),
        "GOLDEN": len(spec.golden_windows()),
        "CLASSES": len(spec.classes),
        "STEPS": len(_steps(plan, places)),
        "PARAMETERS": len(plan.weights),
        "ENTRIES": len(plan.weights) + matrices + 1,
        "ARENA": size,
        "INPUT_PLACE": places[INPUT],
        "OUTPUT_PLACE": places[plan.output],
        "ARTIFACT": len(released.weights) + 64,
    }
    sizes |= {f"USES_{name.upper()}": int(name in used) for name in FUNCTIONS}
    return (
        f"/* {comment(released.name)}. Written by `iot-stream export c`; not to be edited.\n"
        f" *\n * Channels of a reading: {', '.join(map(comment, cut.channels))}\n"
        f" * Inputs of a window:    {', '.join(map(comment, cut.inputs))}\n */\n"
        "#ifndef IOT_MODEL_H\n#define IOT_MODEL_H\n\n#include <stdint.h>\n\n"
        f"{defines(sizes)}\n"
        "extern const char *const iot_classes[IOT_CLASSES];\n"
        "/* Of the weights that were exported beside this: what a first trust may compare with. */\n"
        "extern const uint8_t iot_exported_sha256[32];\n\n#endif\n"
    )


def _tables(released: Released, plan: Plan) -> str:
    spec, cut = released.spec, released.spec.cut
    places, _ = arena(plan)
    columns = [*cut.channels, *(derived.name for derived in cut.derive)]
    digest = hashlib.sha256(released.weights).digest()
    golden = [single(value) for value in spec.golden_windows().ravel().tolist()]
    errors = [single(value) for value in cut.error_values]
    limits = (
        f"{{{cut.channels.index(limit.channel)}, {single(-np.inf if limit.low is None else limit.low)}, "
        f"{single(np.inf if limit.high is None else limit.high)}, "
        f"{double(np.inf if limit.jump is None else limit.jump)}, {limit.stuck}LL}}"
        for limit in cut.limits
    )
    parameters = (
        f"{{{string(name)}, {len(shape)}, {{{', '.join(map(str, shape))}}}}}"
        for name, shape in plan.weights.items()
    )
    return "\n".join(
        [
            f"/* {comment(released.name)}. Written by `iot-stream export c`; not to be edited. */",
            "#include <math.h>\n",
            '#include "iot_inner.h"\n',
            array("char *const iot_classes[IOT_CLASSES]", [string(name) for name in spec.classes]),
            array("uint8_t iot_exported_sha256[32]", [f"0x{byte:02x}" for byte in digest]),
            table("iot_step iot_steps[IOT_STEPS]", _steps(plan, places)),
            table("iot_parameter iot_parameters[IOT_PARAMETERS]", parameters),
            array("float iot_mean[IOT_INPUTS]", [single(mean) for mean in spec.mean]),
            array("float iot_scale[IOT_INPUTS]", [single(scale) for scale in spec.scale]),
            array("float iot_golden[IOT_GOLDEN * IOT_LENGTH * IOT_INPUTS]", golden),
            array("uint16_t iot_inputs[IOT_INPUTS]", [str(columns.index(name)) for name in cut.inputs]),
            array("uint8_t iot_required[IOT_CHANNELS]", [str(int(c in cut.required)) for c in cut.channels]),
            array("float iot_error_values[IOT_ERROR_VALUES + 1]", errors),
            table("iot_limit iot_limits[IOT_LIMITS + 1]", limits),
            table(
                "iot_derivation iot_derivations[IOT_DERIVED + 1]",
                [_derivation(derived, columns) for derived in cut.derive],
            ),
        ]
    )


def _derivation(derived: Derived, columns: list[str]) -> str:
    taken = [str(columns.index(name)) for name in derived.channels]
    low, high = derived.frequencies or (0.0, 0.0)
    return (
        f"{{IOT_{derived.function.upper()}, {len(taken)}, {{{', '.join(taken) or '0'}}}, "
        f"{derived.duration}LL, {double(low)}, {double(high)}}}"
    )


def _steps(plan: Plan, places: dict[str, int]) -> list[str]:
    shapes: dict[str, Shape] = {INPUT: plan.window} | {step.output: step.shape for step in plan.steps}
    numbers = {name: number for number, name in enumerate(plan.weights)}
    rows = (_row(step, shapes[step.inputs[0]], places, numbers) for step in plan.steps)
    return [row for row in rows if row]


def _row(step: Step, source: Shape, places: dict[str, int], numbers: dict[str, int]) -> str:
    """One entry of iot_steps; "" for a step that moves nothing."""
    weight = bias = 0
    convolution = (0, 0, 0, 0)
    channels, length = (*source, 1)[:2]
    outputs, moments = (*step.shape, 1)[:2]
    match step:
        case operators.Flat():
            return ""
        case operators.Conv():
            kind, weight = "CONV", numbers[step.weight]
            bias = MOST_16 + 1 if step.bias is None else numbers[step.bias]
            convolution = (step.weights[2], step.stride, step.pads[0], step.group)
        case operators.Linear():
            if not step.turned:
                raise ModelError(f"{step.weight} is (inputs, outputs); C has its scales by output, and first")
            kind, weight, bias = "LINEAR", numbers[step.weight], numbers[step.bias]
        case operators.Mean():
            kind = "MEAN"
        case operators.Transpose():
            kind = "TRANSPOSE"
        case operators.Relu() | operators.Tanh() | operators.Add():
            kind, outputs, moments = type(step).__name__.upper(), math.prod(step.shape), 1
        case _:
            raise ModelError(f"C has no step {type(step).__name__}")
    if max(convolution, default=0) > MOST_16:
        raise ModelError(f"a convolution of {convolution} is beyond C's 16 bits")
    place = [places[step.inputs[0]], places[step.inputs[-1]], places[step.output]]
    values = [*place, channels, length, outputs, moments, weight, bias, *convolution]
    return f"{{IOT_{kind}, {', '.join(map(str, values))}}}"

"""An ONNX file as teacher: whatever tool it comes from, fed with raw windows in onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import Hardware
from iot_stream.config.network import ONNX
from iot_stream.distill.teachers.foreign import ForeignMember, Ready, manner
from iot_stream.distill.teachers.member import KINDS, State
from iot_stream.errors import ModelError
from iot_stream.readings import Values
from iot_stream.spec import Spec

BATCH = 512
LAYOUTS = ("windows", "channels_first", "flat")  # (n, length, channels), (n, channels, length), (n, both)
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}


@KINDS.register(ONNX)
class OnnxFile(Ready):
    """Options: `layout` of its input, `output` by name where there are several, `gives`, `classes`."""

    @classmethod
    def restored(cls, network: Network, spec: Spec, _state: State, _hardware: Hardware) -> ForeignMember:
        """Raises ModelError."""
        options = dict(network.options)
        path = Path(str(options.pop(ONNX)))
        name = f"teacher {path.name}"
        columns, gives = manner(name, options, spec.classes)
        layout, output = options.pop("layout", None), options.pop("output", None)
        if options:
            known = "layout, output, gives, classes"
            raise ModelError(f"{name}: no option {next(iter(options))!r}; there are {known}")
        try:
            session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base
            raise ModelError(f"teacher {path}: no ONNX file that onnxruntime can read: {error}") from error
        run = _Session(name, session, spec, layout, output)
        return ForeignMember(name, run, columns, gives)


class _Session:
    def __init__(self, name: str, session: Any, spec: Spec, layout: object, output: object) -> None:
        inputs = session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in TYPES:
            found = ", ".join(f"{each.name}: {each.type}" for each in inputs)
            raise ModelError(f"{name}: one input of floats is needed; it has {found}")
        self._name, self._session, self._input = name, session, inputs[0].name
        self._type, shape = TYPES[inputs[0].type], inputs[0].shape
        self._layout = _layout(name, shape, spec, layout)
        self._batch = shape[0] if isinstance(shape[0], int) else 0
        self._output = _output(name, session, output, len(spec.classes))

    def __call__(self, x: Values) -> NDArray[np.floating]:
        size = self._batch or BATCH
        parts = [self._run(x[begin : begin + size]) for begin in range(0, len(x), size)]
        return np.concatenate(parts)

    def _run(self, x: Values) -> NDArray[np.floating]:
        fed = x.transpose(0, 2, 1) if self._layout == "channels_first" else x
        fed = fed.reshape(len(x), -1) if self._layout == "flat" else fed
        if len(x) < self._batch:  # it takes so many, no fewer
            fed = np.concatenate([fed, np.repeat(fed[-1:], self._batch - len(x), axis=0)])
        try:
            found = self._session.run([self._output], {self._input: fed.astype(self._type)})[0]
        except Exception as error:
            raise ModelError(f"{self._name}: fed with {fed.shape}: {error}") from error
        return np.asarray(found)[: len(x)]


def _layout(name: str, shape: list[object], spec: Spec, layout: object) -> str:
    """As it is said, or as the input's shape has it."""
    if layout is not None:
        if layout not in LAYOUTS:
            raise ModelError(f"{name}: layout: {layout!r} is none of {', '.join(LAYOUTS)}")
        return str(layout)
    length, channels = spec.cut.length, len(spec.cut.inputs)
    fits = [
        each
        for each, sides in zip(
            LAYOUTS, [(length, channels), (channels, length), (length * channels,)], strict=True
        )
        if len(shape) == 1 + len(sides)
        and all(not isinstance(has, int) or has == side for has, side in zip(shape[1:], sides, strict=True))
    ]
    if not fits:
        raise ModelError(f"{name}: takes {shape}; windows are (n, {length}, {channels})")
    if len(fits) > 1:
        raise ModelError(f"{name}: takes {shape}; say `layout: {fits[0]}` or `layout: {fits[1]}`")
    return fits[0]


def _output(name: str, session: Any, wanted: object, classes: int) -> str:
    outputs = session.get_outputs()
    if wanted is None:
        fitting = [
            each.name
            for each in outputs
            if each.type in TYPES
            and len(each.shape) == 2
            and (not isinstance(each.shape[1], int) or each.shape[1] == classes)
        ]
        if len(fitting) == 1:
            return str(fitting[0])
    elif wanted in [each.name for each in outputs]:
        return str(wanted)
    found = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in outputs)
    raise ModelError(f"{name}: say `output`, one of (n, {classes}) floats; it has {found}")

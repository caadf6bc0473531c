"""A version of the student, to be asked: it runs here as it runs on a device."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from iot_stream.clock import SECOND
from iot_stream.cut import Cut
from iot_stream.device.model import Model, softmax
from iot_stream.errors import DataError
from iot_stream.formats.json_paths import parse_time
from iot_stream.readings import Times, Values
from iot_stream.store.registry import Version
from iot_stream.windows import Windower

Moment = int | float | str | datetime | np.datetime64
"""ns, or another number since 1970 that is told by its size; ISO 8601, in UTC where it names no zone."""

Readings = Mapping[str, Sequence[float | None] | NDArray[np.floating]]
"""Channel → its values, one a reading; None or NaN where one is missing."""


class Prediction(NamedTuple):
    """What a student makes of one window: the class, how sure it is, and how sure of each class."""

    name: str
    p: float
    probabilities: dict[str, float]


class Student:
    """Attributes:
    version: where it comes from and what it was made of.
    classes: their names, in the order of their indexes.
    cut: how readings become its windows.
    """

    def __init__(self, version: Version, model: Model) -> None:
        self.version = version
        self._model = model
        self.classes: tuple[str, ...] = model.spec.classes
        self.cut: Cut = model.spec.cut

    def __repr__(self) -> str:
        made = f"{self.version.pipeline} {self.version.cohort} {self.version.version}"
        return f"<Student {made}: {', '.join(self.classes)}>"

    def probabilities(self, windows: ArrayLike) -> NDArray[np.float64]:
        """(n, length, inputs) windows as they are stored → (n, classes). Raises DataError."""
        x = np.asarray(windows, np.float32)
        length, inputs = self.cut.length, self.cut.inputs
        if x.ndim != 3 or x.shape[1:] != (length, len(inputs)):
            wanted = f"(n, {length}, {len(inputs)}) of {', '.join(inputs)}"
            raise DataError("malformed", f"windows of shape {x.shape}, not {wanted}")
        if not len(x):
            return np.zeros((0, len(self.classes)))
        return softmax(self._model.logits(x))

    def predict(self, windows: ArrayLike) -> NDArray[np.int64]:
        """(n, length, inputs) → the index of the class of each."""
        best: NDArray[np.int64] = self.probabilities(windows).argmax(axis=1)
        return best

    def predict_one(self, what: ArrayLike | Readings, times: Sequence[Moment] | None = None) -> Prediction:
        """Of one window (length, inputs), or of the newest that `what` readings of one device make.

        Readings go through the same code as on the device, and derived channels remember what came before:
        give as many as they look back on. Raises DataError where they make no window.
        """
        window = self._newest(what, times) if isinstance(what, Mapping) else np.asarray(what, np.float32)
        (p,) = self.probabilities(window[np.newaxis])
        best = int(p.argmax())
        return Prediction(
            self.classes[best], float(p[best]), dict(zip(self.classes, p.tolist(), strict=True))
        )

    def _newest(self, readings: Readings, times: Sequence[Moment] | None) -> Values:
        if times is None:
            raise DataError("absurd_time", "readings need `times`, one for each")
        moments = np.array([_nanoseconds(each) for each in times], np.int64)
        values = self._columns(readings, len(moments))
        order = np.argsort(moments, kind="stable")
        found = Windower(self.cut).push(moments[order], values[order])
        if not len(found):
            raise DataError(
                "too_few", f"{len(moments)} readings make no window: {_needed(self.cut, moments)}"
            )
        newest: Values = found.x[-1]
        return newest

    def _columns(self, readings: Readings, count: int) -> Values:
        if missing := set(self.cut.channels) - readings.keys():
            names = f"{', '.join(sorted(missing))}; there are {', '.join(readings)}"
            raise DataError("malformed", f"readings have no {names}")
        columns = [np.array(readings[name], np.float32) for name in self.cut.channels]  # None becomes NaN
        for name, column in zip(self.cut.channels, columns, strict=True):
            if column.shape != (count,):
                raise DataError("malformed", f"{name} has {column.size} values, and there are {count} times")
        return np.stack(columns, axis=1)


def _nanoseconds(moment: Moment) -> int:
    if isinstance(moment, np.datetime64):
        return int(moment.astype("datetime64[ns]").astype(np.int64))
    if isinstance(moment, datetime):
        moment = moment.isoformat()
    return parse_time(moment.item() if isinstance(moment, np.generic) else moment, "UTC")


def _needed(cut: Cut, moments: Times) -> str:
    rate = f"on a grid of {cut.period / SECOND:g} s" if cut.period else "one after the other"
    gap = f", none more than {cut.gap / SECOND:g} s after the last" if cut.gap else ""
    again = "; times that repeat do not count" if len(np.unique(moments)) < len(moments) else ""
    required = f"; each with {', '.join(cut.required)}" if cut.required else ""
    return f"it takes {cut.length}, {rate}{gap}{required}{again}"

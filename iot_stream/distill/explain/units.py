"""What an explanation speaks of: inputs under their own names, or, of pictures, regions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.config import Network
from iot_stream.derive import Derived
from iot_stream.readings import Values
from iot_stream.spec import Spec

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")


@dataclass(frozen=True)
class Units:
    """`names` of the units, `of` (inputs,) the unit of each input, `width` of pictures, 0 for channels."""

    names: tuple[str, ...]
    of: NDArray[np.int64]
    width: int = 0

    @classmethod
    def of_model(cls, network: Network, spec: Spec) -> "Units":
        """A network that takes a reading as a picture `width` wide has up to nine regions."""
        inputs = spec.cut.inputs
        width = int(dict(network.options).get("width", 0))
        if not width:
            return cls(inputs, np.arange(len(inputs)))
        rows, columns = np.divmod(np.arange(len(inputs)), width)
        height = len(inputs) // width
        places = 3 * (3 * rows // height) + 3 * columns // width
        kept, of = np.unique(places, return_inverse=True)
        names = tuple(_region(*divmod(place, 3)) for place in kept.tolist())
        return cls(names, of.astype(np.int64), width)

    def added(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over each unit of the second axis: (n, inputs, …) → (n, units, …)."""
        belongs = (self.of[:, None] == np.arange(len(self.names))).astype(np.float64)
        return np.asarray(np.einsum("ni...,iu->nu...", parts, belongs), np.float64)

    def means(self, windows: Values) -> NDArray[np.float64]:
        """(n, length, inputs) → (n, length, units); NaN where all of a unit is missing."""
        if not self.width:
            return windows.astype(np.float64)
        known = ~np.isnan(windows)
        flat = windows.reshape(-1, windows.shape[2])
        total = self.added(np.where(np.isnan(flat), 0, flat).astype(np.float64))
        count = self.added(known.reshape(flat.shape).astype(np.float64))
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return mean.reshape(*windows.shape[:2], len(self.names))


def _region(row: int, column: int) -> str:
    names = [ROWS[row]] if ROWS[row] != "middle" else []
    names += [COLUMNS[column]] if COLUMNS[column] != "middle" else []
    return " ".join(names) or "middle"


def meaning(derived: Derived) -> str:
    """As the configuration has it: `minus_ema(lco2, 6 h)`."""
    arguments = [*derived.channels, *(f"{frequency:g} Hz" for frequency in derived.frequencies)]
    arguments += [span(derived.duration / SECOND)] if derived.duration else []
    return f"{derived.function}({', '.join(arguments)})"


def span(seconds: float) -> str:
    """In the largest unit that it fills: 21600 → "6 h"; three figures."""
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 1e-3)):
        if seconds >= size * 0.9995:
            count = f"{seconds / size:.3g}"
            return f"{count} days" if unit == "day" and count != "1" else f"{count} {unit}"
    return f"{seconds * 1e6:.3g} µs"

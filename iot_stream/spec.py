"""A model's contract: the cut, and what it takes to feed it windows: classes, normalisation, golden windows.

Missing values stay NaN in a stored window; they become 0 (the mean) and, with `masks`, a channel of ones in a
model's input.
"""

import msgspec
import numpy as np

from iot_stream.cut import Cut
from iot_stream.errors import Refused
from iot_stream.readings import Values

FARTHEST = 1e6  # standard deviations from the mean
LARGEST = 1e30  # mean and scale, so that float32 holds what is computed with them


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's contract, travelling as `spec.json`.

    `mean` and `scale` per input; `golden` some windows (count, length, inputs) float32 for the
    self-test, whose expected outputs travel with the weights.
    """

    cut: Cut
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    masks: bool = False
    golden: bytes = b""

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.scale) == len(self.cut.inputs):
            raise ValueError("mean and scale must have one value per input")
        held = (
            abs(mean) < LARGEST and 1 / LARGEST < s < LARGEST
            for mean, s in zip(self.mean, self.scale, strict=True)
        )
        if not all(held):
            raise ValueError("mean and scale must be numbers that float32 can hold, scale positive")

    @property
    def model_channels(self) -> int:
        return len(self.cut.inputs) * (2 if self.masks else 1)

    def model_input(self, windows: Values) -> Values:
        """(n, length, inputs) raw windows → (n, length, model_channels) float32, finite."""
        mean, scale = np.asarray(self.mean, np.float32), np.asarray(self.scale, np.float32)
        missing = np.isnan(windows)
        with np.errstate(over="ignore"):
            scaled = (windows - mean) / scale
        # Bounded, so that an absurd reading does not make a sound model give NaN.
        scaled = np.where(missing, np.float32(0), np.clip(scaled, -FARTHEST, FARTHEST)).astype(np.float32)
        if not self.masks:
            return scaled
        return np.concatenate([scaled, missing.astype(np.float32)], axis=2)

    def golden_windows(self) -> Values:
        return np.frombuffer(self.golden, np.float32).reshape(-1, self.cut.length, len(self.cut.inputs))

    def renormalised(self, windows: Values) -> "Spec":
        """With mean and scale of raw windows (n ≥ 1, length, inputs). An input that does not vary in them, is
        missing, or absurd, keeps its own: it tells nothing of its scale. Golden windows stay."""
        rows = windows.reshape(-1, windows.shape[2])
        mean, scale = (np.array(each) for each in normalisation(windows))
        tells = np.fmax.reduce(rows, axis=0) > np.fmin.reduce(rows, axis=0)
        tells &= (np.abs(mean) < LARGEST) & (scale < LARGEST)
        return msgspec.structs.replace(
            self,
            mean=tuple(np.where(tells, mean, self.mean).tolist()),
            scale=tuple(np.where(tells, scale, self.scale).tolist()),
        )

    def of_one_bootstrap(self, other: "Spec") -> bool:
        """Mean and scale may have been estimated anew since; the golden windows are the bootstrap's."""
        return (self.mean, self.scale) == (other.mean, other.scale) or self.golden == other.golden

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, payload: bytes) -> "Spec":
        """Raises Refused("malformed") if the payload is no spec."""
        try:
            spec = _DECODER.decode(payload)
            spec.golden_windows()
        except (ValueError, RecursionError) as error:
            raise Refused("malformed", f"spec.json: {error}") from error
        return spec


# Made here, and not by the threads that decode: what msgspec knows of a type is not whole while it is built.
_DECODER = msgspec.json.Decoder(Spec)


def normalisation(windows: Values) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and scale (standard deviation, 1 where constant) of (n, length, inputs) windows, NaN left out."""
    rows = windows.reshape(-1, windows.shape[2]).astype(np.float64)
    known = np.maximum((~np.isnan(rows)).sum(axis=0), 1)
    mean = np.nansum(rows, axis=0) / known
    scale = np.sqrt(np.nansum((rows - mean) ** 2, axis=0) / known)
    return tuple(mean.tolist()), tuple(np.where(scale > 1e-12, scale, 1.0).tolist())

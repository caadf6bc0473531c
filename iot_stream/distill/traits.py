"""What a window is like in a few numbers, so that windows can be compared: level, spread and roughness."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Values

PICTURE = 512
"""A window of one reading with more inputs than this is one picture, not so many channels."""

MOST = 20.0
"""No trait counts as further away than so many spreads."""

_TINY = 1e-12
_TO_DEVIATION = 1.4826  # of a normal distribution: deviation by median absolute deviation

Traits = NDArray[np.float64]


def traits(x: Values) -> Traits:
    """Of raw windows (n, length, inputs): (n, 3·inputs) level, log spread and log roughness of each input,
    or (n, inputs) the values themselves where a window is one reading. NaN where nothing was measured."""
    series = _as_series(x).astype(np.float64)
    if series.shape[1] == 1:
        return series[:, 0, :]
    level, spread = _mean(series), _deviation(series)
    # How much from reading to reading: a spread alone cannot tell a slow swing from a fast one.
    steps = _deviation(np.diff(series, axis=1))
    return np.concatenate(
        [level, np.log(spread + _TINY), np.log(steps + _TINY) - np.log(spread + _TINY)], axis=1
    )


def names(inputs: tuple[str, ...], x: Values) -> list[str]:
    """What each trait is called."""
    length, many = _as_series(x).shape[1:]
    channels = list(inputs) if many == len(inputs) else ["picture"]
    if length == 1:
        return channels
    return [f"{what} of {name}" for what in ("level", "spread", "roughness") for name in channels]


def _as_series(x: Values) -> Values:
    return x.reshape(len(x), -1, 1) if x.shape[1] == 1 and x.shape[2] > PICTURE else x


def _mean(x: Traits) -> Traits:
    known = np.isfinite(x)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, x, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _deviation(x: Traits) -> Traits:
    return np.sqrt(_mean((x - _mean(x)[:, None, :]) ** 2))


@dataclass(frozen=True)
class Scale:
    """Where each trait lies in a reference, and how widely: by median and median absolute deviation."""

    center: Traits
    spread: Traits

    @classmethod
    def of(cls, reference: Traits) -> "Scale":
        known = np.isfinite(reference)
        safe = np.where(known.any(axis=0), reference, 0.0)
        center = np.nanmedian(safe, axis=0)
        spread = _TO_DEVIATION * np.nanmedian(np.abs(safe - center), axis=0)
        # A trait that is mostly one value has no median deviation.
        spread = np.where(spread > 0, spread, np.nanstd(safe, axis=0))
        return cls(center, spread)

    def measure(self, values: Traits) -> Traits:
        """Traits (n, k) in spreads from the centre; 0 what is missing or never varied in the reference."""
        counts = (self.spread > 0) & np.isfinite(values)
        shifted = np.where(counts, values - self.center, 0.0)
        return np.clip(shifted / np.where(self.spread > 0, self.spread, 1.0), -MOST, MOST)

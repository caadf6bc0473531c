"""Frequency bands of a window: its level, and a few ranges of swings from slow to fast."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from iot_stream.distill.explain.units import span

LEAST = 8  # readings: a shorter window has no bands to speak of
MOST = 4
LEVEL = "level"


@dataclass(frozen=True)
class Bands:
    """`masks` (bands, bins): which bins of the real Fourier transform each band has. Each bin is in one."""

    names: tuple[str, ...]
    masks: NDArray[np.bool_]
    length: int

    @classmethod
    def of(cls, length: int, period: float) -> "Bands | None":
        """For windows of `length` readings `period` seconds apart (0: unknown); None where they are short.

        The bins from one swing a window to half the rate fall into ranges of equal ratio.
        """
        if length < LEAST:
            return None
        top = length // 2
        count = min(MOST, int(np.log2(top)) + 1)
        edges = np.unique(np.round(np.geomspace(1, top + 1, count + 1)).astype(np.int64))
        bins = np.arange(top + 1)
        masks = [bins == 0, *((bins >= low) & (bins < high) for low, high in pairwise(edges))]
        names = [_name(int(low), int(high) - 1, length, period) for low, high in pairwise(edges)]
        return cls((LEVEL, *names), np.array(masks), length)

    def products(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Σ_t a_band(t)·b(t) of each band, (n, length, channels) twice → (n, channels, bands).

        By Parseval from the transforms; the bands add up to Σ_t a(t)·b(t).
        """
        spectrum = (np.fft.rfft(a, axis=1) * np.fft.rfft(b, axis=1).conj()).real
        weights = np.full(spectrum.shape[1], 2.0)
        weights[0] = 1
        if self.length % 2 == 0:
            weights[-1] = 1
        weighted = spectrum * (weights / self.length)[:, None]
        return np.asarray(np.einsum("bk,nkc->ncb", self.masks.astype(np.float64), weighted), np.float64)

    def strengths(self, windows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Root mean square of each band but the level: (n, length, units) → (n, units, bands − 1)."""
        power = self.products(windows, windows)[:, :, 1:]
        return np.asarray(np.sqrt(np.maximum(power, 0) / self.length))


def _name(low: int, high: int, length: int, period: float) -> str:
    """Of the bins `low` to `high`: in hertz where they are fast, as the time of a swing where slow."""
    if period <= 0:
        return f"{low} swing{'s' * (low > 1)} a window" if low == high else f"{low}–{high} swings a window"
    slow, fast = low / (length * period), high / (length * period)
    if fast < 0.5:
        return (
            f"swings of {span(1 / slow)}"
            if low == high
            else f"swings of {span(1 / fast)} to {span(1 / slow)}"
        )
    unit, size = ("kHz", 1e3) if fast >= 1000 else ("Hz", 1.0)
    return f"{slow / size:.3g} {unit}" if low == high else f"{slow / size:.3g}–{fast / size:.3g} {unit}"

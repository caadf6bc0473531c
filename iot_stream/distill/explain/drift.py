"""What drifted: each input's recent values against the bootstrap's, in standard deviations of the bootstrap.

How far is far? Stretches of the bootstrap, as long as the recent one, are measured against the whole of it in
the same way: weather, nights and weekends are in there too.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from iot_stream.distill.explain.bands import Bands
from iot_stream.distill.explain.distances import Quantiles, quantiles, wasserstein
from iot_stream.distill.explain.units import Units
from iot_stream.distill.explain.why import Distance, Drift
from iot_stream.distill.material import Material
from iot_stream.readings import Values

READINGS = 16_384  # of each side, in whole windows, evenly over time
FEWEST_WINDOWS = 64
STRETCHES = 8
SHOWN = 12
SHOWN_BANDS = 6
CONSTANT = 1e-12

Columns = Callable[[Values], NDArray[np.float64]]


def measured(
    bootstrap: Material, recent: Material, before: Material, units: Units, bands: Bands | None
) -> Drift:
    """`recent`: the stream's windows since the last round, `before`: as many older ones, or none."""
    readings = _Compared(bootstrap, recent, before, lambda x: _flat(units.means(x)))
    distances = {
        name: Distance(
            _short(readings.distance[unit]),
            _short(readings.usual[unit]),
            _short(readings.step[unit]) if len(before) else None,
            _short(readings.usual_step[unit]),
            (_short(readings.missing[0][unit]), _short(readings.missing[1][unit])),
            bool(readings.constant[unit]),
        )
        for unit, name in enumerate(units.names)
    }
    ordered = sorted(
        distances,
        key=lambda name: (-distances[name].distance, -distances[name].missing[1], units.names.index(name)),
    )
    return Drift(
        len(bootstrap),
        len(recent),
        len(units.names),
        {name: distances[name] for name in ordered[:SHOWN]},
        _bands(bootstrap, recent, units, bands),
    )


def _bands(
    bootstrap: Material, recent: Material, units: Units, bands: Bands | None
) -> list[tuple[str, str, float, float]]:
    """How far the strength of swings moved: the largest (input, band, distance, usual)."""
    if bands is None:
        return []

    def columns(x: Values) -> NDArray[np.float64]:
        known = units.means(x)
        level = np.nanmean(
            np.where(np.isnan(known).all(axis=1, keepdims=True), 0, known), axis=1, keepdims=True
        )
        strengths = bands.strengths(np.where(np.isnan(known), level, known))
        return strengths.reshape(len(x), -1)

    found = _Compared(bootstrap, recent, None, columns)
    names = [(unit, band) for unit in units.names for band in bands.names[1:]]
    size = np.where(found.constant, -1, found.distance)
    best = np.argsort(-size, kind="stable")[:SHOWN_BANDS]
    return [
        (*names[i], _short(found.distance[i]), _short(found.usual[i])) for i in best.tolist() if size[i] >= 0
    ]


class _Compared:
    """Distances of columns that `columns` makes of windows: (n, length, inputs) → (rows, columns)."""

    def __init__(
        self, bootstrap: Material, recent: Material, before: Material | None, columns: Columns
    ) -> None:
        def of(material: Material) -> NDArray[np.float64]:
            return columns(material.rows(_spread(material)).x)

        whole, late = of(bootstrap), of(recent)
        everything = quantiles(whole)
        spread = np.nan_to_num(_deviation(whole))
        self.constant = spread < CONSTANT
        self._scale = np.where(self.constant, 1, spread)
        self.missing = np.isnan(whole).mean(axis=0), np.isnan(late).mean(axis=0)
        now = quantiles(late)
        self.distance = self._between(now, everything)
        stretches = [quantiles(of(part)) for part in _stretches(bootstrap, len(recent))]
        self.usual = np.max([self._between(part, everything) for part in stretches], axis=0)
        steps = [self._between(a, b) for a, b in pairwise(stretches)]
        self.usual_step = np.max(steps, axis=0)
        self.step = (
            self._between(now, quantiles(of(before))) if before is not None and len(before) else self.distance
        )

    def _between(self, a: Quantiles, b: Quantiles) -> NDArray[np.float64]:
        """Where one side has no value at all there is no distance; what is missing is told apart."""
        return np.nan_to_num(wasserstein(a, b) / self._scale)


def _deviation(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.maximum((~np.isnan(rows)).sum(axis=0), 1)
    mean = np.nansum(rows, axis=0) / known
    return np.asarray(np.sqrt(np.nansum((rows - mean) ** 2, axis=0) / known))


def _stretches(bootstrap: Material, size: int) -> list[Material]:
    """Parts of the bootstrap, at least two, each unbroken in time and as long as the recent one."""
    order = np.argsort(bootstrap.ends, kind="stable")
    count = int(np.clip(len(order) // max(1, size), 2, STRETCHES))
    size = min(size, len(order) // 2)
    begins = np.linspace(0, len(order) - size, count).astype(np.int64)
    return [bootstrap.rows(order[begin : begin + max(1, size)]) for begin in begins.tolist()]


def _spread(material: Material) -> NDArray[np.int64]:
    """Rows evenly over time, few enough."""
    order = np.argsort(material.ends, kind="stable")
    most = max(FEWEST_WINDOWS, READINGS // material.x.shape[1])
    if len(order) <= most:
        return np.asarray(order, np.int64)
    return np.asarray(order[np.linspace(0, len(order) - 1, most).astype(np.int64)], np.int64)


def _flat(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    return windows.reshape(-1, windows.shape[2])


def _short(value: float) -> float:
    return float(f"{float(value):.4g}")

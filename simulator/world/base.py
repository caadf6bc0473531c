"""What every world has in common: channels and classes, named conditions, and machines that emit bursts.

A world is pure physics: no broker, no clock, no faults. The same seed, machine, time and condition
always give the same burst; the fleet adds lateness, loss and duplicates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from iot_stream.errors import ConfigError, nearest

Condition = Mapping[str, float]
"""Named numbers that describe how a machine runs at a moment; drift is a change of them."""


@dataclass(frozen=True)
class Burst:
    """Consecutive readings of one machine, and what was true while they were taken.

    `times` are int64 nanoseconds since the epoch, shape (n,); `values` float32, shape (n, channels);
    `label` indexes the world's classes.
    """

    times: NDArray[np.int64]
    values: NDArray[np.float32]
    label: int


class Machine(Protocol):
    """One machine of a world, with its own small individual differences."""

    def burst(self, start_ns: int, condition: Condition, readings: int | None = None) -> Burst:
        """The burst that starts at `start_ns`; `readings` defaults to the world's nominal number."""
        ...


@dataclass(frozen=True)
class World:
    """A kind of machine: what it measures, what it can be, how it is run.

    `rate_hz` is the rate of readings inside a burst, `readings` their nominal number in one burst,
    `period_ns` the time from one burst to the next. `regimes` are complete conditions by name.
    """

    name: str
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    rate_hz: float
    readings: int
    period_ns: int
    regimes: Mapping[str, Condition]
    default_regime: str
    machine: Callable[[int, int], Machine] = field(repr=False)

    def condition(self, regime: str | None = None, **changes: float) -> dict[str, float]:
        """A regime's condition with some of its numbers changed.

        Raises ConfigError for an unknown regime or number, naming the nearest valid one.
        """
        name = self.default_regime if regime is None else regime
        if name not in self.regimes:
            raise ConfigError(f"world {self.name}: no regime {name!r}; {nearest(name, self.regimes)}")
        condition = dict(self.regimes[name])
        for key, value in changes.items():
            if key not in condition:
                raise ConfigError(f"world {self.name}: no condition {key!r}; {nearest(key, condition)}")
            condition[key] = float(value)
        return condition


def sample_times(start_ns: int, readings: int, rate_hz: float) -> NDArray[np.int64]:
    """Times of `readings` evenly spaced readings, in nanoseconds, without accumulating rounding."""
    return start_ns + np.round(np.arange(readings) * (1e9 / rate_hz)).astype(np.int64)

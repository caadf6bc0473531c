"""Channels that are states: what is said of one holds until it is said anew, whatever comes in between."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.readings import Times

MOST = 10_000  # changes that are remembered while no reading asks for them
Rows = NDArray[np.float64]


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`channel` holds for `longest` ns, 0 for ever."""

    channel: str
    longest: int = 0


class States:
    """Of one device. What is said comes in order of time, what is asked for too; both may run ahead."""

    def __init__(self, holds: tuple[Hold, ...]) -> None:
        self._longest = [hold.longest for hold in holds]
        self.times: Times = np.zeros(0, np.int64)
        self.rows: Rows = np.zeros((0, len(holds)))

    def take(self, times: Times, rows: Rows) -> None:
        """`rows` (n, states), NaN where a state is not spoken of."""
        said = np.isfinite(rows).any(axis=1)
        self.times = np.concatenate([self.times, times[said]])[-MOST:]
        self.rows = np.concatenate([self.rows, rows[said]])[-MOST:]

    def at(self, times: Times) -> Rows:
        """(n, states): what holds at each moment, NaN where nothing was said, or too long ago."""
        found = np.full((len(times), len(self._longest)), np.nan)
        for column, longest in enumerate(self._longest):
            known = np.isfinite(self.rows[:, column])
            own = self.times[known]
            last = np.searchsorted(own, times, side="right") - 1
            holds = last >= 0
            if longest:
                holds &= times - own[np.maximum(last, 0)] <= longest if len(own) else False
            found[holds, column] = self.rows[known, column][last[holds]]
        return found

    def forget(self, before: int) -> None:
        """Nothing that ends before this moment (ns) will be asked for."""
        needed = len(self.times)
        for column in range(len(self._longest)):
            past = np.flatnonzero(np.isfinite(self.rows[:, column]) & (self.times <= before))
            needed = min(needed, int(past[-1]) if len(past) else int(np.sum(self.times <= before)))
        self.times, self.rows = self.times[needed:], self.rows[needed:]

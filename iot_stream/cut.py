"""How readings become windows: what collector, device and journal agree on."""

import hashlib

import msgspec

from iot_stream.clock import SECOND
from iot_stream.derive import Derived
from iot_stream.hygiene import Limit
from iot_stream.states import Hold

MOST_ROWS = 1_000_000


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How readings become windows; its id is part of a window's key.

    `channels` raw channels that are read; `derive` in order; `inputs` the columns of a window;
    `length` and `hop` in rows; `period` of the grid in ns, 0 to take readings as they come;
    `gap` in ns beyond which a window is broken, 0 for never; `fill` between a channel's readings on a
    grid: `linear`, for which a point waits until each channel's next has come (at most `gap`), or `hold`;
    `required` channels without which a reading does not count; `join` in ns
    within which channels that come apart are one reading; `error_values` and `limits`: what a value
    cannot be; `holds`: channels that are states, which make no readings, but hold at those of the others.
    Raises ValueError if these do not fit together.
    """

    channels: tuple[str, ...]
    inputs: tuple[str, ...]
    length: int
    hop: int
    derive: tuple[Derived, ...] = ()
    period: int = 0
    gap: int = 0
    fill: str = "linear"
    required: tuple[str, ...] = ()
    join: int = 0
    error_values: tuple[float, ...] = ()
    limits: tuple[Limit, ...] = ()
    holds: tuple[Hold, ...] | msgspec.UnsetType = msgspec.UNSET  # unset, so that it changes no other cut's id

    def __post_init__(self) -> None:
        known = set(self.channels)
        for derived in self.derive:
            if fault := derived.fault():
                raise ValueError(f"derive.{derived.name}: {fault}")
            if strange := [name for name in derived.channels if name not in known]:
                raise ValueError(f"derive.{derived.name}: nothing before it makes {strange[0]!r}")
            if derived.frequencies and not 0 < 2 * self.period * derived.frequencies[-1] < SECOND:
                top = f"derive.{derived.name}: {derived.frequencies[-1]:g} Hz"
                raise ValueError(f"{top} needs a `window.rate` of more than twice that")
            if derived.name in known:
                raise ValueError(f"derive.{derived.name}: there is a channel of this name already")
            known.add(derived.name)
        if strange := [name for name in self.inputs if name not in known]:
            raise ValueError(f"nothing makes the input {strange[0]!r}")
        if not self.inputs or not set(self.required) <= set(self.measured):
            raise ValueError("inputs are needed, and required channels must be channels")
        if not self.measured:
            raise ValueError("states alone are no readings: a channel is needed that is measured")
        for limit in self.limits:
            if limit.channel not in self.channels:
                raise ValueError(f"limits: {limit.channel!r} is no channel")
            if fault := limit.fault():
                raise ValueError(f"hygiene.limits.{limit.channel}: {fault}")
        if not (1 <= self.length <= MOST_ROWS and 1 <= self.hop <= MOST_ROWS):
            raise ValueError(f"length and hop count from 1 to {MOST_ROWS}")
        if not all(0 <= each < 2**62 for each in (self.period, self.gap, self.join)):
            raise ValueError("period, gap and join count from 0, in nanoseconds")
        if self.fill not in ("linear", "hold"):
            raise ValueError(f"fill {self.fill!r} is neither linear nor hold")

    @property
    def states(self) -> tuple[Hold, ...]:
        return self.holds or ()

    @property
    def measured(self) -> tuple[str, ...]:
        """The channels whose readings are rows: all but the states."""
        stated = {hold.channel for hold in self.states}
        return tuple(name for name in self.channels if name not in stated)

    @property
    def id(self) -> str:
        """16 hexadecimal digits that name these settings."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

"""Derived channels: one function of a registry each, incremental over the readings of one device.

A function is called with the times and its channels' columns and keeps what it needs between calls
in a small dict of floats, so that cutting a stream into other blocks changes no byte of the result.
A missing value (NaN) gives a missing value and leaves the memory as it was.
"""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, nearest
from iot_stream.readings import Times
from iot_stream.units import Duration, Rate

Column = NDArray[np.float64]
Memory = dict[str, int | float]  # an int stays one in a snapshot: times do not fit a float
Function = Callable[..., Column]


class Registered(NamedTuple):
    function: Function
    channels: int
    frequencies: int
    duration: bool
    meaning: str

    @property
    def arguments(self) -> list[str]:
        return ["channel"] * self.channels + ["frequency"] * self.frequencies + ["duration"] * self.duration


FUNCTIONS: dict[str, Registered] = {}


def derived(
    channels: int = 1, duration: bool = False, frequencies: int = 0
) -> Callable[[Function], Function]:
    """Register a function of so many channels and frequencies, and of a duration if it asks for one."""

    def register(function: Function) -> Function:
        meaning = (function.__doc__ or "").strip()
        FUNCTIONS[function.__name__] = Registered(function, channels, frequencies, duration, meaning)
        return function

    return register


class Derived(msgspec.Struct, frozen=True):
    """One derived channel: `name = function(channels…, frequencies…, duration)`; Hz and ns."""

    name: str
    function: str
    channels: tuple[str, ...]
    duration: int = 0
    frequencies: tuple[float, ...] = ()

    @classmethod
    def parse(cls, name: str, text: str) -> "Derived":
        """From `minus_ema(co2, 30 min)`; raises ConfigError that names the nearest function."""
        match = re.fullmatch(r"\s*(\w+)\s*\(([^()]*)\)\s*", text)
        if not match:
            raise ConfigError(f"derive.{name}: {text!r} is not of the form function(channel, …)")
        known = FUNCTIONS.get(match[1])
        if known is None:
            raise ConfigError(f"derive.{name}: no function {match[1]!r}; {nearest(match[1], FUNCTIONS)}")
        arguments = [part.strip() for part in match[2].split(",")]
        arguments = arguments if match[2].strip() else []
        if len(arguments) != len(known.arguments):
            raise ConfigError(f"derive.{name}: {match[1]} takes ({', '.join(known.arguments)}), got {text!r}")
        duration = Duration.parse(arguments.pop()) if known.duration else 0
        if known.duration and duration <= 0:
            raise ConfigError(f"derive.{name}: the duration in {text!r} must be longer than nothing")
        frequencies = tuple(SECOND / Rate.parse(text) for text in arguments[known.channels :])
        if list(frequencies) != sorted(set(frequencies)):
            raise ConfigError(f"derive.{name}: the frequencies in {text!r} must rise")
        return cls(name, match[1], tuple(arguments[: known.channels]), int(duration), frequencies)

    @property
    def remembers(self) -> bool:
        """Whether it needs the readings before."""
        return self.duration > 0 or self.function == "diff"

    def fault(self) -> str:
        """Why this cannot be applied, or "" if it can; a spec from elsewhere may hold anything."""
        known = FUNCTIONS.get(self.function)
        if known is None:
            return f"no function {self.function!r}"
        if (
            len(self.channels) != known.channels
            or len(self.frequencies) != known.frequencies
            or (self.duration > 0) != known.duration
            or not all(0 < low < high for low, high in pairwise((*self.frequencies, math.inf)))
        ):
            return f"wrong arguments for {self.function}"
        return ""

    def apply(self, times: Times, columns: list[Column], memory: Memory) -> Column:
        duration = [self.duration] if FUNCTIONS[self.function].duration else []
        return FUNCTIONS[self.function].function(times, *columns, *self.frequencies, *duration, memory)


@derived()
def log(_: Times, x: Column, memory: Memory) -> Column:  # noqa: ARG001  one signature for all
    """ln(max(x, 1e-6))"""
    return np.asarray(np.log(np.maximum(x, 1e-6)), np.float64)


@derived()
def log1p(_: Times, x: Column, memory: Memory) -> Column:  # noqa: ARG001
    """sign(x)·ln(1 + |x|)"""
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)), np.float64)


@derived()
def diff(_: Times, x: Column, memory: Memory) -> Column:
    """x minus the value before it; 0 for the first"""
    out = np.empty_like(x)
    last = memory.get("last", np.nan)
    for i, value in enumerate(x.tolist()):
        out[i] = np.nan if value != value else 0.0 if last != last else value - last
        last = last if value != value else value
    memory["last"] = last
    return out


@derived(channels=2)
def absolute_humidity(_: Times, celsius: Column, relative: Column, memory: Memory) -> Column:  # noqa: ARG001
    """g/m³ of water from °C and % (Magnus formula, WMO-No. 8, annex 4.B)"""
    saturation = 6.112 * np.exp(17.62 * celsius / (243.12 + celsius))
    return np.asarray(216.7 * (relative / 100 * saturation) / (273.15 + celsius), np.float64)


def _moving_mean(times: Times, x: Column, duration: int, memory: Memory) -> Column:
    """Exponential moving mean whose weights follow the true time between readings."""
    out = np.empty_like(x)
    mean, last = memory.get("mean", np.nan), int(memory.get("time", 0))
    for i, (time, value) in enumerate(zip(times.tolist(), x.tolist(), strict=True)):
        if value != value:
            out[i] = np.nan
            continue
        if mean != mean:
            mean = value
        else:
            mean += -math.expm1((last - time) / duration) * (value - mean)
        last = time
        out[i] = mean
    memory.update(mean=mean, time=last)
    return out


@derived(duration=True)
def ema(times: Times, x: Column, duration: int, memory: Memory) -> Column:
    """exponential moving mean over the duration"""
    return _moving_mean(times, x, duration, memory)


@derived(duration=True)
def minus_ema(times: Times, x: Column, duration: int, memory: Memory) -> Column:
    """x minus its own exponential moving mean over the duration: drift of the level falls out"""
    return x - _moving_mean(times, x, duration, memory)


@derived(duration=True)
def spread(times: Times, x: Column, duration: int, memory: Memory) -> Column:
    """root mean square of the steps from reading to reading, over the duration"""
    steps_memory = {"last": memory.get("last", np.nan)}
    steps = diff(times, x, steps_memory)
    squares = _moving_mean(times, steps * steps, duration, memory)
    memory.update(steps_memory)
    return np.sqrt(squares)


@derived(duration=True)
def deviation(times: Times, x: Column, duration: int, memory: Memory) -> Column:
    """exponential moving standard deviation over the duration"""
    out = np.empty_like(x)
    mean, variance = memory.get("mean", np.nan), memory.get("variance", 0.0)
    last = int(memory.get("time", 0))
    for i, (time, value) in enumerate(zip(times.tolist(), x.tolist(), strict=True)):
        if value != value:
            out[i] = np.nan
            continue
        if mean != mean:
            mean = value
        else:  # Welford's update with weights that decay (West 1979)
            weight = -math.expm1((last - time) / duration)
            step = weight * (value - mean)
            variance = (1 - weight) * (variance + step * (value - mean))
            mean += step
        last = time
        out[i] = math.sqrt(variance)
    memory.update(mean=mean, variance=variance, time=last)
    return out


DAY = 86_400 * SECOND


@derived(channels=0)
def day_sine(times: Times, memory: Memory) -> Column:  # noqa: ARG001
    """sine of the time of day, UTC: 0 at midnight, 1 at six in the morning"""
    return np.sin(2 * np.pi * (times % DAY) / DAY)


@derived(channels=0)
def day_cosine(times: Times, memory: Memory) -> Column:  # noqa: ARG001
    """cosine of the time of day, UTC: 1 at midnight, −1 at noon"""
    return np.cos(2 * np.pi * (times % DAY) / DAY)


@derived(channels=0)
def weekend(times: Times, memory: Memory) -> Column:  # noqa: ARG001
    """1 on Saturday and Sunday, UTC, else 0"""
    return ((times // DAY + 3) % 7 >= 5).astype(np.float64)  # 1970 began on a Thursday


@derived(frequencies=2, duration=True)
def band(times: Times, x: Column, low: float, high: float, duration: int, memory: Memory) -> Column:
    """root mean square, over the duration, of what x has between two frequencies; needs `window.rate`"""
    out = np.empty_like(x)
    x1, x2, y1, y2 = (memory.get(name, 0.0) for name in ("x1", "x2", "y1", "y2"))
    last, step, square = int(memory.get("time", -1)), int(memory.get("step", 0)), memory.get("square", 0.0)
    b, a1, a2 = _resonator(low, high, step / SECOND)
    for i, (time, value) in enumerate(zip(times.tolist(), x.tolist(), strict=True)):
        since = time - last if last >= 0 else 0
        if since and (not step or since < step):
            step = since
            b, a1, a2 = _resonator(low, high, step / SECOND)
        if value != value or since > step:
            x1 = x2 = y1 = y2 = 0.0  # over a hole it does not ring on
        last = time
        if value != value:
            out[i] = np.nan
            continue
        y = b * (value - x2) - a1 * y1 - a2 * y2
        x1, x2, y1, y2 = value, x1, y, y1
        square += -math.expm1(-step / duration) * (y * y - square)
        out[i] = math.sqrt(square)
    memory.update(x1=x1, x2=x2, y1=y1, y2=y2, time=last, step=step, square=square)
    return out


def _resonator(low: float, high: float, step: float) -> tuple[float, float, float]:
    """Coefficients b0 = −b2, a1, a2 of a peak filter of the second order, 0 dB in its middle
    (S. J. Orfanidis, "Introduction to Signal Processing", 1996, 11.3). `step` in s between readings."""
    if not step or high * step >= 0.5:
        return 0.0, 0.0, 0.0
    middle, width = 2 * math.pi * math.sqrt(low * high) * step, 2 * math.pi * (high - low) * step
    gain = 1 / (1 + math.tan(width / 2))
    return 1 - gain, -2 * gain * math.cos(middle), 2 * gain - 1

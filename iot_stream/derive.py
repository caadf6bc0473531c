"""Derived channels: one function of a registry each, incremental over the readings of one device.

A function is called with the times and its channels' columns and keeps what it needs between calls
in a small dict of floats, so that cutting a stream into other blocks changes no byte of the result.
A missing value (NaN) gives a missing value and leaves the memory as it was.
"""

import math
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.errors import ConfigError
from iot_stream.readings import Times
from iot_stream.units import Duration

Column = NDArray[np.float64]
Memory = dict[str, int | float]  # an int stays one in a snapshot: times do not fit a float
Function = Callable[..., Column]


class Registered(NamedTuple):
    function: Function
    channels: int
    duration: bool
    meaning: str


FUNCTIONS: dict[str, Registered] = {}


def derived(channels: int = 1, duration: bool = False) -> Callable[[Function], Function]:
    """Register a function of so many channels, and of a duration if it asks for one."""

    def register(function: Function) -> Function:
        meaning = (function.__doc__ or "").strip()
        FUNCTIONS[function.__name__] = Registered(function, channels, duration, meaning)
        return function

    return register


class Derived(msgspec.Struct, frozen=True):
    """One derived channel: `name = function(channels…, duration)`."""

    name: str
    function: str
    channels: tuple[str, ...]
    duration: int = 0

    @classmethod
    def parse(cls, name: str, text: str) -> "Derived":
        """From `minus_ema(co2, 30 min)`; raises ConfigError that names the nearest function."""
        match = re.fullmatch(r"\s*(\w+)\s*\(([^()]*)\)\s*", text)
        if not match:
            raise ConfigError(f"derive.{name}: {text!r} is not of the form function(channel, …)")
        known = FUNCTIONS.get(match[1])
        if known is None:
            near = get_close_matches(match[1], FUNCTIONS, 1) or sorted(FUNCTIONS)
            raise ConfigError(f"derive.{name}: no function {match[1]!r}; is {' or '.join(near)} meant?")
        arguments = [part.strip() for part in match[2].split(",")]
        if len(arguments) != known.channels + known.duration:
            wanted = ["channel"] * known.channels + ["duration"] * known.duration
            raise ConfigError(f"derive.{name}: {match[1]} takes ({', '.join(wanted)}), got {text!r}")
        duration = Duration.parse(arguments.pop()) if known.duration else 0
        if known.duration and duration <= 0:
            raise ConfigError(f"derive.{name}: the duration in {text!r} must be longer than nothing")
        return cls(name, match[1], tuple(arguments), int(duration))

    def fault(self) -> str:
        """Why this cannot be applied, or "" if it can; a spec from elsewhere may hold anything."""
        known = FUNCTIONS.get(self.function)
        if known is None:
            return f"no function {self.function!r}"
        if len(self.channels) != known.channels or (self.duration > 0) != known.duration:
            return f"wrong arguments for {self.function}"
        return ""

    def apply(self, times: Times, columns: list[Column], memory: Memory) -> Column:
        function = FUNCTIONS[self.function].function
        if FUNCTIONS[self.function].duration:
            return function(times, *columns, self.duration, memory)
        return function(times, *columns, memory)


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

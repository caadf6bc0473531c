"""Durations, rates, sizes and shares as a person writes them: `30 min`, `50/s`, `1/min`, `20 GB`, `10%`."""

import re

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "week": 604800,
}
_HERTZ = {"hz": 1.0, "khz": 1e3, "mhz": 1e6}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-zµ]+)\s*")
_RATE = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*/\s*([A-Za-zµ]+)\s*")


def _unit(word: str, table: dict[str, float]) -> float | None:
    word = word.lower()
    return table.get(word, table.get(word.removesuffix("s")))


class Duration(int):
    """Nanoseconds; parsed from a text with a unit."""

    @classmethod
    def parse(cls, text: object) -> "Duration":
        match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
        unit = _unit(match[2], _SECONDS) if match else None
        if match is None or unit is None:
            raise ConfigError(
                f"not a duration: {text!r}; write a number and a unit: 500 ms, 10 s, 30 min, 1 day"
            )
        return cls(round(float(match[1]) * unit * SECOND))

    def written(self) -> str:
        """As `parse` reads it, in the largest unit of which it is a whole number."""
        units = (
            each for each in ("day", "h", "min", "s", "ms", "us") if not self % round(_SECONDS[each] * SECOND)
        )
        unit = next(units, "ns")
        number = self // round(_SECONDS[unit] * SECOND)
        return f"{number} {unit}{'s' * (unit == 'day' and number != 1)}"


class Spending(float):
    """So much time in a time, as a share: parsed from `60 s/h`, which is one sixtieth."""

    @classmethod
    def parse(cls, text: object) -> "Spending":
        amount, _, per = text.partition("/") if isinstance(text, str) else ("", "", "")
        unit = _unit(per.strip(), _SECONDS)
        try:
            share = Duration.parse(amount) / (unit or 0) / SECOND
        except (ConfigError, ZeroDivisionError):
            share = 0.0
        if not share > 0:
            raise ConfigError(f"not a time in a time: {text!r}; write 60 s/h or 5 min/day")
        return cls(share)

    @property
    def in_an_hour(self) -> float:
        """Seconds."""
        return self * _SECONDS["h"]

    def in_time(self, ns: int) -> float:
        """Seconds that so many nanoseconds allow."""
        return self * ns / SECOND


class Size(int):
    """Bytes; parsed from a text with a unit."""

    @classmethod
    def parse(cls, text: object) -> "Size":
        match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
        unit = _BYTES.get(match[2].lower()) if match else None
        if match is None or unit is None or float(match[1]) * unit >= 2**62:
            raise ConfigError(f"not a size: {text!r}; write a number and a unit: 500 MB, 20 GB, 64 KiB")
        return cls(round(float(match[1]) * unit))


class Percent(float):
    """A share in percent, above 0 and up to 100; parsed from `10%`."""

    @classmethod
    def parse(cls, text: object) -> "Percent":
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*%\s*", text) if isinstance(text, str) else None
        if match is None or not 0 < float(match[1]) <= 100:
            raise ConfigError(f"not a share: {text!r}; write 1%, 12.5% or 100%")
        return cls(match[1])

    def __str__(self) -> str:
        return f"{float(self):g} %"


class Delay(int):
    """How long something comes late: nanoseconds, `readings`, or until its `segment` is over."""

    readings: int
    segment: bool

    def __new__(cls, time: int = 0, readings: int = 0, segment: bool = False) -> "Delay":
        delay = super().__new__(cls, time)
        delay.readings, delay.segment = readings, segment
        return delay

    @classmethod
    def parse(cls, text: object) -> "Delay":
        if text == "segment":
            return cls(segment=True)
        if isinstance(text, str) and (match := re.fullmatch(r"\s*(\d+)\s+readings?\s*", text)):
            return cls(readings=int(match[1]))
        try:
            return cls(Duration.parse(text))
        except ConfigError as error:
            raise ConfigError(f"{error}; or 100 readings, or segment") from error

    def __repr__(self) -> str:
        return (
            "segment" if self.segment else f"{self.readings} readings" if self.readings else f"{int(self)} ns"
        )


class Rate(int):
    """The period of a rate, in nanoseconds; parsed from `50/s`, `1/min`, `12.8 kHz`."""

    @classmethod
    def parse(cls, text: object) -> "Rate":
        hertz: float | None = None
        if isinstance(text, str):
            if match := _RATE.fullmatch(text):
                unit = _unit(match[2], _SECONDS)
                hertz = float(match[1]) / unit if unit else None
            elif match := _QUANTITY.fullmatch(text):
                scale = _unit(match[2], _HERTZ)
                hertz = float(match[1]) * scale if scale else None
        if not hertz or not 1 <= SECOND / hertz < 2**62:
            raise ConfigError(f"not a rate: {text!r}; write 50/s, 1/min, 4/h or 12.8 kHz")
        return cls(round(SECOND / hertz))

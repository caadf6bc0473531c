"""Many channels in one line: `s[00-15]` stands for s00, s01 … s15, in keys and values alike."""

import re
from itertools import product
from typing import Any

from iot_stream.errors import ConfigError

_RANGE = re.compile(r"\[(\d+)-(\d+)\]")
_MOST = 100_000
_HOLDERS = ("channels", "derive", "required")
"""Settings that name channels; nowhere else do brackets stand for anything."""


def expanded(block: Any, within: bool = False) -> Any:
    """The same settings with each range of channels spelled out; raises ConfigError.

    In a mapping `{"s[1-3]": "x[1-3]"}` both sides count together; zeros before the first number are kept.
    """
    if isinstance(block, dict):
        if within:
            return dict(pair for key, value in block.items() for pair in _pairs(key, value))
        return {key: expanded(value, key in _HOLDERS) for key, value in block.items()}
    if isinstance(block, list):
        if within:
            return [name for item in block for name in _names(item)]
        return [expanded(item) for item in block]
    return block


def _pairs(key: Any, value: Any) -> list[tuple[Any, Any]]:
    keys = _names(key)
    if len(keys) == 1:
        return [(keys[0], value)]
    values = _names(value)
    if len(values) != len(keys) or _RANGE.findall(str(key)) != _RANGE.findall(str(value)):
        raise ConfigError(f"{key}: {value!r} must have the same [a-b] as {key!r}")
    return list(zip(keys, values, strict=True))


def _names(text: Any) -> list[Any]:
    if not isinstance(text, str):
        return [text]
    literal = _RANGE.split(text)[::3]
    ranges = []
    for first, last in _RANGE.findall(text):
        if not int(first) <= int(last) < _MOST:
            raise ConfigError(f"{text!r}: [{first}-{last}] does not count up, or beyond {_MOST}")
        ranges.append([f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)])
    return [
        "".join(part for pair in zip(literal, (*numbers, ""), strict=True) for part in pair)
        for numbers in product(*ranges)
    ]

"""Many channels in one line: `s[00-15]` stands for s00, s01 … s15, in keys and values alike."""

import re
from itertools import product
from typing import Any

from iot_stream.errors import ConfigError
from iot_stream.yaml_lines import Lines, line_of

_RANGE = re.compile(r"\[(\d+)-(\d+)\]")
_MOST = 100_000
_HOLDERS = ("channels", "derive", "required")
"""Settings that name channels; nowhere else do brackets stand for anything."""


def expanded(block: Any, lines: Lines, at: tuple[str, ...] = ()) -> Any:
    """The settings that stand at path `at`, each range of channels spelled out.

    In a mapping `{"s[1-3]": "x[1-3]"}` both sides count together; zeros before the first number are kept.
    `lines` learns where the new names stand. Raises ConfigError, which begins with line and path.
    """
    if isinstance(block, dict):
        return {
            key: _channels(value, lines, (*at, str(key)))
            if key in _HOLDERS
            else expanded(value, lines, (*at, str(key)))
            for key, value in block.items()
        }
    if isinstance(block, list):
        return [expanded(item, lines, (*at, str(i))) for i, item in enumerate(block)]
    return block


def _channels(block: Any, lines: Lines, at: tuple[str, ...]) -> Any:
    if isinstance(block, dict):
        return _mapping(block, lines, at)
    return _list(block, lines, at) if isinstance(block, list) else block


def _mapping(block: dict[Any, Any], lines: Lines, at: tuple[str, ...]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in block.items():
        line = line_of(lines, (*at, str(key)))
        place = f"{line}: {'.'.join(at)}"
        for name, meaning in _pairs(key, value, place):
            if name in found:
                raise ConfigError(f"{place}: {key!r}: {name} is there already")
            found[name] = meaning
            lines[(*at, str(name))] = line
    return found


def _list(block: list[Any], lines: Lines, at: tuple[str, ...]) -> list[Any]:
    found: list[Any] = []
    places: list[int] = []
    for i, item in enumerate(block):
        line = line_of(lines, (*at, str(i)))
        names = _names(item, f"{line}: {'.'.join(at)}")
        found += names
        places += [line] * len(names)
    lines.update({(*at, str(i)): line for i, line in enumerate(places)})
    return found


def _pairs(key: Any, value: Any, place: str) -> list[tuple[Any, Any]]:
    ranges = _RANGE.findall(str(key))
    if not ranges:
        return [(key, value)]
    if not isinstance(value, str) or _RANGE.findall(value) != ranges:
        raise ConfigError(f"{place}: {key!r}: {value!r} must have the same [a-b] as the name")
    return list(zip(_names(key, place), _names(value, place), strict=True))


def _names(text: Any, place: str) -> list[Any]:
    if not isinstance(text, str):
        return [text]
    literal = _RANGE.split(text)[::3]
    ranges = []
    for first, last in _RANGE.findall(text):
        if not int(first) <= int(last) < _MOST:
            raise ConfigError(f"{place}: {text!r}: [{first}-{last}] does not count up, or beyond {_MOST}")
        ranges.append([f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)])
    return [
        "".join(part for pair in zip(literal, (*numbers, ""), strict=True) for part in pair)
        for numbers in product(*ranges)
    ]

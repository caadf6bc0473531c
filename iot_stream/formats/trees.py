"""Numbers in a message that is parsed already, those that are asked for or all there are, as one reading."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from iot_stream.errors import DataError
from iot_stream.formats.json_paths import Path, parse_time
from iot_stream.formats.values import number
from iot_stream.readings import Block

DEEPEST = 8  # levels of a message
MOST = 4096  # numbers in a message


def one_reading(
    device: str, values: Mapping[str, float], told: object, zone: str, arrived: int, index: int
) -> list[Block]:
    """A block of one reading, or none where nothing is known. `told` is its time, None: of arrival. Raises
    DataError("absurd_time")."""
    if all(value != value for value in values.values()):
        return []
    times = np.array([arrived if told is None else parse_time(told, zone)], np.int64)
    row = np.array([list(values.values())], np.float32)
    return [Block(device, tuple(values), times, row, source=index, arrival_stamped=told is None)]


def inner_path(text: str) -> Path:
    """The path that `outer.inner` stands for; raises ConfigError."""
    return Path(text if text.startswith("$") else f"$.{text}")


def wanted(
    device: str, message: Any, paths: Mapping[str, Path], words: Mapping[str, float]
) -> dict[str, float]:
    """Numbers by their paths, NaN for those that are not there; raises DataError("wrong_type")."""
    values = {}
    for name, path in paths.items():
        try:
            values[name] = number(path.find(message), words)
        except DataError as error:
            raise DataError(error.reason, f"{device}: {path.text}: {error.detail}") from error
    return values


def if_number(value: object, words: Mapping[str, float]) -> float:
    """NaN for what is no number, and no state that is known."""
    try:
        return number(value, words)
    except DataError:
        return np.nan


def numbers(device: str, message: dict[str, Any]) -> dict[str, float]:
    """The numbers in a message by their paths, without `$.`: {"ENERGY.Power[0]": 12.0}.

    Raises DataError("too_large").
    """
    values: dict[str, float] = {}
    _gather(message, "", DEEPEST, values)
    if len(values) > MOST:
        raise DataError("too_large", f"{device}: more than {MOST} numbers in one message")
    return values


def _gather(value: Any, path: str, deeper: int, values: dict[str, float]) -> None:
    if len(values) > MOST:
        return
    if isinstance(value, int | float):
        values[path] = number(value)
    elif isinstance(value, dict) and deeper:
        for name, inner in value.items():
            _gather(inner, f"{path}.{name}" if path else name, deeper - 1, values)
    elif isinstance(value, list) and deeper:
        for i, inner in enumerate(value):
            _gather(inner, f"{path}[{i}]", deeper - 1, values)

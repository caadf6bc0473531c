"""Lines of text: an object in JSON, `{"temperature": 21.4, "co2": 512}`, or values in columns, `21.4,512`.

`time` may stand with them (ISO 8601, or a number since 1970); else a reading is of now.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

from iot_stream.clock import wall
from iot_stream.device.inputs.left_out import LeftOut
from iot_stream.errors import DataError
from iot_stream.formats.json_paths import parse_json, parse_time
from iot_stream.formats.values import number, shown
from iot_stream.readings import Times, Values

LONGEST = 64 * 1024  # bytes of a line
TIME = "time"
Rows = tuple[Times, Values]
"""Readings: (n,) ns, (n, channels)."""

_BETWEEN = re.compile(r"\s*[,;\t]\s*|\s+")


def of_stream(stream: BinaryIO) -> Iterator[bytes]:
    """A line that is too long comes in pieces, which are none."""
    return iter(lambda: stream.readline(LONGEST), b"")


def rows(
    lines: Iterable[bytes], channels: tuple[str, ...], columns: tuple[str, ...], left_out: LeftOut
) -> Iterator[Rows]:
    """A reading a line; what is none goes to `left_out`. `columns` of those that are not JSON."""
    for line in lines:
        if text := line.strip():
            try:
                yield reading(_values(text, columns or channels), channels)
            except DataError as error:
                left_out.add(error.reason, error.detail)


def reading(values: Mapping[str, object], channels: tuple[str, ...]) -> Rows:
    """Values by channel, and their time; raises DataError if none of the channels is among them."""
    if not any(name in values for name in channels):
        raise DataError("unknown_channel", f"none of {', '.join(channels)} in {', '.join(map(str, values))}")
    time = wall() if values.get(TIME) is None else parse_time(values[TIME], "UTC")
    row = [number(values.get(name)) for name in channels]
    return np.array([time], np.int64), np.array([row], np.float32)


def _values(line: bytes, columns: tuple[str, ...]) -> Mapping[str, object]:
    if line.startswith(b"{"):
        found = parse_json(line, "a line")
        if not isinstance(found, dict):
            raise DataError("wrong_type", f"{shown(found)} is no object")
        return found
    try:
        fields = _BETWEEN.split(line.decode())
    except UnicodeDecodeError as error:
        raise DataError("malformed", f"a line: {error}") from error
    if len(fields) != len(columns):
        wanted = ", ".join(columns)
        raise DataError("malformed", f"{shown(line.decode())}: {len(fields)} columns, not {wanted}")
    return dict(zip(columns, fields, strict=True))

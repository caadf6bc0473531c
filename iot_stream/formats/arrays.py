"""Raw numbers: rows of channels, one after the other, as a microcontroller or a program sends its buffer.

There is no time in such a message: its newest reading is of its arrival, `step` lies between its rows.
"""

import re
from collections.abc import Mapping

import numpy as np

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.source import Source
from iot_stream.readings import Block, Values

DTYPE = re.compile(r"[<>](f[248]|[iu][124])|[iu]1")
_TYPES = "f2 f4 f8 i1 i2 i4 u1 u2 u4"
WIDEST = 65_536


@format_named("array")
class ArrayDecoder:
    """Numbers of type `dtype`; `channels`: channel → its column, from 0. A row is as wide as there are
    channels, or as reaches to the last column named: {x: "0", z: "2"} leaves out one of three."""

    def __init__(self, source: Source, index: int) -> None:
        if not DTYPE.fullmatch(source.dtype):
            raise ConfigError(f"dtype: {source.dtype!r}: write <f4, or < or > and one of {_TYPES}")
        if not (np.isfinite(source.scale) and source.scale and np.isfinite(source.offset)):
            raise ConfigError("scale, offset: must be finite numbers, and scale not 0")
        self._index, self._device = index, source.device
        self._names, self._columns = _columns(source.channels)
        self._width = max(len(self._names), *(column + 1 for column in self._columns))
        self._dtype = np.dtype(source.dtype)
        self._scale, self._offset, self._step = source.scale, source.offset, int(source.step or 0)

    def decode(self, heard: Heard) -> list[Block]:
        device = self._device or heard.device
        row = self._width * self._dtype.itemsize
        count, odd = divmod(len(heard.payload), row)
        if odd:
            raise DataError("malformed", f"{device}: {len(heard.payload)} bytes are no rows of {row} bytes")
        if not count:
            raise DataError("empty", f"no readings from {device}")
        if count > 1 and not self._step:
            raise DataError("absurd_time", f"{device}: {count} readings arrived at once; say `step`")
        if heard.arrived < self._step * (count - 1):
            raise DataError("absurd_time", f"{device}: {count} readings reach back before 1970")
        times = heard.arrived - self._step * np.arange(count - 1, -1, -1, dtype=np.int64)
        raw = np.frombuffer(heard.payload, self._dtype).reshape(count, self._width)[:, self._columns]
        with np.errstate(over="ignore", invalid="ignore"):  # becomes infinite, which hygiene marks as missing
            values: Values = (raw.astype(np.float64) * self._scale + self._offset).astype(np.float32)
        return [Block(device, self._names, times, values, source=self._index, arrival_stamped=True)]


def _columns(channels: Mapping[str, str]) -> tuple[tuple[str, ...], list[int]]:
    if not channels:
        raise ConfigError('channels: format array needs the columns of channels, {x: "0", y: "1"}')
    for name, text in channels.items():
        if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) >= WIDEST:
            raise ConfigError(f'channels: {name}: {text!r} is no column; write "0" for the first')
    return tuple(channels), [int(text) for text in channels.values()]


def encode(values: Values, dtype: str = "<f4", scale: float = 1.0, offset: float = 0.0) -> bytes:
    """Rows as bytes; decoding gives the same values, as near as `dtype` can name them.

    What whole numbers cannot name becomes the nearest that they can, what is missing 0.
    """
    kind = np.dtype(dtype)
    raw = (np.asarray(values, np.float64) - offset) / scale
    if kind.kind != "f":
        limits = np.iinfo(kind)
        raw = np.rint(np.clip(np.nan_to_num(raw), limits.min, limits.max))
    with np.errstate(over="ignore"):
        return raw.astype(kind).tobytes()

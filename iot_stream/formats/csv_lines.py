"""Lines of text (RFC 4180): columns parted by tabs, semicolons or commas, told by the first line.

Columns are named by number, from 0, or, where each message begins with a header, by name. Decimal commas are
not read.
"""

import csv
import re
from io import StringIO

import numpy as np

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.json_paths import parse_time, time_zone
from iot_stream.formats.source import Source
from iot_stream.formats.values import number, shown
from iot_stream.readings import Block, Times, Values

WIDEST = 1000  # columns
_NUMBER = re.compile(r"[0-9]{1,3}")  # of a column
_QUOTED = re.compile(r'"[^"]*"')
_HINT = "; is it a decimal comma?"

Rows = list[list[str]]
Columns = dict[str, int]


@format_named("csv")
class CsvDecoder:
    """One or more lines a message; `channels`: channel → its column, by number or by name. By default all
    columns of the header that hold nothing but numbers. `time` is a column too, and so is `device`, unless it
    is neither a number nor in the header: then it is the device's name."""

    def __init__(self, source: Source, index: int) -> None:
        if "" in source.channels.values():
            raise ConfigError('channels: a column is told by its number, "0" for the first, or by its name')
        time_zone(source.zone)
        self._index, self._channels = index, source.channels
        self._time, self._device = source.time, source.device
        self._words, self._zone, self._step = source.values, source.zone, int(source.step or 0)
        places = [*source.channels.values(), source.time or "0"]
        self._headed = not source.channels or not all(map(_NUMBER.fullmatch, places))

    def decode(self, heard: Heard) -> list[Block]:
        rows = _rows(heard.payload, f"lines of {heard.device or self._device}")
        columns: Columns = {}
        if self._headed or self._is_header(rows):
            for place, name in enumerate(rows[0]):
                columns.setdefault(name.strip(), place)
            rows = rows[1:]
        if not rows:
            raise DataError("empty", f"no readings from {heard.device}")
        whose = self._whose(heard, rows, columns)
        times = self._times(rows, columns)
        names, values = self._values(rows, columns)
        if not np.any(values == values):
            raise DataError("empty", f"{heard.device}: no value in {len(rows)} lines")
        blocks = []
        for device, own in whose.items():
            when = self._arrivals(device, heard.arrived, len(own)) if times is None else times[own]
            stamped = times is None
            blocks.append(Block(device, names, when, values[own], "", -1, self._index, stamped))
        return blocks

    def _is_header(self, rows: Rows) -> bool:
        """Whether the first line, of several, has names in place of all the values."""
        wanted = [rows[0][_column(rows, place, {})] for place in self._channels.values()]
        return len(rows) > 1 and not any(self._is_value(field) for field in wanted)

    def _is_value(self, field: str) -> bool:
        try:
            number(field, self._words)
        except DataError:
            return False
        return True

    def _whose(self, heard: Heard, rows: Rows, columns: Columns) -> dict[str, list[int]]:
        """The lines of each device, in the order in which they are named."""
        if not self._names_device(columns):
            return {self._device or heard.device: list(range(len(rows)))}
        column = _column(rows, self._device, columns)
        whose: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            name = row[column].strip()
            if not name:
                raise DataError("device_name", f"nothing in column {self._device} names a device")
            whose.setdefault(name, []).append(i)
        return whose

    def _names_device(self, columns: Columns) -> bool:
        return self._device in columns or _NUMBER.fullmatch(self._device) is not None

    def _times(self, rows: Rows, columns: Columns) -> Times | None:
        if not self._time:
            return None
        column = _column(rows, self._time, columns)
        return np.array([parse_time(row[column].strip(), self._zone) for row in rows], np.int64)

    def _arrivals(self, device: str, arrived: int, count: int) -> Times:
        """The newest reading is of now."""
        if count > 1 and not self._step:
            raise DataError("absurd_time", f"{device}: {count} lines arrived at once; say `time` or `step`")
        if arrived < self._step * (count - 1):
            raise DataError("absurd_time", f"{device}: {count} lines reach back before 1970")
        return arrived - self._step * np.arange(count - 1, -1, -1, dtype=np.int64)

    def _values(self, rows: Rows, columns: Columns) -> tuple[tuple[str, ...], Values]:
        if self._channels:
            found = {
                name: self._numbers(rows, _column(rows, place, columns), place)
                for name, place in self._channels.items()
            }
        else:
            found = self._all_numbers(rows, columns)
        return tuple(found), np.array(list(found.values()), np.float32).T.copy()

    def _numbers(self, rows: Rows, column: int, place: str) -> list[float]:
        try:
            return [number(row[column], self._words) for row in rows]
        except DataError as error:
            hint = _HINT if any("," in row[column] for row in rows) else ""
            raise DataError(error.reason, f"column {place}: {error.detail}{hint}") from error

    def _all_numbers(self, rows: Rows, columns: Columns) -> dict[str, list[float]]:
        if any(_is_float(name) for name in columns):
            raise DataError("malformed", "no header; tell the numbers of columns in `channels`")
        taken = {_column(rows, self._time, columns)} if self._time else set()
        if self._names_device(columns):
            taken.add(_column(rows, self._device, columns))
        found = {
            name: [number(row[column], self._words) for row in rows]
            for name, column in columns.items()
            if name and column not in taken and all(self._is_value(row[column]) for row in rows)
        }
        if not found:
            raise DataError("unknown_channel", f"no column of numbers among {_listed(columns)}")
        return found


def _rows(payload: bytes, what: str) -> Rows:
    """Lines that are not blank, at least one, all as wide as the first; raises DataError."""
    try:
        text = payload.decode("utf-8-sig")
        first = _QUOTED.sub("", text.lstrip().partition("\n")[0])
        delimiter = next((mark for mark in "\t;" if mark in first), ",")
        lines = csv.reader(
            StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
        )
        rows = [row for row in lines if len(row) > 1 or (row and row[0].strip())]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("malformed", f"{what}: {error}") from error
    if not rows:
        raise DataError("empty", f"{what}: nothing in them")
    width = len(rows[0])
    if width > WIDEST:
        raise DataError("too_large", f"{what}: {width} columns, at most {WIDEST}")
    for i, row in enumerate(rows):
        if len(row) != width:
            hint = _HINT if delimiter == "," else ""
            raise DataError("malformed", f"{what}: line {i + 1} has {len(row)} columns, not {width}{hint}")
    return rows


def _column(rows: Rows, place: str, columns: Columns) -> int:
    """The number of the column; raises DataError."""
    column = int(place) if _NUMBER.fullmatch(place) else columns.get(place, WIDEST)
    if column >= len(rows[0]):
        raise DataError("unknown_channel", f"no column {place} among {_listed(columns) or len(rows[0])}")
    return column


def _is_float(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _listed(columns: Columns) -> str:
    return ", ".join(shown(name) for name in list(columns)[:20])


def encode(channels: tuple[str, ...], times: Times, values: Values) -> bytes:
    """A header and a line for each reading, its time first, in nanoseconds; decoding gives the same float32,
    infinite ones missing. Times are from 1973 on, as a smaller number is read as microseconds."""
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("time", *channels))
    for time, row in zip(times.tolist(), np.asarray(values, np.float32), strict=True):
        lines.writerow((time, *(str(value) if np.isfinite(value) else "" for value in row)))
    return text.getvalue().encode()

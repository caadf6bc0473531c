"""Parquet: of each column only what is asked for is read, a row group at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats.json_paths import parse_time, time_zone
from iot_stream.readings import Times, Values
from iot_stream.recordings.csv_table import number

MINUTE = 60 * SECOND

Part = TypeVar("Part", bound=NDArray[Any])


class ParquetTable:
    def __init__(self, path: Path) -> None:
        """Raises ConfigError where pyarrow is missing, OSError, ValueError."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ConfigError(f"{path}: Parquet needs pyarrow: pip install 'iot-stream[parquet]'") from error
        self._arrow = pyarrow
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowException as error:
            raise ValueError(str(error)) from error
        self._schema = self._file.schema_arrow

    @property
    def names(self) -> list[str]:
        return list(self._schema.names)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def numbers(self, name: str) -> Values:
        """NaN where a value is null; text is read as in CSV."""

        def convert(column: Any) -> Values:
            if self._is_text(column.type):
                return np.array([number(text or "") for text in column.to_pylist()], np.float32)
            wide = column.cast(self._arrow.float64(), safe=False).to_numpy(zero_copy_only=False)
            with np.errstate(over="ignore"):  # infinite, which is missing when windows are cut
                return np.asarray(wide, np.float32)

        return np.concatenate([np.zeros(0, np.float32), *self._read(name, convert)])

    def texts(self, name: str) -> NDArray[np.str_]:
        """Empty where a value is null; 1 and 0 for true and false."""

        def convert(column: Any) -> NDArray[np.str_]:
            if self._arrow.types.is_boolean(column.type):
                column = column.cast(self._arrow.int8())
            texts = column.cast(self._arrow.string()).to_pylist()
            return np.array([(text or "").strip() for text in texts], np.str_)

        return np.concatenate([np.array([], np.str_), *self._read(name, convert)])

    def times(self, name: str, zone: str) -> Times:
        """Of a column of timestamps, dates, numbers since 1970, or text; naive ones are read in `zone`."""

        def convert(column: Any) -> Times:
            kinds = self._arrow.types
            if not kinds.is_timestamp(column.type) and not kinds.is_date(column.type):
                return np.array([parse_time(value, zone) for value in column.to_pylist()], np.int64)
            if column.null_count:
                raise DataError("absurd_time", f"column {name!r} has {column.null_count} rows without a time")
            here = getattr(column.type, "tz", None)
            moments = column.cast(self._arrow.timestamp("ns", here)).cast(self._arrow.int64()).to_numpy()
            found = moments if here or zone == "UTC" else _in_utc(moments, zone)
            if len(found) and found.min() < 0:
                raise DataError("absurd_time", f"column {name!r} has times before 1970")
            return np.asarray(found, np.int64)

        return np.concatenate([np.zeros(0, np.int64), *self._read(name, convert)])

    def _is_text(self, kind: Any) -> bool:
        return bool(self._arrow.types.is_string(kind) or self._arrow.types.is_large_string(kind))

    def _read(self, name: str, convert: Callable[[Any], Part]) -> Iterator[Part]:
        """A column's parts, one group after the other, so that no more than one is held as it came."""
        for group in range(self._file.num_row_groups):
            try:
                column = self._file.read_row_group(group, columns=[name]).column(name)
                if self._arrow.types.is_dictionary(column.type):
                    column = column.cast(column.type.value_type)
                part = convert(column.combine_chunks())
            except (self._arrow.ArrowException, ValueError, KeyError) as error:
                kind = self._schema.types[self._schema.names.index(name)]
                raise DataError("malformed", f"column {name!r} of type {kind}: {error}") from error
            yield part


def _in_utc(naive: Times, zone: str) -> Times:
    """Local times of a zone (ns) as UTC. Zones change at whole minutes: each minute is asked for once."""
    from datetime import UTC, datetime

    minutes, which = np.unique(naive // MINUTE, return_inverse=True)
    local = time_zone(zone)
    moments = (datetime.fromtimestamp(minute * 60, UTC).replace(tzinfo=local) for minute in minutes.tolist())
    offsets = [offset.total_seconds() if (offset := moment.utcoffset()) else 0 for moment in moments]
    return naive - (np.array(offsets) * SECOND).astype(np.int64)[which]

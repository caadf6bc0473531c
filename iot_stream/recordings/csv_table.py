"""CSV and CSV.gz: a header; a row number without a name may stand before the columns."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from iot_stream.errors import DataError
from iot_stream.formats.json_paths import parse_time
from iot_stream.readings import Times, Values

Cell = TypeVar("Cell")


class CsvTable:
    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError, csv.Error."""
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", newline="", encoding="utf-8") as file:
            header, *self._rows = list(csv.reader(file)) or [[]]
        if not header:
            raise ValueError("is empty; its first line is to name the columns")
        if self._rows and len(self._rows[0]) == len(header) + 1:
            header = ["", *header]
        self._place = {name.strip(): i for i, name in enumerate(header)}

    @property
    def names(self) -> list[str]:
        return list(self._place)

    def __len__(self) -> int:
        return len(self._rows)

    def _read(self, name: str, convert: Callable[[str], Cell]) -> list[Cell]:
        """Raises ValueError that names row and column; rows count from 1, without the header."""
        place, cells = self._place[name], []
        for number, row in enumerate(self._rows, 1):
            if place >= len(row):
                raise ValueError(f"row {number} has {len(row)} columns, the header {len(self._place)}")
            try:
                cells.append(convert(row[place]))
            except (ValueError, DataError) as error:
                raise ValueError(f"row {number}, column {name!r}: {error}") from error
        return cells

    def numbers(self, name: str) -> Values:
        return np.array(self._read(name, number), np.float32)

    def texts(self, name: str) -> NDArray[np.str_]:
        return np.array(self._read(name, str.strip), np.str_)

    def times(self, name: str, zone: str) -> Times:
        return np.array(self._read(name, lambda text: parse_time(text, zone)), np.int64)


def number(text: str) -> float:
    """NaN for an empty text; raises ValueError."""
    try:
        return float(text) if text.strip() else np.nan
    except ValueError as error:
        raise ValueError(f"{text!r} is no number; where a value is missing, leave it empty") from error

"""CSV and CSV.gz: a header; a row number without a name may stand before the columns."""

import csv
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iot_stream.formats.json_paths import parse_time
from iot_stream.readings import Times, Values


class CsvTable:
    def __init__(self, path: Path) -> None:
        """Raises OSError, ValueError, csv.Error."""
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", newline="", encoding="utf-8") as file:
            header, *self._rows = csv.reader(file)
        if self._rows and len(self._rows[0]) == len(header) + 1:
            header = ["", *header]
        self._place = {name.strip(): i for i, name in enumerate(header)}

    @property
    def names(self) -> list[str]:
        return list(self._place)

    def __len__(self) -> int:
        return len(self._rows)

    def _column(self, name: str) -> list[str]:
        place = self._place[name]
        return [row[place] for row in self._rows]

    def numbers(self, name: str) -> Values:
        return np.array([number(text) for text in self._column(name)], np.float32)

    def texts(self, name: str) -> NDArray[np.str_]:
        return np.array([text.strip() for text in self._column(name)], np.str_)

    def times(self, name: str, zone: str) -> Times:
        return np.array([parse_time(text, zone) for text in self._column(name)], np.int64)


def number(text: str) -> float:
    """NaN for an empty text."""
    return float(text) if text.strip() else np.nan

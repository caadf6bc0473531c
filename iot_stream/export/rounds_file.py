"""Rounds in a file for other programs: one row each, its figures flat."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from iot_stream.clock import iso
from iot_stream.errors import ConfigError
from iot_stream.export.windows_file import whole
from iot_stream.store import Store

Row = dict[str, Any]
PAIR = 2
GROUP = 500  # rows that are written at once
LEFT_OUT = ("why", "devices")
"""What is no figure: the explanation (`iot-stream explain --json` has it), and names in lists."""


def write(store: Store, name: str, path: Path) -> int:
    """How many rounds; one is in memory at a time. Raises ConfigError for a kind of file it does not know."""
    kind = next((each for suffix, each in WRITERS.items() if path.name.lower().endswith(suffix)), None)
    if kind is None:
        raise ConfigError(f"--to {path}: a file that ends in {', '.join(WRITERS)}")
    # Which columns there are only the last round tells, hence twice; those that come meanwhile are left out.
    ids = [row[0] for row in store.read("SELECT id FROM rounds WHERE pipeline = ? ORDER BY started", name)]
    kinds: dict[str, type] = {}
    for row in _rows(store, ids):
        for column, value in row.items():
            known = kinds.get(column, type(None))
            kinds[column] = _wider(known, type(value))
    with whole(path) as unfinished:
        kind(unfinished, kinds, _rows(store, ids))
    return len(ids)


def _rows(store: Store, ids: list[str]) -> Iterator[Row]:
    for each in ids:
        ((cohort, trigger, started, ended, outcome, report),) = store.read(
            "SELECT cohort, trigger, started, ended, outcome, report FROM rounds WHERE id = ?", each
        )
        row: Row = {
            "round": each,
            "cohort": cohort,
            "trigger": trigger,
            "started": iso(started),
            "ended": ended and iso(ended),
            "outcome": outcome,
        }
        yield row | flat(json.loads(report))


def flat(report: Mapping[str, Any], within: str = "") -> Row:
    """`{"gate": {"gain": 1}}` → `{"gate.gain": 1}`; of pairs, which are (new, before), both."""
    found: Row = {}
    for key, value in report.items():
        name = f"{within}{key}"
        if key in LEFT_OUT:
            continue
        if isinstance(value, dict):
            found |= flat(value, f"{name}.")
        elif isinstance(value, list):
            if len(value) == PAIR and all(isinstance(each, int | float) for each in value):
                found |= {f"{name}.0": value[0], f"{name}.1": value[1]}
        else:
            found[name] = value
    return found


def _wider(one: type, other: type) -> type:
    """A type that holds values of both."""
    if type(None) in (one, other) or one is other:
        return other if one is type(None) else one
    return float if {one, other} == {int, float} else str


def _csv(path: Path, kinds: dict[str, type], rows: Iterator[Row]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(kinds))
        table.writeheader()
        table.writerows(rows)


def _parquet(path: Path, kinds: dict[str, type], rows: Iterator[Row]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("--to: Parquet needs pyarrow: pip install 'iot-stream[parquet]'") from error
    arrow = {int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, arrow.get(kind, pyarrow.string())) for name, kind in kinds.items()])
    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        while group := list(islice(rows, GROUP)):
            columns = {
                name: [None if (value := row.get(name)) is None else kind(value) for row in group]
                for name, kind in kinds.items()
            }
            file.write_table(pyarrow.table(columns, schema=schema))


WRITERS: dict[str, Callable[[Path, dict[str, type], Iterator[Row]], None]] = {
    ".parquet": _parquet,
    ".csv": _csv,
}

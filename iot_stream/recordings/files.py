"""Recordings from files.

Tables, whose columns have names (CSV, CSV.gz, Parquet), and NPZ (one array (readings, columns) a key).
"""

import csv
import logging
import re
import zipfile
from dataclasses import replace
from difflib import get_close_matches
from glob import glob
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Recordings
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import Times, Values, device_name
from iot_stream.recordings.csv_table import CsvTable
from iot_stream.recordings.parquet_table import ParquetTable
from iot_stream.recordings.recording import RECORDING_EPOCH, Recording

log = logging.getLogger(__name__)

KINDS = (".csv", ".csv.gz", ".parquet", ".npz")


class Table(Protocol):
    """Columns by name, each as what the settings take it for; raises ValueError or DataError if it is not."""

    @property
    def names(self) -> list[str]: ...

    def __len__(self) -> int: ...

    def numbers(self, name: str) -> Values: ...

    def texts(self, name: str) -> NDArray[np.str_]: ...

    def times(self, name: str, zone: str) -> Times: ...


def load(settings: Recordings, classes: tuple[str, ...], folder: Path) -> list[Recording]:
    """All recordings that the settings name, files relative to `folder`.

    Raises ConfigError for what the settings name and the files do not have, DataError("malformed").
    """
    found = []
    paths = _paths(settings.files, folder)
    for path in paths:
        try:
            found += _npz(path, settings) if path.suffix == ".npz" else _columns(path, settings, classes)
        except (OSError, EOFError, ValueError, IndexError, csv.Error, zipfile.BadZipFile, DataError) as error:
            raise DataError("malformed", f"{path}: {error}") from error
    if not found:
        raise ConfigError(f"recordings.match: {settings.match!r} matches nothing in {paths[0]}")
    named = [_named(recording, settings, classes) for recording in found]
    return _join(named) if settings.time else [_shuffled(recording, settings.shuffle) for recording in named]


def _paths(files: str, folder: Path) -> list[Path]:
    if not files:
        raise ConfigError("recordings: name `files`, or a `world`")
    place = folder / files
    if place.is_dir():
        paths = [path for path in sorted(place.iterdir()) if path.name.endswith(KINDS)]
    elif place.exists():  # whatever * and [ are in its name
        paths = [place]
    else:
        paths = [folder / name for name in sorted(glob(files, root_dir=folder))]  # noqa: PTH207  or absolute
    if not paths:
        raise ConfigError(f"recordings.files: nothing at {place}")
    return paths


def _fields(settings: Recordings, name: str) -> dict[str, str] | None:
    """The named groups of `match` in a file's name or an array's key; None if it does not match."""
    match = re.search(settings.match, name)
    return {k: _meaning(settings, k, v or "") for k, v in match.groupdict().items()} if match else None


def _meaning(settings: Recordings, name: str, text: str) -> str:
    """What a text of a column or field stands for; nothing said stays so."""
    table = settings.values.get(name)
    if table is None or not text:
        return text
    meanings = {str(key): str(value) for key, value in table.items()}
    if text not in meanings:
        raise ConfigError(f"recordings.values.{name}: says nothing of {text!r}")
    return meanings[text]


def _columns(path: Path, settings: Recordings, classes: tuple[str, ...]) -> list[Recording]:
    fields = _fields(settings, path.name)
    if fields is None:
        return []
    table: Table = ParquetTable(path) if path.suffix == ".parquet" else CsvTable(path)
    if not len(table):
        raise ValueError("has names of columns, and no row")
    for column in (*settings.channels.values(), *filter(None, [settings.time])):
        if column not in table.names:
            raise ConfigError(
                f"recordings: {path} has no column {column!r}; there are {', '.join(table.names)}"
            )
    if settings.label and settings.label not in table.names and settings.label not in fields:
        raise ConfigError(
            f"recordings.label: {path} has neither a column nor a field {settings.label!r}; "
            f"there are {', '.join([*table.names, *fields])}"
        )
    columns = {
        name: np.array([_meaning(settings, name, text) for text in table.texts(name).tolist()], np.str_)
        for name in settings.told_by
        if name in table.names
    }
    values = np.empty((len(table), len(settings.channels)), np.float32)
    for i, column in enumerate(settings.channels.values()):
        values[:, i] = table.numbers(column)
    labels = columns.get(settings.label, np.full(len(table), ""))
    whole = Recording(
        settings.device,
        tuple(settings.channels),
        table.times(settings.time, settings.zone) if settings.time else _paced(len(table), settings),
        values,
        _classes(labels, settings.label, classes),
        fields,
        columns,
    )
    if settings.device not in table.names:
        if settings.device not in fields and (near := get_close_matches(settings.device, table.names, 1)):
            told = "all rows are of one device of this name", f"is its column {near[0]!r} meant?"
            log.warning("recordings.device: %s has no column %r: %s; %s", path, settings.device, *told)
        return [whole]
    devices = columns[settings.device]
    return [replace(whole.rows(devices == device), device=str(device)) for device in np.unique(devices)]


def _classes(labels: NDArray[np.str_], column: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Indices (n,), −1 where nothing is said; raises DataError with the number of rows that say no class."""
    words, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    found = []
    for word, count in zip(words.tolist(), counts.tolist(), strict=True):
        try:
            found.append(_class(word, classes))
        except DataError as error:
            remedy = f"say in `recordings.values.{column}` what it means, or leave it empty if nobody knows"
            raise DataError(
                error.reason, f"{error.detail}, in {count} of {len(labels)} rows; {remedy}"
            ) from error
    return np.array(found, np.int64)[place]


def _class(text: str, classes: tuple[str, ...]) -> int:
    """Index of a class given by name or by index; −1 for an empty text."""
    text = text.strip()
    if not text:
        return -1
    if text in classes:
        return classes.index(text)
    if re.fullmatch(r"\d+(\.0*)?", text) and int(float(text)) < len(classes):
        return int(float(text))
    raise DataError("unknown_class", f"label {text!r} is none of {', '.join(classes)}")


def _npz(path: Path, settings: Recordings) -> list[Recording]:
    if not all(column.isdigit() for column in settings.channels.values()):
        raise ConfigError("recordings.channels: for NPZ arrays write the number of each column: {x: 0, y: 1}")
    columns = [int(column) for column in settings.channels.values()]
    found = []
    with path.open("rb") as file, np.load(file) as archive:
        for key in archive.files:
            fields = _fields(settings, key)
            if fields is None:
                continue
            if settings.label and settings.label not in fields:
                raise ConfigError(
                    f"recordings.label: `match` finds no field {settings.label!r} in {key!r} of {path}"
                )
            values = archive[key].astype(np.float32)[:, columns]
            none = np.full(len(values), -1, np.int64)
            times = _paced(len(values), settings)
            found.append(
                Recording(
                    settings.device, tuple(settings.channels), times, values, none, fields | {"key": key}
                )
            )
    return found


def _paced(count: int, settings: Recordings) -> Times:
    if settings.pace is None:
        raise ConfigError("recordings: neither `time` (a column) nor `pace` (readings a second) is given")
    return RECORDING_EPOCH + int(settings.pace) * np.arange(count, dtype=np.int64)


def _named(recording: Recording, settings: Recordings, classes: tuple[str, ...]) -> Recording:
    """Device and label taken from a field, where the settings name one."""
    device = device_name(recording.fields.get(settings.device, recording.device))
    if settings.label not in recording.fields:
        return replace(recording, device=device)
    label = _class(recording.fields[settings.label], classes)
    return replace(recording, device=device, labels=np.full(len(recording.times), label, np.int64))


def _shuffled(recording: Recording, by: str) -> Recording:
    """Rows alike in a column change places among themselves, the same way every time."""
    if not by:
        return recording
    if by not in recording.columns:
        raise ConfigError(f"recordings.shuffle: no column {by!r}")
    rng = np.random.default_rng(0)
    rows = np.arange(len(recording.times))
    for name in dict.fromkeys(recording.columns[by].tolist()):
        own = np.flatnonzero(recording.columns[by] == name)
        rows[own] = rng.permutation(own)
    return replace(recording.rows(rows), times=recording.times)


def _join(recordings: list[Recording]) -> list[Recording]:
    """Recordings of one device in several files become one, in order of time."""
    joined: dict[tuple[str, str], list[Recording]] = {}
    for recording in recordings:
        joined.setdefault((recording.device, repr(sorted(recording.fields.items()))), []).append(recording)
    result = []
    for parts in joined.values():
        whole = replace(
            parts[0],
            times=np.concatenate([r.times for r in parts]),
            values=np.concatenate([r.values for r in parts]),
            labels=np.concatenate([r.labels for r in parts]),
            columns={name: np.concatenate([r.texts(name) for r in parts]) for name in parts[0].columns},
        )
        whole = whole.rows(np.argsort(whole.times, kind="stable"))
        result.append(whole)
        if repeated := int((np.diff(whole.times) == 0).sum()):
            log.warning(
                "recordings: %s: %d of %d rows repeat the time of another, and the first counts; does "
                "`recordings.device` say whose each row is?",
                whole.device,
                repeated,
                len(whole.times),
            )
    return result

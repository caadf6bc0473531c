"""Recordings from files: what a sensor said, with labels where somebody knew.

CSV and CSV.gz (a header; a row number without a name may stand before the columns), and NPZ (one
array (readings, columns) a key).
"""

import csv
import gzip
import re
import zipfile
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.config import Recordings, Select
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats.json_paths import parse_time
from iot_stream.readings import Times, Values, check_device_name

RECORDING_EPOCH = 1_420_070_400 * SECOND  # 2015-01-01, for recordings without a time column


PAUSE = 11  # readings between recordings without times: longer than the default gap of a window


@dataclass(frozen=True)
class Recording:
    """One device's readings: `times` (n,) ns, `values` (n, channels), `labels` (n,), −1 where none."""

    device: str
    channels: tuple[str, ...]
    times: Times
    values: Values
    labels: NDArray[np.int64]
    fields: dict[str, str]

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Recording":
        return replace(self, times=self.times[keep], values=self.values[keep], labels=self.labels[keep])


def load(settings: Recordings, classes: tuple[str, ...], folder: Path) -> list[Recording]:
    """All recordings that the settings name, files relative to `folder`.

    Raises ConfigError for what the settings name and the files do not have, DataError("malformed").
    """
    paths = [Path(name) for name in sorted(glob(str(folder / settings.files)))]  # noqa: PTH207  may be absolute
    if not paths:
        raise ConfigError(f"recordings.files: nothing at {folder / settings.files}")
    found = []
    for path in paths:
        try:
            found += _npz(path, settings) if path.suffix == ".npz" else _csv(path, settings, classes)
        except (OSError, EOFError, ValueError, IndexError, csv.Error, zipfile.BadZipFile, DataError) as error:
            raise DataError("malformed", f"{path}: {error}") from error
    if not found:
        raise ConfigError(f"recordings.match: {settings.match!r} matches nothing in {paths[0]}")
    named = [_named(recording, settings, classes) for recording in found]
    return _join(named if settings.time else _one_after_the_other(named, settings))


def select(recordings: list[Recording], part: Select, zone: str) -> list[Recording]:
    """The part of each recording that meets all conditions; those left empty fall out."""
    chosen = []
    for recording in recordings:
        keep = np.ones(len(recording.times), bool)
        if part.from_:
            keep &= recording.times >= parse_time(part.from_, zone)
        if part.to:
            keep &= recording.times < parse_time(part.to, zone)
        if part.share:
            first, last = (round(s * len(keep)) for s in part.share)
            keep[:first] = keep[last:] = False
        for field, value in part.where.items():
            keep &= recording.fields.get(field) == str(value)
        if keep.any():
            chosen.append(recording.rows(keep))
    return chosen


def _fields(settings: Recordings, name: str) -> dict[str, str] | None:
    """The named groups of `match` in a file's name or an array's key; None if it does not match."""
    match = re.search(settings.match, name)
    return {k: v or "" for k, v in match.groupdict().items()} if match else None


def _csv(path: Path, settings: Recordings, classes: tuple[str, ...]) -> list[Recording]:
    fields = _fields(settings, path.name)
    if fields is None:
        return []
    place, body = _table(path)
    for column in (*settings.channels.values(), *filter(None, [settings.time])):
        if column not in place:
            raise ConfigError(f"recordings: {path} has no column {column!r}; there are {', '.join(place)}")
    if settings.label and settings.label not in place and settings.label not in fields:
        raise ConfigError(
            f"recordings.label: {path} has neither a column nor a field {settings.label!r}; "
            f"there are {', '.join([*place, *fields])}"
        )
    values = [[_number(row[place[column]]) for column in settings.channels.values()] for row in body]
    label = place.get(settings.label)
    labels = [_class(row[label], classes) if label is not None else -1 for row in body]
    whole = Recording(
        settings.device,
        tuple(settings.channels),
        _times([row[place[settings.time]] for row in body], settings)
        if settings.time
        else _paced(len(body), settings),
        np.array(values, np.float32).reshape(len(body), len(settings.channels)),
        np.array(labels, np.int64),
        fields,
    )
    if settings.device not in place:
        return [whole]
    devices = np.array([row[place[settings.device]] for row in body], np.str_)
    return [replace(whole.rows(devices == device), device=str(device)) for device in np.unique(devices)]


def _table(path: Path) -> tuple[dict[str, int], list[list[str]]]:
    """Where each column stands, and the rows."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8") as file:
        header, *body = csv.reader(file)
    if body and len(body[0]) == len(header) + 1:
        header = ["", *header]
    return {name.strip(): i for i, name in enumerate(header)}, body


def _times(texts: list[str], settings: Recordings) -> Times:
    return np.array([parse_time(text, settings.zone) for text in texts], np.int64)


def _number(text: str) -> float:
    return float(text) if text.strip() else np.nan


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
    device = check_device_name(recording.fields.get(settings.device, recording.device))
    if settings.label not in recording.fields:
        return replace(recording, device=device)
    label = _class(recording.fields[settings.label], classes)
    return replace(recording, device=device, labels=np.full(len(recording.times), label, np.int64))


def _one_after_the_other(recordings: list[Recording], settings: Recordings) -> list[Recording]:
    """Recordings without times, of one device: with a pause between them that breaks windows on a grid."""
    ends: dict[str, int] = {}
    moved = []
    for recording in recordings:
        shift = ends.get(recording.device, RECORDING_EPOCH) - RECORDING_EPOCH
        moved.append(replace(recording, times=recording.times + shift))
        span = (len(recording.times) + PAUSE) * int(settings.pace or 0)
        ends[recording.device] = RECORDING_EPOCH + shift + span
    return moved


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
        )
        result.append(whole.rows(np.argsort(whole.times, kind="stable")))
    return result

"""A part of the recordings, laid out in time."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Recordings, Select
from iot_stream.errors import ConfigError
from iot_stream.formats.json_paths import parse_time
from iot_stream.recordings.recording import RECORDING_EPOCH, Recording

PAUSE = 11  # readings between recordings without times: longer than the default gap of a window


def select(recordings: list[Recording], part: Select, settings: Recordings) -> list[Recording]:
    """The part of each recording that meets all conditions; those left empty fall out.

    Recordings without times follow one another from 2015-01-01 on; those alike in `order` side by side.
    Raises ConfigError for a condition on what no recording has, or segments by it.
    """
    known = {name for recording in recordings for name in (*recording.fields, *recording.columns)}
    for setting, names in (("where", set(part.where)), ("segments", {settings.segments} - {"", "day"})):
        if strange := sorted(names - known):
            there = ", ".join(sorted(known))
            raise ConfigError(f"recordings: {setting}: no recording has {strange[0]!r}; there are {there}")
    chosen = [part_of for r in recordings if len((part_of := r.rows(_keep(r, part, settings.zone))).times)]
    return chosen if settings.time else _one_after_the_other(chosen, settings)


def _keep(recording: Recording, part: Select, zone: str) -> NDArray[np.bool_]:
    keep = np.ones(len(recording.times), bool)
    if part.from_:
        keep &= recording.times >= parse_time(part.from_, zone)
    if part.to:
        keep &= recording.times < parse_time(part.to, zone)
    if part.share:
        first, last = (round(s * len(keep)) for s in part.share)
        keep[:first] = keep[last:] = False
    for name, wanted in part.where.items():
        texts = [str(each) for each in (wanted if isinstance(wanted, tuple | list) else (wanted,))]
        keep &= np.isin(recording.texts(name), texts)
    return keep


def _one_after_the_other(recordings: list[Recording], settings: Recordings) -> list[Recording]:
    """With a pause between a device's recordings that breaks windows on a grid."""
    period = int(settings.pace or 0)
    ends: dict[str, int] = {}
    placed = []
    for together in _in_order(recordings, settings.order):
        begin = max(ends.values(), default=RECORDING_EPOCH) if settings.order else 0
        for recording in together:
            start = max(begin, ends.get(recording.device, RECORDING_EPOCH))
            times = start + period * np.arange(len(recording.times), dtype=np.int64)
            placed.append(replace(recording, times=times))
            ends[recording.device] = start + period * (len(times) + PAUSE)
    return placed


def _in_order(recordings: list[Recording], field: str) -> Iterable[list[Recording]]:
    """Those that are alike in a field together, by its number or name; without a field each by itself."""
    if not field:
        return [[recording] for recording in recordings]
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        if field not in recording.fields:
            raise ConfigError(
                f"recordings.order: no field {field!r}; there are {', '.join(recording.fields)}"
            )
        groups.setdefault(recording.fields[field], []).append(recording)
    return [groups[name] for name in sorted(groups, key=_number_then_name)]


def _number_then_name(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text

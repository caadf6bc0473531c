"""The bootstrap: recordings or a world, cut into windows of both sides, with labels."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iot_stream import recordings
from iot_stream.config import Pipeline, Recordings, Select
from iot_stream.cut import Cut
from iot_stream.errors import ConfigError
from iot_stream.labelling import NO_LABEL
from iot_stream.readings import Times, Values
from iot_stream.recordings import RECORDING_EPOCH, Recording
from iot_stream.store.journal import WindowSet
from iot_stream.windows import Windower, Windows
from simulator.world import world


@dataclass(frozen=True)
class Bootstrap:
    """Labelled windows (n): `student_x` and `teacher_x` of the same moments; −1: unlabelled or mixed."""

    devices: NDArray[np.str_]
    starts: Times
    ends: Times
    student_x: Values
    teacher_x: Values
    labels: NDArray[np.int64]

    def rows(self, keep: NDArray[np.bool_]) -> "Bootstrap":
        return Bootstrap(*(getattr(self, field.name)[keep] for field in fields(self)))


def nothing(pipeline: Pipeline) -> Bootstrap:
    """Where no recording is named."""
    no_time = np.zeros(0, np.int64)
    student, teacher = (
        np.zeros((0, cut.length, len(cut.inputs)), np.float32)
        for cut in (pipeline.cut(pipeline.student), pipeline.cut(pipeline.teacher))
    )
    return Bootstrap(np.zeros(0, np.str_), no_time, no_time, student, teacher, no_time)


def together(student: WindowSet, teacher: WindowSet) -> Bootstrap:
    """Stored windows of both sides, of the same moments, without labels."""
    keys = zip(teacher.devices.tolist(), teacher.starts.tolist(), strict=True)
    place = {key: row for row, key in enumerate(keys)}
    keys = zip(student.devices.tolist(), student.starts.tolist(), strict=True)
    found = np.array([place.get(key, -1) for key in keys], np.int64)
    student, teacher = student.rows(found >= 0), teacher.rows(found[found >= 0])
    unknown = np.full(len(student), NO_LABEL)
    return Bootstrap(student.devices, student.starts, student.ends, student.x, teacher.x, unknown)


def load(pipeline: Pipeline, part: Select, folder: Path) -> Bootstrap:
    """Raises ConfigError if there is nothing to learn from."""
    found = recorded(pipeline, part, folder)
    student_cut, teacher_cut = pipeline.cut(pipeline.student), pipeline.cut(pipeline.teacher)
    pieces = [piece for recording in found if (piece := _joined(recording, student_cut, teacher_cut))]
    if not pieces:
        raise ConfigError(
            "recordings.bootstrap: selects not a single window; are the recordings long enough?"
        )
    return Bootstrap(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def recorded(pipeline: Pipeline, part: Select, folder: Path) -> list[Recording]:
    """The recordings or the world of a pipeline, a part of them, laid out in time."""
    settings = pipeline.recordings
    if settings is None:
        raise ConfigError("recordings: name files or a world; the teacher has to learn from something")
    if settings.world:
        return from_world(settings, pipeline.seed, part)
    return recordings.select(recordings.load(settings, pipeline.classes, folder), part, settings)


def from_world(settings: Recordings, seed: int, part: Select) -> list[Recording]:
    """What `bursts` messages of each of the machines would say, in one regime after the other."""
    place = world(settings.world)
    first, last = part.machines or (0, 1)
    found = []
    for number, regime in enumerate(part.regimes or (place.default_regime,)):
        condition = place.condition(regime)
        begin = RECORDING_EPOCH + number * part.bursts * place.period_ns
        for index in range(first, last):
            machine = place.machine(index, seed)
            bursts = [machine.burst(begin + i * place.period_ns, condition) for i in range(part.bursts)]
            found.append(
                Recording(
                    f"machine-{index:02d}",
                    place.channels,
                    np.concatenate([b.times for b in bursts]),
                    np.concatenate([b.values for b in bursts]).astype(np.float32),
                    np.concatenate([np.full(len(b.times), b.label, np.int64) for b in bursts]),
                    {"regime": regime},
                )
            )
    return found


def _joined(
    recording: Recording, student_cut: Cut, teacher_cut: Cut
) -> tuple[NDArray[np.str_], Times, Times, Values, Values, NDArray[np.int64]] | None:
    student, teacher = _windows(recording, student_cut), _windows(recording, teacher_cut)
    starts, ours, theirs = np.intersect1d(student.starts, teacher.starts, return_indices=True)
    if not len(starts):
        return None
    ends = student.ends[ours]
    last = np.searchsorted(recording.times, ends)
    first = np.searchsorted(recording.times, starts)
    run = np.concatenate([[0], np.cumsum(recording.labels[1:] != recording.labels[:-1])])
    labels = np.where(run[first] == run[last], recording.labels[last], -1)
    devices = np.full(len(starts), recording.device)
    return devices, starts, ends, student.x[ours], teacher.x[theirs], labels


def _windows(recording: Recording, cut: Cut) -> Windows:
    columns = [recording.channels.index(name) for name in cut.channels]
    return Windower(cut).push(recording.times, np.ascontiguousarray(recording.values[:, columns]))

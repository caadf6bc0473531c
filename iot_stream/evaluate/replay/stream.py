"""What the service would have seen of a recording: messages, decoded, cleaned, sorted and cut as live."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import wall
from iot_stream.config import Pipeline, Recordings, device_upload
from iot_stream.cut import Cut
from iot_stream.formats import Heard
from iot_stream.formats.telemetry import TelemetryDecoder, encode
from iot_stream.hygiene import clean
from iot_stream.order import Sorter
from iot_stream.readings import Block, Times, Values
from iot_stream.recordings import Recording
from iot_stream.windows import Windower, Windows
from simulator.script import NEVER, Said, script

BOOT = "replay"


@dataclass(frozen=True)
class Stream:
    """n student windows in the order in which the service had them.

    `x` (n, length, inputs) raw; `arrived` (n,) stream time (ns) of each; `teacher_x` raw windows of the
    teacher, row `place` (n,) of which belongs to a student's window, −1 where it never came; `taught` (n,)
    when both were there. `truth` (n,) the class at a window's end, −1 where nobody knows; `segments` (n,).
    `sent` (m, 2): when each message of readings came (ns), and its bytes, were all sent; `logged` (m,): is it
    a logger's? `readings` (n, channels): what goes up with a window, where links cost.
    """

    devices: NDArray[np.str_]
    starts: Times
    ends: Times
    x: Values
    arrived: Times
    teacher_x: Values
    place: NDArray[np.int64]
    taught: Times
    truth: NDArray[np.int64]
    segments: NDArray[np.str_]
    sent: NDArray[np.int64]
    logged: NDArray[np.bool_]
    readings: Values

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Rows in order of their ends."""
        return np.argsort(self.ends, kind="stable")


def observe(recordings: list[Recording], pipeline: Pipeline) -> Stream:
    """Devices speak iot-stream's own telemetry, whatever the sources' formats; nothing gets lost."""
    student_cut, teacher_cut = pipeline.cut(pipeline.student), pipeline.cut(pipeline.teacher)
    tables = {cut: _Table(pipeline, cut, wait) for cut, wait in pipeline.cuts.items()}
    upload = device_upload(pipeline)
    beside = upload.readings if upload else ()
    last = _Table(pipeline, Cut(beside, beside, 1, 1), 0) if beside else None
    arrived, sent, logged = 0, [], []
    for block, size, is_logged in blocks(recordings, pipeline):
        arrived = max(arrived, int(block.times.max()))
        sent.append((arrived, size))
        logged.append(is_logged)
        if last:
            last.take(block, arrived)
        for table in tables.values():
            table.take(block, arrived)
    student, teacher = tables[student_cut].windows(), tables[teacher_cut].windows()
    keys = zip(teacher[0].tolist(), teacher[1].starts.tolist(), strict=True)
    rows = {key: row for row, key in enumerate(keys)}
    devices, windows, came = student
    place = np.array(
        [rows.get(key, -1) for key in zip(devices.tolist(), windows.starts.tolist(), strict=True)]
    )
    place = place.astype(np.int64)
    taught = np.where(place >= 0, np.maximum(came, np.append(teacher[2], NEVER)[place]), NEVER)
    truth, segments = _truth(recordings, pipeline, devices, windows.ends)
    return Stream(
        devices,
        windows.starts,
        windows.ends,
        windows.x,
        came,
        teacher[1].x,
        place,
        taught,
        truth,
        segments,
        np.array(sent, np.int64).reshape(-1, 2),
        np.array(logged, np.bool_),
        _at(last, devices, windows.ends) if last else np.zeros((len(devices), 0), np.float32),
    )


def _at(table: "_Table", devices: NDArray[np.str_], ends: Times) -> Values:
    """(n, channels): the readings of these devices at these times."""
    names, windows, _ = table.windows()
    rows = {key: row for row, key in enumerate(zip(names.tolist(), windows.ends.tolist(), strict=True))}
    keys = zip(devices.tolist(), ends.tolist(), strict=True)
    return windows.x[[rows[key] for key in keys], 0]


def blocks(recordings: list[Recording], pipeline: Pipeline) -> Iterator[tuple[Block, int, bool]]:
    """Readings as a collector gets them, through bytes, how many bytes each message had, and whether a logger
    sent it."""
    decoders = [TelemetryDecoder(source, index) for index, source in enumerate(pipeline.sources)]
    numbers: dict[tuple[str, int], int] = {}
    for _, event in script(recordings, pipeline, pipeline.seed):
        if not isinstance(event, Said):
            continue  # labels are late_labels' matter
        line = (event.device, event.logger.source if event.logger else -1)
        seq = numbers.get(line, 0)
        numbers[line] = seq + len(event.times)
        payload = encode(event.channels, event.times, event.values, BOOT, seq)
        size = len(payload)
        for index, source in enumerate(pipeline.sources):
            mine = index == event.logger.source if event.logger else _prompt(pipeline, index)
            if not mine or (source.channels and not set(source.channels) & set(event.channels)):
                continue
            for block in decoders[index].decode(Heard(payload, 0, {"device": event.device})):
                yield clean(block, wall()), size, event.logger is not None
                size = 0  # one message, whatever it holds


def _prompt(pipeline: Pipeline, source: int) -> bool:
    late = pipeline.recordings.late if pipeline.recordings else {}
    return not set(pipeline.sources[source].channels) & set(late)


class _Table:
    """Windows of one cut, device by device, in the order in which they come."""

    def __init__(self, pipeline: Pipeline, cut: Cut, wait: int) -> None:
        self._cut, self._wait = cut, wait
        self._sources, self._lateness = pipeline.sources_of(cut), int(pipeline.window.lateness)
        self._devices: dict[str, tuple[Sorter, Windower]] = {}
        self._found: list[tuple[str, Windows, int]] = []

    def take(self, block: Block, arrived: int) -> None:
        if block.device not in self._devices:
            sorter = Sorter(self._cut.channels, self._sources, self._lateness, self._wait)
            self._devices[block.device] = (sorter, Windower(self._cut))
        sorter, windower = self._devices[block.device]
        rows = sorter.push(block, arrived)
        if len(rows.times):
            windows = windower.push(*rows)
            if len(windows):
                self._found.append((block.device, windows, arrived))

    def windows(self) -> tuple[NDArray[np.str_], Windows, Times]:
        """Device (n,), windows, and when each arrived (n,)."""
        counts = [len(windows) for _, windows, _ in self._found]
        nothing = Windower(self._cut).push(
            np.zeros(0, np.int64), np.zeros((0, len(self._cut.channels)), np.float32)
        )
        parts = [nothing, *(windows for _, windows, _ in self._found)]
        return (
            np.repeat(np.array([device for device, _, _ in self._found], np.str_), counts),
            Windows(*(np.concatenate(column) for column in zip(*parts, strict=True))),
            np.repeat(np.array([arrived for _, _, arrived in self._found], np.int64), counts),
        )


def _truth(
    recordings: list[Recording], pipeline: Pipeline, devices: NDArray[np.str_], ends: Times
) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    """Class and segment of the reading in which each window ends (the last before, on a grid)."""
    by = (pipeline.recordings or Recordings()).segments
    truth = np.full(len(ends), -1, np.int64)
    segments = np.full(len(ends), "", object)
    for device in np.unique(devices):
        own = sorted((r for r in recordings if r.device == device), key=lambda r: int(r.times[0]))
        times = np.concatenate([r.times for r in own])
        mine = np.flatnonzero(devices == device)
        last = np.searchsorted(times, ends[mine], side="right") - 1
        truth[mine] = np.concatenate([r.labels for r in own])[last]
        segments[mine] = np.concatenate([r.segments(by) for r in own])[last]
    return truth, segments.astype(np.str_)

"""What the devices of a recording say and when: the one order of events for playback and for replay."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from iot_stream.clock import SECOND
from iot_stream.config import Late, Pipeline, Recordings
from iot_stream.readings import Times, Values
from iot_stream.recordings import Known, Recording, late_labels
from iot_stream.recordings.labels import messages

NEVER = 2**63 - 1


@dataclass(frozen=True)
class Logger:
    """Channels of one source that come late: read out once in `every`, at `phase` after midnight UTC."""

    source: int
    topic: str
    channels: tuple[str, ...]
    every: int
    phase: int

    def readout_after(self, moment: int) -> int:
        return (moment - self.phase) // self.every * self.every + self.phase + self.every


@dataclass(frozen=True)
class Said:
    """A message of readings of one class (−1: nobody knows); `logger` is None for what comes at once."""

    device: str
    logger: Logger | None
    channels: tuple[str, ...]
    times: Times
    values: Values
    label: int


Event = tuple[int, Said | Known]
"""The stream's time (ns) at which something is said or becomes known."""


def loggers(pipeline: Pipeline) -> list[Logger]:
    """The late channels of the recordings, by the source that carries them."""
    late = pipeline.recordings.late if pipeline.recordings else {}
    found = []
    for index, source in enumerate(pipeline.sources):
        channels = tuple(name for name in source.channels if name in late)
        if channels:
            plan: Late = late[channels[0]]
            hours, minutes = (int(part) for part in plan.at.split(":"))
            phase = (hours * 3600 + minutes * 60) * SECOND
            found.append(Logger(index, source.topic, channels, int(plan.every), phase))
    return found


def prompt_channels(recording: Recording, late: list[Logger]) -> tuple[str, ...]:
    """What the device says at once."""
    logged = {name for logger in late for name in logger.channels}
    return tuple(name for name in recording.channels if name not in logged)


def script(stream: list[Recording], pipeline: Pipeline, seed: int) -> Iterator[Event]:
    """All events in order of time: a message when its last reading is taken, a logger's batch just before the
    first reading from its hour on, a label once the stream has reached the moment at which it is known; what
    would come after the stream's end comes there.
    """
    settings = pipeline.recordings or Recordings()
    late = loggers(pipeline)
    players = [_Player(recording, late) for recording in stream]
    turns = sorted(
        (int(recording.times[rows.stop - 1]), number, rows.start, rows.stop)
        for number, recording in enumerate(stream)
        for rows in messages(recording, settings.readings)
    )
    labels = late_labels(stream, settings, seed)
    told = 0
    for moment, number, begin, end in turns:
        for said in players[number].play(begin, end):
            yield moment, said
        while told < len(labels) and labels[told].at <= moment:
            yield moment, labels[told]
            told += 1
    last = turns[-1][0] if turns else 0
    for known in labels[told:]:
        yield last, known


class _Player:
    def __init__(self, recording: Recording, late: list[Logger]) -> None:
        self._recording, self._late = recording, late
        self._prompt = prompt_channels(recording, late)
        self._next = {logger: logger.readout_after(int(recording.times[0])) for logger in late}
        self._logged = dict.fromkeys(late, 0)

    def play(self, begin: int, end: int) -> Iterator[Said]:
        times = self._recording.times
        for logger in self._late:
            if times[end - 1] >= self._next[logger]:
                yield from self._read_out(logger, begin)
                self._next[logger] = logger.readout_after(int(times[end - 1]))
        yield self._said(None, self._prompt, begin, end)
        if end == len(times):  # somebody collects the loggers
            for logger in self._late:
                yield from self._read_out(logger, end)

    def _read_out(self, logger: Logger, until: int) -> Iterator[Said]:
        begin, self._logged[logger] = self._logged[logger], until
        if until > begin:
            yield self._said(logger, logger.channels, begin, until)

    def _said(self, logger: Logger | None, channels: tuple[str, ...], begin: int, end: int) -> Said:
        recording, rows = self._recording, slice(begin, end)
        columns = [recording.channels.index(name) for name in channels]
        label = -1 if logger else int(recording.labels[begin])
        values = np.ascontiguousarray(recording.values[rows][:, columns])
        return Said(recording.device, logger, channels, recording.times[rows], values, label)

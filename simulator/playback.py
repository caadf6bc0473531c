"""Recordings played over MQTT: each device of the recording lives again, at a chosen speed."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iot_stream.clock import SECOND, wall
from iot_stream.config import Late, Pipeline
from iot_stream.recordings import Recording
from simulator.ledger import Bookkeeper, Ledger
from simulator.station import Station

DAY = 86_400 * SECOND


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


class Player:
    """Plays one device's recording on a station; what its loggers hold is read out in time."""

    def __init__(self, station: Station, recording: Recording, late: list[Logger]) -> None:
        self.station, self._recording, self._late = station, recording, late
        channels = station.client.channels
        self._columns = [recording.channels.index(name) for name in channels]
        self._next_readout = {logger: logger.readout_after(int(recording.times[0])) for logger in late}
        self._logged = dict.fromkeys(late, 0)

    def play(self, row: int) -> None:
        time_ = int(self._recording.times[row])
        for logger in self._late:
            if time_ >= self._next_readout[logger]:
                self._read_out(logger, row)
                self._next_readout[logger] = logger.readout_after(time_)
        values = self._recording.values[row : row + 1, self._columns]
        self.station.read(self._recording.times[row : row + 1], values, int(self._recording.labels[row]))

    def _read_out(self, logger: Logger, until: int) -> None:
        rows = slice(self._logged[logger], until)
        self._logged[logger] = until
        columns = [self._recording.channels.index(name) for name in logger.channels]
        values = self._recording.values[rows][:, columns]
        if len(values):
            self.station.read_out(
                logger.source, logger.topic, logger.channels, self._recording.times[rows], values
            )


class Playback:
    def __init__(
        self,
        recordings: list[Recording],
        pipeline: Pipeline,
        speed: float,
        new_station: Callable[[str, tuple[str, ...], Bookkeeper, random.Random], Station],
        seed: int,
    ) -> None:
        self._book = Bookkeeper(wall())
        self._speed = speed
        late = loggers(pipeline)
        logged = {name for logger in late for name in logger.channels}
        self._stations: dict[str, Station] = {}
        for recording in recordings:
            if recording.device not in self._stations:
                prompt = tuple(name for name in recording.channels if name not in logged)
                rng = random.Random(f"{seed}/{recording.device}")
                self._stations[recording.device] = new_station(recording.device, prompt, self._book, rng)
        self._players = [Player(self._stations[r.device], r, late) for r in recordings]
        times = np.concatenate([r.times for r in recordings])
        owners = np.concatenate([np.full(len(r.times), i) for i, r in enumerate(recordings)])
        rows = np.concatenate([np.arange(len(r.times)) for r in recordings])
        order = np.argsort(times, kind="stable")
        self._times, self._owners, self._rows = times[order], owners[order], rows[order]

    def start(self) -> None:
        for station in self._stations.values():
            station.client.start()

    def run(self, stopping: threading.Event) -> Ledger:
        """To the end of the recordings; then waits for what is not acknowledged yet."""
        began, first = time.monotonic(), int(self._times[0])
        self._book.started = wall()
        for moment, owner, row in zip(self._times.tolist(), self._owners, self._rows, strict=True):
            due = began + (moment - first) / SECOND / self._speed
            if (pause := due - time.monotonic()) > 0:
                stopping.wait(pause)
            if stopping.is_set():
                break
            self._players[owner].play(int(row))
        for station in self._stations.values():
            station.stop_line()
        return self._book.close(wall())

    def stop(self) -> None:
        for station in self._stations.values():
            station.stop()

"""Recordings played over MQTT: each device of the recording lives again, at a chosen speed."""

import random
import threading
import time
from collections.abc import Callable

from iot_stream.clock import SECOND, wall
from iot_stream.config import Pipeline
from iot_stream.recordings import Known, Recording
from simulator.ledger import Bookkeeper, Ledger
from simulator.script import Said, loggers, prompt_channels, script
from simulator.station import Station


class Playback:
    """`speed`: so many times faster than life; `seed` decides which labels become known."""

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
        self._events = script(recordings, pipeline, seed)
        self._first = min(int(recording.times[0]) for recording in recordings)
        self._stations: dict[str, Station] = {}
        for recording in recordings:
            if recording.device not in self._stations:
                prompt = prompt_channels(recording, loggers(pipeline))
                rng = random.Random(f"{seed}/{recording.device}")
                self._stations[recording.device] = new_station(recording.device, prompt, self._book, rng)

    def start(self) -> None:
        for station in self._stations.values():
            station.client.start()

    def run(self, stopping: threading.Event) -> Ledger:
        """To the end of the recordings; then waits for what is not acknowledged yet."""
        began = time.monotonic()
        self._book.started = wall()
        for moment, event in self._events:
            due = began + (moment - self._first) / SECOND / self._speed
            if (pause := due - time.monotonic()) > 0:
                stopping.wait(pause)
            if stopping.is_set():
                break
            self._play(event)
        for station in self._stations.values():
            station.stop_line()
        return self._book.close(wall())

    def _play(self, event: Said | Known) -> None:
        if isinstance(event, Known):
            self._stations[event.label.device].tell(event.label)
            return
        station = self._stations[event.device]
        if event.logger:
            topic, source = event.logger.topic, event.logger.source
            station.read_out(source, topic, event.channels, event.times, event.values)
        else:
            station.read(event.times, event.values, event.label)

    def stop(self) -> None:
        for station in self._stations.values():
            station.stop()

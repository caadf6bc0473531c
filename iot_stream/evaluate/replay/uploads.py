"""What of a stream goes up where links cost: each device chooses from its newest windows, as it does live."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream import topics
from iot_stream.config import Pipeline
from iot_stream.device.model import Model, softmax
from iot_stream.device.predicting import Word, changes
from iot_stream.device.uploading import Seen, Selection
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.formats import sample
from iot_stream.readings import Values
from iot_stream.upload import DeviceUpload
from simulator.script import NEVER

Running = Callable[[str], Model]
"""What a device runs now."""


class _Period(NamedTuple):
    """When it ends (ns), its device chooses from windows `rows`."""

    end: int
    device: str
    rows: NDArray[np.int64]
    following: int  # when the next one ends, NEVER after the last


class Uploads:
    """`stream`: as it comes to the service. A window that is not chosen never comes; one that is comes when
    its period ends."""

    def __init__(self, pipeline: Pipeline, settings: DeviceUpload, stream: Stream) -> None:
        self._observed = stream
        self.stream = replace(stream, arrived=stream.arrived.copy(), taught=stream.taught.copy())
        self._settings, self._cuts = settings, {cut.id: cut for cut in settings.cuts}
        self._classes = pipeline.classes
        devices = np.unique(stream.devices).tolist()
        self._selections = {
            device: Selection(settings, pipeline.seed + place) for place, device in enumerate(devices)
        }
        self._told: dict[str, str] = {}  # class that each device has told
        self._pools: dict[str, NDArray[np.int64]] = {}  # rows that each device has still to choose from
        self._sent: list[tuple[int, int]] = []
        periods = [period for device in devices for period in _periods(settings, stream, device)]
        self._waiting = deque(sorted(periods, key=lambda period: (period.end, period.device)))
        for period in periods:
            self._come(period.rows, period.end)

    @property
    def sent(self) -> NDArray[np.int64]:
        """(m, 2): when each message came (ns), and its bytes; loggers' too."""
        logged = self.stream.sent[self.stream.logged].tolist()
        return np.array(sorted([*logged, *map(list, self._sent)]), np.int64).reshape(-1, 2)

    def until(self, now: int, running: Running) -> None:
        """The choices of the periods that end by `now`."""
        while self._waiting and self._waiting[0].end <= now:
            self._choose(self._waiting.popleft(), running)

    def _choose(self, period: _Period, running: Running) -> None:
        stream, rows, selection = self.stream, period.rows, self._selections[period.device]
        p = softmax(running(period.device).logits(stream.x[rows]))
        said = [self._classes[each] for each in p.argmax(axis=1).tolist()]
        certainty = p.max(axis=1).tolist()
        selection.add(self._seen(*each) for each in zip(rows.tolist(), said, certainty, strict=True))
        self._tell(period.device, list(zip(stream.ends[rows].tolist(), said, certainty, strict=True)))
        self._settle(period, selection.choose(period.end))

    def _tell(self, device: str, words: list[Word]) -> None:
        """Predictions go up where the class changes, and the budget allows."""
        for time, klass, sure in changes(words, self._told.get(device, "")):
            size = len(topics.encode(topics.Prediction(time, klass, sure, 1)))
            if self._selections[device].affords(size, time):
                self._sent.append((time, size))
                self._told[device] = klass

    def _settle(self, period: _Period, message: bytes | None) -> None:
        """What comes, comes now; what is in no message waits for the next one, or never comes."""
        waiting = np.concatenate([self._pools.pop(period.device, period.rows[:0]), period.rows])
        if message is None:
            self._pools[period.device] = waiting
            self._come(waiting, period.following)
            return
        self._sent.append((period.end, len(message)))
        starts = sample.decode(message, self._cuts).windows[self._settings.cuts[0].id].starts
        chosen = np.isin(self.stream.starts[waiting], starts)
        self._come(waiting[chosen], period.end)
        self._come(waiting[~chosen], NEVER)

    def _come(self, rows: NDArray[np.int64], when: int) -> None:
        taught = self._observed.taught[rows]
        self.stream.arrived[rows] = when
        self.stream.taught[rows] = np.where(taught < NEVER, np.maximum(taught, when), NEVER)

    def _seen(self, row: int, klass: str, p: float) -> Seen:
        stream = self.stream
        beside: tuple[tuple[str, int, Values], ...] = ()
        if len(self._settings.cuts) > 1 and stream.place[row] >= 0:
            other = self._settings.cuts[1].id
            beside = ((other, int(stream.ends[row]), stream.teacher_x[stream.place[row]]),)
        reading = tuple(stream.readings[row].tolist())
        return Seen(int(stream.starts[row]), int(stream.ends[row]), stream.x[row], beside, reading, klass, p)


def _periods(settings: DeviceUpload, stream: Stream, device: str) -> list[_Period]:
    """The last one ends with the recording, as where a device is stopped."""
    rows = np.flatnonzero(stream.devices == device)
    parts, begin, due = [], 0, int(stream.starts[rows[0]]) + int(settings.every)
    times, first = np.unique(stream.arrived[rows], return_index=True)
    for time, end in zip(times.tolist(), [*first[1:].tolist(), len(rows)], strict=True):
        if time >= due or end == len(rows):
            parts.append((time, rows[begin:end]))
            begin, due = end, time + int(settings.every)
    following = [time for time, _ in parts[1:]]
    return [
        _Period(end, device, rows, then) for (end, rows), then in zip(parts, [*following, NEVER], strict=True)
    ]

"""Readings in, predictions out: the model that runs, its windower, and the change from one to the next.

The change happens between two windows, under a lock that is held for microseconds.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.cut import Cut
from iot_stream.device.health import Complaint, Health, Rules
from iot_stream.device.model import Model, softmax
from iot_stream.readings import Times, Values
from iot_stream.windows import Windower, Windows

EARLY = 200_000  # values that are kept for the first model


@dataclass
class _Running:
    """The model that predicts, and the windower that feeds it."""

    model: Model
    windower: Windower
    failed: bool = False  # it does badly: no more predictions until it is replaced


Word = tuple[int, str, float]
"""Of a window: its end (ns), class and certainty."""


def changes(words: Iterable[Word], last: str) -> list[Word]:
    """Of what is said of windows in turn, that which says another class than the one before."""
    found = []
    for word in words:
        if word[1] != last:
            found.append(word)
        last = word[1]
    return found


@dataclass(frozen=True)
class Said:
    """Of each window: its end (ns), class and certainty; or none, and why the version must be left."""

    version: int
    windows: list[Word]
    complaint: Complaint | None = None


class Predictor:
    """`channels`: what each reading holds, in order."""

    def __init__(self, channels: tuple[str, ...], rules: Rules) -> None:
        self._channels = channels
        self._running: _Running | None = None
        self._lock = threading.Lock()
        self._early: deque[tuple[Times, Values]] = deque()  # readings that no model has seen
        self._early_values = 0
        self.health = Health(rules)
        self.windows = 0

    @property
    def version(self) -> int:
        """The version that runs; 0 before the first."""
        running = self._running
        return running.model.version if running else 0

    def feed(self, times: Times, values: Values) -> Said | None:
        """Readings (n,) ns, (n, channels): what the model makes of the windows that they complete, if any."""
        with self._lock:
            if self._running:
                return self._predict(self._running, times, values)
            self._remember(times, values)
            return None

    def exchange(self, model: Model | None) -> float:
        """From the next window on this model predicts, or none; returns the µs that feeding stood still."""
        with self._lock:
            began = time.perf_counter_ns()
            now = self._running
            if model is None:
                self._running = None
            elif now and now.windower.cut == model.spec.cut:
                self._running = _Running(model, now.windower)
            else:
                self._running = _Running(model, self._windower(model.spec.cut))
            self.health.begin()
            return (time.perf_counter_ns() - began) / 1000

    def _predict(self, running: _Running, times: Times, values: Values) -> Said | None:
        cut = running.windower.cut
        columns = [self._channels.index(name) for name in cut.channels]
        windows = running.windower.push(times, np.ascontiguousarray(values[:, columns], np.float32))
        if not len(windows) or running.failed:
            return None
        began = time.perf_counter_ns()
        logits = running.model.logits(windows.x)
        infer_us = (time.perf_counter_ns() - began) / 1000 / len(windows)
        if not np.isfinite(logits).all():
            running.failed = True
            return Said(running.model.version, [], Complaint("nan", "it gave NaN or infinity"))
        return self._said(running, windows, softmax(logits), infer_us)

    def _said(self, running: _Running, windows: Windows, p: NDArray[np.float64], infer_us: float) -> Said:
        best = p.argmax(axis=1).tolist()
        certainty = [round(float(row[k]), 4) for row, k in zip(p, best, strict=True)]
        self.windows += len(best)
        complaint = self.health.saw(best, certainty, infer_us)
        running.failed = complaint is not None
        names = [running.model.spec.classes[k] for k in best]
        said = list(zip(windows.ends.tolist(), names, certainty, strict=True))
        return Said(running.model.version, said, complaint)

    def _remember(self, times: Times, values: Values) -> None:
        self._early.append((times, values))
        self._early_values += values.size
        while self._early_values > EARLY:
            self._early_values -= self._early.popleft()[1].size

    def _windower(self, cut: Cut) -> Windower:
        """As if a model had been there from the first reading: windows are those that the service cuts."""
        windower = Windower(cut)
        columns = [self._channels.index(name) for name in cut.channels]
        for times, values in self._early:
            windower.push(times, np.ascontiguousarray(values[:, columns], np.float32))
        self._early.clear()
        self._early_values = 0
        return windower

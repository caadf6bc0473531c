"""Has the world changed since the running version learnt? Three signals, and a detector on each.

Each signal is a number from 0 to 1 for every fresh window, and rises when things go wrong: whether student
and teacher *disagree*; the student's *doubt*, 1 − its confidence; and whether its *features* are unusual:
further from the middle than nine tenths of the windows that the version learnt from. A detector of river
watches each: ADWIN (Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007)
or Page-Hinkley (Page, "Continuous inspection schemes", Biometrika 41, 1954).
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Sample
from iot_stream.config.triggers import DRIFT, GOES_ON
from iot_stream.device.model import softmax
from iot_stream.distill.material import Material
from iot_stream.distill.traits import Scale, Traits, traits
from iot_stream.readings import Values

DISAGREEMENT, CONFIDENCE, FEATURES = "disagreement", "confidence", "features"

_WORDS = {
    DISAGREEMENT: "disagreement with the teacher",
    CONFIDENCE: "the student's doubt",
    FEATURES: "share of unusual windows",
}

_MEMORY = 2000
"""So many of a signal's newest values are kept, to tell a rise in figures."""

_USUAL = 0.9
"""The share of what a version learnt from that counts as usual."""

_CONFIRM, _UNCONFIRMED = 50, 300
"""So many windows after a change show how large it is; after so many it was a small one."""

# Page-Hinkley on signals from 0 to 1: a rise of .2 is found after some hundred windows, one of .01 never.
_HINKLEY: dict[str, Any] = {
    "min_instances": 30,
    "delta": 0.02,
    "threshold": 15.0,
    "alpha": 0.9999,
    "mode": "up",
}


@dataclass(frozen=True)
class Fresh:
    """Windows (n, length, inputs) that were not watched before, oldest first, and what teacher and running
    student say of them: logits (n, classes)."""

    x: Values
    teacher: Values
    student: Values

    def __len__(self) -> int:
        return len(self.x)


def reference(material: Material, settings: Sample) -> Values:
    """The windows (n, length, inputs) that a round learns to follow: the recent ones of its material."""
    return material.x[np.argsort(material.ends, kind="stable")[-settings.recent :]]


class Detector(Protocol):
    """What river's detectors have in common."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> Any: ...


def detector_of(name: str, delta: float) -> Detector:
    """One of river's; `delta` (δ) bounds ADWIN's chance of a false alarm. Imported when it
    is wanted: that takes half a second."""
    from river import drift

    if name == "adwin":
        return drift.ADWIN(delta=delta)  # type: ignore[no-untyped-call]
    return drift.PageHinkley(**_HINKLEY)


class _Signal:
    """One signal's detector, and what it takes to tell a rise in figures.

    What the detector finds is a change, however small, and at first it cannot tell what came since from what
    was before. So the windows after that show how far the mean has risen.
    """

    def __init__(self, detector: Detector, rise: float) -> None:
        self._detector, self._rise = detector, rise
        self._last: deque[float] = deque(maxlen=_MEMORY)
        self._total, self._count = 0.0, 0  # since the last change
        self._low = 1.0  # the lowest mean before a change: many small rises are a large one
        self._since: list[float] | None = None  # values since a change, while it is open how large it is

    def take(self, values: NDArray[np.float64]) -> tuple[float, float, int] | None:
        """The last rise that was large enough: mean before, mean since, and over how many windows."""
        found = None
        for value in values.tolist():
            self._detector.update(value)
            self._last.append(value)
            self._total, self._count = self._total + value, self._count + 1
            if self._since is not None:
                self._since.append(value)
            if self._detector.drift_detected and self._since is None:
                found = self._changed() or found
            elif self._since is not None and len(self._since) >= _CONFIRM:
                found = self._large(self._since) or found
        return found

    def _changed(self) -> tuple[float, float, int] | None:
        """ADWIN keeps what came since the change; Page-Hinkley says only that there was one."""
        kept = int(getattr(self._detector, "width", _HINKLEY["min_instances"]))
        kept = max(1, min(kept, len(self._last) - 1))
        newest = list(self._last)[-kept:]
        before = (self._total - sum(newest)) / max(1, self._count - kept)
        self._low = min(self._low, before)
        self._total, self._count, self._since = sum(newest), kept, []
        return self._large(newest)

    def _large(self, since: list[float]) -> tuple[float, float, int] | None:
        mean, before = sum(since) / len(since), self._low
        if mean - before >= self._rise:
            self._since, self._low = None, 1.0
            return before, mean, len(since)
        if len(since) >= _UNCONFIRMED and since is self._since:
            self._since = None
        return None


class Alarm(NamedTuple):
    """A rise of a signal's mean."""

    signal: str
    before: float
    since: float
    windows: int

    @property
    def reason(self) -> str:
        rose = f"rose from {self.before:.2f} to {self.since:.2f} over {self.windows} windows"
        return f"{DRIFT}: {_WORDS[self.signal]} {rose}"


class _Usual:
    """What windows are usually like: how far from the middle their traits are, for nine tenths of them."""

    def __init__(self, reference: Values) -> None:
        found = traits(reference)
        self._scale = Scale.of(found)
        self._reach = float(np.quantile(self._distance(found), _USUAL))

    def _distance(self, found: Traits) -> NDArray[np.float64]:
        return np.asarray(np.abs(self._scale.measure(found)).mean(axis=1), np.float64)

    def beyond(self, x: Values) -> NDArray[np.float64]:
        """1 for windows (n, length, inputs) that are unusual, else 0."""
        return np.asarray(self._distance(traits(x)) > self._reach, np.float64)


class Watch:
    """The signals of one pipeline; `reference` (n, length, inputs): what the running version learnt from.

    `delta` is ADWIN's δ, `rise` the least rise of a mean that is worth a round. Knows no clock, and nothing
    random: the same windows raise the same alarms.
    """

    def __init__(
        self, detector: str, signals: tuple[str, ...], delta: float, rise: float, reference: Values
    ) -> None:
        self._names = signals
        self._detector, self._delta, self._rise = detector, delta, rise
        self.alarm: Alarm | None = None
        self.answered = False  # a round has started since the alarm
        self._total, self._count = 0.0, 0  # of the alarm's signal since then
        self._usual = _Usual(reference)
        self._signals = {name: self._new() for name in self._names}

    def learnt(self, reference: Values) -> None:
        """Another version runs. If it is the answer to an alarm, what it learnt from is no news any more.

        Else all goes on: a round that happened to start when a drift began must not hide it.
        """
        if self.alarm is not None:
            self._usual = _Usual(reference)
            self._signals |= {name: self._new() for name in self._names if name == FEATURES}

    def _new(self) -> _Signal:
        return _Signal(detector_of(self._detector, self._delta), self._rise)

    def take(self, fresh: Fresh) -> None:
        """Windows that were not watched before, oldest first."""
        if not len(fresh):
            return
        for name, signal in self._signals.items():
            values = self._values(name, fresh)
            rise = signal.take(values)
            if rise and (self.alarm is None or self.answered):
                self.alarm, self.answered = Alarm(name, *rise), False
            elif self.alarm and self.answered and name == self.alarm.signal:
                self._total, self._count = self._total + float(values.sum()), self._count + len(values)

    def _values(self, name: str, fresh: Fresh) -> NDArray[np.float64]:
        if name == DISAGREEMENT:
            return np.asarray(fresh.teacher.argmax(axis=1) != fresh.student.argmax(axis=1), np.float64)
        if name == CONFIDENCE:
            return np.asarray(1.0 - softmax(fresh.student).max(axis=1), np.float64)
        return self._usual.beyond(fresh.x)

    def reason(self, at_least: int) -> str | None:
        """Why a round should start: a rise, or one that the last round was no answer to, as `at_least`
        windows since then show. Halfway back is an answer."""
        if self.alarm is None:
            return None
        if not self.answered:
            return self.alarm.reason
        if self._count < at_least:
            return None
        mean = self._total / self._count
        if mean <= (self.alarm.before + self.alarm.since) / 2:
            self.alarm = None
            return None
        signal = _WORDS[self.alarm.signal]
        return f"{DRIFT}: {signal} {GOES_ON} {mean:.2f}, from {self.alarm.before:.2f} before"

    def started(self) -> bool:
        """A round starts: what comes from now on shows whether it was an answer. Says whether there was an
        alarm that no round has been started for."""
        fresh = self.alarm is not None and not self.answered
        self.answered = self.alarm is not None
        self._total, self._count = 0.0, 0
        return fresh

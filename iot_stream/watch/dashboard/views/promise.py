"""Does the promise hold? Accuracy over time beside the rivals, what happened when, and the four numbers."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError, StoreError
from iot_stream.formats import Conversation, format_of
from iot_stream.store import Store
from iot_stream.watch.dashboard.progress import Step
from iot_stream.watch.dashboard.views import marks
from iot_stream.watch.dashboard.views.curves import MODELS, NOTHING, Curves
from iot_stream.watch.dashboard.views.marks import Mark, Recovery
from iot_stream.watch.dashboard.views.traffic import Traffic, Way
from iot_stream.watch.promise import STUDENT, TEACHER

log = logging.getLogger(__name__)

POINTS, FEWEST = 240, 60  # of a curve, at most; and where there are few windows
IN_A_POINT = 20  # windows, on the average, where there are enough
RECENT = 1000  # windows that the figures are about
LOOKED = 4 * RECENT  # that are looked through for those; who is silent on all of them has left
WINDOWS = 100_000  # that are known, once the past has been read
AT_FIRST = 4_000  # fewer than one look reads
LOOKS = 8  # one after the other, before what came meanwhile is too much, and the newest are read anew
FRESH_S = 1.0
DEVICES = 1000  # readings of a fleet so many times as large are counted so many times less often
LABELS = "labels"
WIDTHS = [n * SECOND * unit for unit in (1, 60, 3600, 86_400) for n in (1, 2, 5, 10, 15, 30)]

Floats = list[float | None]
T = TypeVar("T")


class Curve(msgspec.Struct):
    """Shares (0 to 1) of the windows that ended in each span of time, of which there are `windows`."""

    plain: Floats
    balanced: Floats
    windows: list[int]


class Figure(msgspec.Struct):
    """Of the newest windows on which all have spoken who have spoken at all."""

    plain: float | None
    balanced: float | None
    windows: int


class Promise(msgspec.Struct):
    """`by` what is judged: labels, or the teacher's word; `judged` windows are known by labels; `strayed`:
    labels, where none has joined a window. Times in seconds since 1970. `behind`: more of the past is being
    read. `watched`: there is a trigger for drift.
    `preparing`: how far the training is, before the first version. `unmet`: predictions, where none ends
    where a window of the service does. `numbered`: readings by which it can be told what was `lost`."""

    by: str
    clock: str
    times: list[float]
    width_s: float
    curves: dict[str, Curve]
    newest: dict[str, Figure]
    judged: int
    strayed: int
    since: float | None
    behind: bool
    marks: list[Mark]
    recovery: Recovery | None
    watched: bool
    preparing: list[Step]
    up: Way | None
    down: Way | None
    lost: int
    missed: int
    unmet: int
    readings: int
    numbered: int
    devices: int
    classes: tuple[str, ...]


class Promises:
    """Of one pipeline, kept from one look to the next.

    Who looks first sees the newest windows at once; more of the past is read on a thread of its own, and
    takes their place when it has come to the present."""

    def __init__(
        self, store: Store, name: str, pipeline: Pipeline, preparing: Callable[[], list[Step]] = list
    ) -> None:
        self._store, self._name, self._pipeline, self._preparing = store, name, pipeline, preparing
        self._cut = pipeline.cut(pipeline.student)
        self._curves = Curves(store, name, self._cut.id, AT_FIRST)
        self._by_message = _numbered_by_message(pipeline)
        self._traffic = Traffic(store, name)
        self._reports = marks.Reports(store, name)
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._count_again = float("-inf")
        self.readings: dict[str, int] = {}
        """Of each device, as of the last look."""
        self.numbered: dict[str, int] = {}
        """Those of them that tell whether others were lost."""
        self.behind = True
        """More of the past is being read."""

    @property
    def cut(self) -> str:
        """Of the windows."""
        return self._cut.id

    @property
    def clock(self) -> str:
        """Of the pipeline: wall or stream."""
        return self._pipeline.clock

    @property
    def all_sent(self) -> bool:
        """Else devices send few of their windows, and most of their predictions are of others."""
        return self._pipeline.upload is None

    def view(self, query: Mapping[str, str]) -> Promise:
        """`by`: labels or teacher; `from`, `to`: seconds, of a closer look."""
        with self._lock:
            self._look()
            return self._view(query)

    def judged(self, by: Callable[[Curves], T]) -> T:
        """What is made of the windows that are known."""
        with self._lock:
            self._look()
            return by(self._curves)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < FRESH_S:
            return
        first = self._looked == float("-inf")
        if now >= self._count_again:
            self.readings = self._store.journal.received(self._name)
            self.numbered = self._store.journal.numbered(self._name, self._by_message)
            self._count_again = now + FRESH_S * max(1, len(self.readings) / DEVICES)
        for _ in range(0 if first else LOOKS):  # of a large fleet much comes from one look to the next
            self._curves.look()
            if not self._curves.behind:
                break
        if first or self._curves.behind:  # or so much has come since somebody last looked
            self._curves = Curves(self._store, self._name, self._cut.id, AT_FIRST)
            self._curves.look()
            self.behind = True
            threading.Thread(target=self._deepen, name=f"dashboard-{self._name}", daemon=True).start()
        self._looked = now

    def _deepen(self) -> None:
        deep = Curves(self._store, self._name, self._cut.id, WINDOWS)
        try:
            deep.look()
            while deep.behind:
                deep.look()
        except StoreError as error:  # the next look that is too far behind tries again
            log.warning("%s", error)
            return
        with self._lock:
            self._curves, self.behind = deep, False

    def _view(self, query: Mapping[str, str]) -> Promise:
        curves, said = self._curves, self._curves.said
        judged = int((curves.truth != NOTHING).sum())
        by = query.get("by") or (LABELS if judged else TEACHER)
        if by not in (LABELS, TEACHER):
            raise ConfigError(f"by: {by!r} is neither {LABELS} nor {TEACHER}")
        truth = curves.truth if by == LABELS else said[TEACHER]
        models = MODELS if by == LABELS else MODELS[:2]
        known = truth != NOTHING
        if "from" in query and "to" in query:
            low, high = _seconds(query, "from"), _seconds(query, "to")
            known &= (curves.ends >= low * SECOND) & (curves.ends <= high * SECOND)
        rows = np.flatnonzero(known)
        spans = _Spans.over(curves.ends[rows], max(FEWEST, min(POINTS, len(rows) // IN_A_POINT)))
        place = spans.place(curves.ends[rows])
        readings = self.readings
        rounds = self._store.overview.rounds_outlined(self._name)
        return Promise(
            by=by,
            clock=self._pipeline.clock,
            times=spans.middles,
            width_s=spans.width / SECOND,
            curves={
                name: self._curve(truth[rows], said[name][rows], place, len(spans.middles)) for name in models
            },
            newest=self._newest(truth, {name: said[name] for name in models}),
            judged=judged,
            strayed=0 if judged or self.behind else self._store.overview.labels(self._name),
            since=float(curves.ends.min()) / SECOND if len(curves.ends) else None,
            behind=self.behind,
            marks=marks.of(self._store, self._name, self._pipeline, rounds, self._reports.reason),
            recovery=marks.recovery(self._store, self._name, rounds, self._reports),
            watched=bool(self._pipeline.triggers.drift),
            preparing=[] if len(curves.ends) else self._preparing(),
            up=self._traffic.up(readings),
            down=self._traffic.down(len(readings)),
            lost=sum(n for _, reason, n in self._store.faults.counters(self._name) if reason == "lost"),
            missed=self._cut.hop * self._unjudged(),
            unmet=self._unmet(),
            readings=sum(readings.values()),
            numbered=sum(self.numbered.values()),
            devices=len(readings),
            classes=self._pipeline.classes,
        )

    def _curve(
        self, truth: NDArray[np.int8], said: NDArray[np.int8], place: NDArray[np.int64], points: int
    ) -> Curve:
        """Windows (n,) whose truth is known, each of the point at its `place`."""
        classes = len(self._pipeline.classes)
        spoken = said != NOTHING
        cell = place[spoken] * classes + truth[spoken]
        all_ = np.bincount(cell, minlength=points * classes).reshape(points, classes)
        right = said[spoken] == truth[spoken]
        hits = np.bincount(cell[right], minlength=points * classes).reshape(points, classes)
        return Curve(_shares(hits.sum(1), all_.sum(1)), _means(hits, all_), all_.sum(1).tolist())

    def _newest(self, truth: NDArray[np.int8], said: dict[str, NDArray[np.int8]]) -> dict[str, Figure]:
        rows = np.flatnonzero(truth != NOTHING)[-LOOKED:]
        heard = [name for name, column in said.items() if (column[rows] != NOTHING).any()]
        for name in heard:
            rows = rows[said[name][rows] != NOTHING]
        rows = rows[-RECENT:]
        nothing = Figure(None, None, 0)
        return {
            name: self._figure(truth[rows], column[rows]) if name in heard else nothing
            for name, column in said.items()
        }

    def _figure(self, truth: NDArray[np.int8], said: NDArray[np.int8]) -> Figure:
        curve = self._curve(truth, said, np.zeros(len(truth), np.int64), 1)
        return Figure(curve.plain[0], curve.balanced[0], len(truth))

    def _unjudged(self) -> int:
        """Windows on which a device said nothing though it had a model: it spoke before and after."""
        devices = self._curves.devices
        if not len(devices):
            return 0
        spoke = self._curves.said[STUDENT] != NOTHING
        rows = np.arange(len(devices))
        first = np.full(int(devices.max()) + 1, len(devices))
        last = np.full(len(first), -1)
        np.minimum.at(first, devices[spoke], rows[spoke])
        np.maximum.at(last, devices[spoke], rows[spoke])
        return int((~spoke & (rows > first[devices]) & (rows < last[devices])).sum())

    def _unmet(self) -> int:
        """Predictions that should have met a window by now, where none has."""
        ends = self._curves.ends
        if not self.all_sent or not len(ends) or (self._curves.said[STUDENT] != NOTHING).any():
            return 0
        first, last = int(ends.min()), int(ends.max())
        newest = self._store.overview.newest_predictions(self._name, RECENT)
        return sum(first <= end <= last for _, end, _ in newest)


def _numbered_by_message(pipeline: Pipeline) -> list[int]:
    """Sources that number their messages, whatever these hold."""
    makers = [format_of(source.format).make for source in pipeline.sources]
    return [
        place
        for place, make in enumerate(makers)
        if isinstance(make, type) and issubclass(make, Conversation)
    ]


class _Spans(NamedTuple):
    """Of one round width each, so many that a curve has no more points than it may."""

    first: int
    width: int
    middles: list[float]

    @classmethod
    def over(cls, ends: NDArray[np.int64], points: int) -> "_Spans":
        if not len(ends):
            return cls(0, SECOND, [])
        low, high = int(ends.min()), int(ends.max())
        width = next((each for each in WIDTHS if (high - low) / each < points - 1), WIDTHS[-1])
        first = low // width * width
        count = (high - first) // width + 1
        return cls(first, width, [(first + (i + 0.5) * width) / SECOND for i in range(count)])

    def place(self, ends: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray((ends - self.first) // self.width)


def _seconds(query: Mapping[str, str], name: str) -> float:
    try:
        return float(query[name])
    except ValueError as error:
        raise ConfigError(f"{name}: {query[name]!r} is no number of seconds") from error


def _shares(hits: NDArray[np.int64], all_: NDArray[np.int64]) -> Floats:
    return [round(h / n, 4) if n else None for h, n in zip(hits.tolist(), all_.tolist(), strict=True)]


def _means(hits: NDArray[np.int64], all_: NDArray[np.int64]) -> Floats:
    """Of the recalls of the classes that occur."""
    occurs: NDArray[np.bool_] = all_ > 0
    recalls = np.where(occurs, hits / np.maximum(all_, 1), 0.0).sum(1)
    classes = occurs.sum(1)
    return [round(r / n, 4) if n else None for r, n in zip(recalls.tolist(), classes.tolist(), strict=True)]

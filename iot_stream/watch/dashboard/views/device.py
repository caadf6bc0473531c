"""One device: what it measures and says, what it runs, what happened to it, what is not learnt from it."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from iot_stream import labelling
from iot_stream.clock import SECOND
from iot_stream.config import Pipeline
from iot_stream.config.cohorts import ALL
from iot_stream.errors import ConfigError
from iot_stream.store import Store
from iot_stream.store.inspection import Event
from iot_stream.store.journal import Prediction
from iot_stream.watch.dashboard.views.asked import Query, number, seconds
from iot_stream.watch.dashboard.views.fleet import ENOUGH
from iot_stream.watch.dashboard.views.readings import Lines, lines
from iot_stream.watch.promise import named, rivals_of

MINUTES, MOST_MINUTES = 10.0, 24 * 60.0
WINDOWS, EVENTS = 2000, 50
HOUR = 3600 * SECOND
STABLE = "stable"


class Said(msgspec.Struct):
    """Its word on its windows: `times` of their ends (seconds), index of the class and certainty; `labels`,
    and `truth`: the label, or else what the teacher made of the same window; −1 where there is none."""

    times: list[float]
    classes: list[int]
    certainty: list[float]
    versions: list[int]
    labels: list[int]
    truth: list[int]


class Last(msgspec.Struct):
    """What it said last, whenever that was."""

    time: float
    value: int
    certainty: float
    version: int


class Word(msgspec.Struct):
    """The teacher's, on its own windows, which are others where readings were lost on the way."""

    times: list[float]
    classes: list[int]


class Span(msgspec.Struct):
    """A time that is not learnt from; `id` to take it back by. `device` "" is all."""

    id: int
    device: str
    start: float
    end: float
    reason: str
    who: str


class Hold(msgspec.Struct):
    device: str
    since: float
    reason: str
    who: str


class Logged(msgspec.Struct):
    """`report` as the device sent it."""

    at: float
    event: str
    version: int
    report: msgspec.Raw


class State(msgspec.Struct):
    """What it runs, and what the stable slot carries for its cohort. `update`: "none" before a first model,
    "current", "behind", "pinned", "trial" (it runs a newer one than the stable), "refused" or "left" (it
    refused what is offered, or left it again)."""

    known: bool
    online: bool
    seen: float | None
    cohort: str
    version: int
    stable: int
    slot: str
    update: str
    runtime: str
    boot: str


class Device(msgspec.Struct):
    """`since` to `until`: what is shown of it, in seconds; `now` on the pipeline's clock. `segment`: to ask
    for what comes `after`. `whole`: all readings of the time were looked through. `unmet`: its predictions,
    where none ends where a window of the service does."""

    now: float
    clock: str
    device: str
    classes: tuple[str, ...]
    since: float
    until: float
    readings: Lines
    segment: int
    whole: bool
    said: Said
    last: Last | None
    unmet: int
    teacher: Word
    state: State
    events: list[Logged]
    problems: dict[str, int]
    quarantined: int
    exclusions: list[Span]
    replaced: list[float]
    holds: list[Hold]


class View:
    """Of one pipeline."""

    def __init__(self, store: Store, name: str, pipeline: Pipeline) -> None:
        self._store, self._name, self._pipeline = store, name, pipeline
        self._cut = pipeline.cut(pipeline.student).id
        self._all_sent = pipeline.upload is None

    def view(self, query: Query) -> Device:
        """`device`; the newest `minutes`, or those that end at `until` (seconds). Of readings only those in
        segments `after`, of what it said only what is later than `spoken`. Raises ConfigError."""
        device = query.get("device", "")
        state = self._state(device)
        newest = self._store.journal.now(self._name)
        until = int(number(query, "until", newest / SECOND + 1) * SECOND)
        minutes = number(query, "minutes", MINUTES)
        if not 0 < minutes <= MOST_MINUTES:
            raise ConfigError(f"minutes: {minutes:g}; ask for up to {MOST_MINUTES:g}")
        since = until - int(minutes * 60 * SECOND)
        if not state.known and device not in self._store.journal.readings(self._name):
            raise ConfigError(f"{self._name} knows no device {device!r}; the fleet's list shows all")
        # What was read while the broker was away comes later than it was measured; an hour is waited for.
        stretch = self._store.inspection.readings(
            self._name, device, since, until + HOUR, after=int(number(query, "after", 0))
        )
        spoken = max(since, int(number(query, "spoken", 0) * SECOND))
        teacher = self._teacher(device, spoken, until)
        ever = self._store.inspection.spoken(self._name, self._cut, device)
        return Device(
            now=seconds(newest),
            clock=self._pipeline.clock,
            device=device,
            classes=self._pipeline.classes,
            since=seconds(since),
            until=seconds(until),
            readings=lines(stretch.blocks, since, until),
            segment=stretch.segment,
            whole=stretch.whole,
            said=self._said(device, spoken, until, teacher),
            last=_last(ever.last),
            unmet=ever.due if self._all_sent and ever.due >= ENOUGH and not ever.met else 0,
            teacher=Word([seconds(end) for end in teacher], list(teacher.values())),
            state=state,
            events=[_logged(each) for each in self._store.inspection.events(self._name, device, EVENTS)],
            problems=self._store.inspection.problems(self._name, device),
            quarantined=self._store.inspection.quarantined(self._name, device),
            exclusions=self._exclusions(device),
            replaced=[seconds(at) for at in self._store.scope.replacements(self._name).get(device, [])],
            holds=[
                Hold(each.device, seconds(each.since), each.reason, each.who)
                for each in self._store.scope.holds(self._name)
                if each.device in ("", device)
            ],
        )

    def _teacher(self, device: str, since: int, until: int) -> dict[int, int]:
        """End of a window (ns) → class, of those on which it had something to say."""
        rivals = rivals_of(self._store, self._name)
        if rivals is None:
            return {}
        rows = self._store.inspection.outputs(self._name, rivals[1], device, since, until, WINDOWS)
        classes = named(logits for _, logits in rows)
        told = zip(rows, classes, strict=True)
        return {end: value for (end, _), value in told if value != labelling.NO_LABEL}

    def _said(self, device: str, since: int, until: int, teacher: Mapping[int, int]) -> Said:
        ask = self._store.inspection
        said = ask.predictions(self._name, device, since, until, WINDOWS)
        ends = np.array([each.time for each in said], np.int64)
        known = ask.labels(self._name, device, since, until, WINDOWS)
        labels, _ = labelling.join(np.full(len(said), device), ends, ends, known)
        word = np.array([teacher.get(each.time, labelling.NO_LABEL) for each in said], np.int64)
        return Said(
            [seconds(each.time) for each in said],
            [each.value for each in said],
            [round(each.p, 3) for each in said],
            [each.version for each in said],
            labels.tolist(),
            np.where(labels == labelling.NO_LABEL, word, labels).tolist(),
        )

    def _state(self, device: str) -> State:
        known = self._store.registry.device(self._name, device)
        cohort = self._store.cohorts.members(self._name).get(device, known.cohort if known else ALL)
        carried = self._store.registry.released(self._name, cohort, STABLE, 1)
        stable = carried[0] if carried else 0
        version = known.version if known else 0
        status = self._status(device)
        rollout = self._store.rollouts.last(self._name, cohort)
        offered = max(stable, rollout.version if rollout and rollout.under_way else 0)
        return State(
            known=known is not None,
            online=known.online if known else False,
            seen=seconds(known.seen) if known else None,
            cohort=cohort,
            version=version,
            stable=stable,
            slot=STABLE if version <= stable else "canary",
            update="pinned" if known and known.pinned else self._update(device, version, stable, offered),
            runtime=str(status.get("runtime", "")),
            boot=str(status.get("boot", "")),
        )

    def _status(self, device: str) -> dict[str, Any]:
        text = self._store.inspection.status(self._name, device)
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}

    def _update(self, device: str, version: int, stable: int, offered: int) -> str:
        if not version:
            return "none"
        if version == stable:
            refused = self._left(device, offered) if offered > stable else ""
            return refused or "current"
        return "trial" if version > stable else self._left(device, stable) or "behind"

    def _left(self, device: str, offered: int) -> str:
        """Whether it refused a version, or left it again."""
        for each in self._store.inspection.events(self._name, device, EVENTS):
            report = msgspec.json.decode(each.report, type=dict[str, Any])
            if each.event == "rejected" and report.get("offered") == offered:
                return "refused"
            if each.event == "rolled_back" and report.get("previous") == offered:
                return "left"
        return ""

    def _exclusions(self, device: str) -> list[Span]:
        return [
            Span(each.id, each.device, seconds(each.start), seconds(each.end), each.reason, each.who)
            for each in self._store.scope.exclusions(self._name)
            if each.device in ("", device)
        ]


def _last(each: Prediction | None) -> Last | None:
    return each and Last(seconds(each.time), each.value, round(each.p, 3), each.version)


def _logged(event: Event) -> Logged:
    return Logged(seconds(event.at), event.event, event.version, msgspec.Raw(event.report.encode()))

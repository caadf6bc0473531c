"""The figures of a service, read from its store each time that somebody asks; nothing else ever pays for
them."""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from iot_stream.clock import SECOND
from iot_stream.config import Config, Metrics, Pipeline
from iot_stream.store import Store
from iot_stream.store.overview import Ended, Events, Release
from iot_stream.store.rollouts import ABORTED, DONE, PAUSED, RUNNING, SUPERSEDED
from iot_stream.store.totals import BYTES, SEEN, WINDOWS
from iot_stream.watch import promise
from iot_stream.watch.metrics import Sample

SLOT = "stable"
VERSIONS = 10  # that have a series of their own
EVENTS = ("applied", "rejected", "rolled_back", "health")
OUTCOMES = ("released", "rejected", "held", "failed", "interrupted")
ENDED = (DONE, ABORTED, SUPERSEDED)  # how a rollout can be over
OTHER = "other"


class _Cost(msgspec.Struct, frozen=True):
    seconds: float = 0.0
    cpu_seconds: float = 0.0


class _Gate(msgspec.Struct, frozen=True):
    windows: int = 0
    candidate: float = 0.0
    running: float = 0.0
    lower: float = 0.0


class _Trust(msgspec.Struct, frozen=True):
    doubt: str = ""


class _Report(msgspec.Struct, frozen=True):
    """What is shown of a round's report."""

    cost: _Cost = _Cost()
    gate: _Gate = _Gate()
    trust: _Trust = _Trust()
    version: int = 0


class Figures:
    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        settings = config.metrics or Metrics()
        self._histories = {name: _History(store, name) for name in config.pipelines}
        self._most = settings.devices

    def samples(self) -> Iterator[Sample]:
        """Raises StoreError."""
        yield Sample("store_bytes", self._store.used())
        yield Sample("store_limit_bytes", self._config.store_limit)
        for name, pipeline in self._config.pipelines.items():
            yield from self._input(name)
            yield from self._windows(name, pipeline)
            releases = self._store.overview.releases(name, SLOT)
            yield from self._fleet(name, {each.cohort: each.version for each in releases})
            yield from self._releases(name, releases)
            yield from self._rollouts(name, pipeline)
            yield from self._histories[name].samples()
            yield from promise.samples(self._store, name)
            yield Sample("loss_alarm_ratio", pipeline.loss_alarm, (name,))

    def _input(self, name: str) -> Iterator[Sample]:
        """A device has series of its own where there are few. Which few of many have would change from time
        to time, and a sum of all others would then fall: so it is all or none."""
        readings = self._store.journal.received(name)
        # Of losses the first one is to be seen as a rise too, hence from zero on.
        problems = {(device, "lost"): 0 for device in readings}
        problems |= {(device, reason): n for device, reason, n in self._store.faults.counters(name)}
        if len(readings.keys() | {device for device, _ in problems}) > self._most:
            readings = {"": sum(readings.values())}
            problems = _together(problems)
        for device, n in readings.items():
            yield Sample("readings_total", n, (name, device))
        for (device, reason), n in problems.items():
            yield Sample("input_problems_total", n, (name, device, reason))
        yield Sample("quarantined_messages", self._store.overview.quarantined(name), (name,))

    def _windows(self, name: str, pipeline: Pipeline) -> Iterator[Sample]:
        totals, newest = self._store.totals.of(name), self._store.journal.now(name)
        yield Sample("received_bytes_total", totals.get(BYTES, 0), (name,))
        yield Sample("sampled_windows_total", totals.get(SEEN, 0), (name,))
        if newest:
            yield Sample("newest_reading_timestamp_seconds", newest / SECOND, (name, pipeline.clock))
        for model, network in (("student", pipeline.student), ("teacher", pipeline.teacher)):
            cut = pipeline.cut(network).id
            yield Sample("windows_total", totals.get(WINDOWS + cut, 0), (name, model))
            if end := self._store.overview.newest_window(name, cut):
                yield Sample("newest_window_timestamp_seconds", end / SECOND, (name, model))
            since = self._store.overview.waiting_since(name, self._store.memory.position(name, cut))
            lag = max(0, newest - since) / SECOND if since else 0
            yield Sample("cutting_lag_seconds", lag, (name, model))

    def _fleet(self, name: str, released: Mapping[str, int]) -> Iterator[Sample]:
        devices = self._store.registry.devices(name)
        online = [each for each in devices if each.online]
        behind = sum(not each.pinned and each.version < released.get(each.cohort, 0) for each in online)
        held = self._store.scope.holds(name)
        yield Sample("devices", len(devices), (name,))
        yield Sample("devices_online", len(online), (name,))
        yield Sample("devices_behind", behind, (name,))
        yield Sample("devices_held", sum(each.device != "" for each in held), (name,))
        yield Sample("learning_paused", any(each.device == "" for each in held), (name,))
        running = Counter(each.version for each in devices).most_common()
        for version, n in running[:VERSIONS]:
            yield Sample("devices_running", n, (name, str(version)))
        if rest := sum(n for _, n in running[VERSIONS:]):
            yield Sample("devices_running", rest, (name, OTHER))

    def _releases(self, name: str, releases: list[Release]) -> Iterator[Sample]:
        yield Sample("cohorts", len(releases), (name,))
        if len(releases) > self._most:
            return
        for each in releases:
            yield Sample("released_version", each.version, (name, each.cohort))
            yield Sample("released_timestamp_seconds", each.signed / SECOND, (name, each.cohort))
            yield Sample("bundle_bytes", each.size, (name, each.cohort))

    def _rollouts(self, name: str, pipeline: Pipeline) -> Iterator[Sample]:
        found = self._store.rollouts.of(name)
        states = Counter(each.state for each in found)
        yield Sample("rollouts_running", states[RUNNING] + states[PAUSED], (name,))
        yield Sample("rollouts_paused", states[PAUSED], (name,))
        for state in ENDED:
            yield Sample("rollouts_total", states[state], (name, state))
        under_way = [each for each in found if each.under_way]
        stages = pipeline.release.stages
        for each in under_way if len(under_way) <= self._most else ():
            percent = stages[min(each.stage, len(stages) - 1)]
            yield Sample("rollout_stage_ratio", float(percent) / 100, (name, each.cohort))


def _together(problems: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    sums: Counter[tuple[str, str]] = Counter()
    for (_, reason), n in problems.items():
        sums["", reason] += n
    return dict(sums)


class _History:
    """Rounds and reports of devices, each read once."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._outcomes = Counter(dict.fromkeys(OUTCOMES, 0))
        self._events = Counter(dict.fromkeys((*EVENTS, OTHER), 0))
        self._cpu_seconds = 0.0
        self._last: tuple[Ended, _Report] | None = None
        self._bettered: tuple[Ended, _Report] | None = None  # the newest round that did
        self._recovered = 0  # when a device last took the version of that round
        self._last_event = 0

    def samples(self) -> Iterator[Sample]:
        # Rounds after events: what a device has applied is then of a round that is known.
        events = self._store.overview.events(self._name, self._last_event)
        after = self._last[0].ended if self._last else 0
        for each in self._store.overview.rounds_ended(self._name, after):
            self._end(each)
        for each_event in events:
            self._hear(each_event)
        label = (self._name,)
        for outcome, n in self._outcomes.items():
            yield Sample("rounds_total", n, (self._name, outcome))
        for event, n in self._events.items():
            yield Sample("device_events_total", n, (self._name, event))
        yield Sample("rounds_running", self._store.overview.rounds_running(self._name), label)
        yield Sample("round_cpu_seconds_total", self._cpu_seconds, label)
        yield Sample("teacher_held", bool(self._last and self._last[1].trust.doubt), label)
        if self._last:
            ended, report = self._last
            yield Sample("last_round_seconds", (ended.ended - ended.started) / SECOND, label)
            yield Sample("last_round_timestamp_seconds", ended.ended / SECOND, label)
            if report.gate.windows:
                yield Sample("gate_candidate_ratio", report.gate.candidate, label)
                yield Sample("gate_running_ratio", report.gate.running, label)
        if self._bettered and self._recovered:
            yield Sample("recovery_seconds", (self._recovered - self._bettered[0].started) / SECOND, label)

    def _end(self, ended: Ended) -> None:
        report = msgspec.json.decode(ended.report, type=_Report)
        self._outcomes[ended.outcome] += 1
        self._cpu_seconds += report.cost.cpu_seconds
        self._last = ended, report
        if ended.outcome == "released" and report.gate.lower > 0:
            self._bettered, self._recovered = (ended, report), 0

    def _hear(self, events: Events) -> None:
        self._events[events.event if events.event in EVENTS else OTHER] += events.times
        self._last_event = max(self._last_event, events.last_id)
        if events.event != "applied" or self._bettered is None:
            return
        ended, report = self._bettered
        if (events.cohort, events.version) == (ended.cohort, report.version):
            self._recovered = max(self._recovered, events.newest)

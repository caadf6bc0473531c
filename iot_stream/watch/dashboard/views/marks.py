"""What happened when, beside the curves: drifts, rounds and swaps; and what came of the last drift."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.config import Pipeline
from iot_stream.config.triggers import DRIFT, GOES_ON
from iot_stream.store import Store
from iot_stream.store.overview import Outline

MOST = 300  # rounds that are marked: the newest


class Mark(msgspec.Struct):
    """`time` in seconds on the curves' clock; `kind`: drift, swap or the outcome of a round, which is of the
    moment when it ended."""

    time: float
    kind: str
    words: str


class Recovery(msgspec.Struct):
    """Since the last drift was noticed, when `round` began: `seconds` until all devices of its cohort ran a
    version that was better than the one before, which is `version`; None: they do not, and `words` say what
    came."""

    round: str
    trigger: str
    seconds: float | None
    version: int
    words: str


class _Gate(msgspec.Struct, frozen=True):
    reason: str = ""
    lower: float = 0.0


class _Report(msgspec.Struct, frozen=True):
    gate: _Gate = _Gate()
    error: str = ""

    @property
    def better(self) -> bool:
        """Even by the least that the gate could say of it."""
        return self.gate.lower > 0


_REPORTS = msgspec.json.Decoder(_Report)  # made once: threads that do so at the same time crash msgspec


class Reports:
    """What rounds say of what they came to; a report, which may be long, is read once."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._known: dict[str, _Report] = {}

    def reason(self, each: Outline) -> str:
        """ "" of one that runs."""
        report = self._of(each)
        return report.gate.reason or report.error

    def bettered(self, each: Outline) -> bool:
        """Whether its version went out because it is better, not because it is no worse."""
        return bool(each.version) and self._of(each).better

    def _of(self, each: Outline) -> _Report:
        if each.ended is None:
            return _Report()
        if each.id not in self._known:
            row = self._store.inspection.round(self._name, each.id)
            self._known[each.id] = _REPORTS.decode(row.report) if row else _Report()
        return self._known[each.id]


def of(
    store: Store, name: str, pipeline: Pipeline, rounds: Sequence[Outline], why: Callable[[Outline], str]
) -> list[Mark]:
    newest = rounds[-MOST:]
    marks = []
    for each in newest:
        began = each.stream_started if pipeline.clock == "stream" else each.started
        reason = why(each)
        words = f"{each.outcome or 'running'}: {f'{reason} ({each.trigger})' if reason else each.trigger}"
        if each.version:
            words = f"version {each.version} {words}"
        if each.trigger.startswith(DRIFT) and GOES_ON not in each.trigger:
            marks.append(Mark(began / SECOND, DRIFT, each.trigger))
        if each.trigger != "bootstrap":
            moment = began if each.ended is None else _on_clock(each.ended, pipeline, newest)
            marks.append(Mark(moment / SECOND, each.outcome, f"{each.id}: {words}"))
    for swap in store.overview.swaps(name, newest[0].started if newest else 0):
        devices = "1 device" if swap.devices == 1 else f"{swap.devices} devices"
        moment = _on_clock(swap.oldest, pipeline, newest)
        marks.append(Mark(moment / SECOND, "swap", f"version {swap.version} was taken by {devices}"))
    return sorted(marks, key=lambda mark: mark.time)


def recovery(store: Store, name: str, rounds: Sequence[Outline], reports: Reports) -> Recovery | None:
    since = _since_drift(rounds)
    if not since:
        return None
    drift = since[0]
    better = next((each.version for each in since if reports.bettered(each)), 0)
    if not better:
        return Recovery(drift.id, drift.trigger, None, 0, _in_vain(since))
    following = [each for each in store.registry.devices(name) if not each.pinned]
    members = [each for each in following if each.cohort == drift.cohort]
    there = [each for each in members if each.online or each.version >= better]
    on = sum(each.version >= better for each in there)
    taken = store.overview.first_taken(name, better, drift.started)
    times = [at for device, at in taken.items() if device in {each.device for each in there}]
    devices = "the device" if len(there) == 1 else f"all {len(there)} devices"
    if on == len(there) and times:
        seconds = round((max(times) - drift.started) / SECOND, 2)
        return Recovery(drift.id, drift.trigger, seconds, better, f"version {better} on {devices}")
    words = f"version {better} is better, and runs on {on} of {len(there)}"
    return Recovery(drift.id, drift.trigger, None, better, words)


def _since_drift(rounds: Sequence[Outline]) -> Sequence[Outline]:
    """Those of the cohort that drifted last, from the round on that the drift began: not one that went on."""
    drifts = [each for each in rounds if each.trigger.startswith(DRIFT)]
    own = [each for each in rounds if drifts and each.cohort == drifts[-1].cohort]
    began = [i for i, each in enumerate(own) if each.trigger.startswith(DRIFT)]
    fresh = [i for i in began if GOES_ON not in own[i].trigger]
    return own[(fresh or began)[-1] :] if drifts else []


def _in_vain(since: Sequence[Outline]) -> str:
    """What rounds since a drift came to, where none came to a better version."""
    if released := [each.version for each in since if each.version]:
        return f"version {released[-1]} has come since, and was no better"
    ended = [each for each in since if each.ended is not None]
    if not ended:
        return "a round is under way"
    rounds, they = ("1 round", "it") if len(ended) == 1 else (f"{len(ended)} rounds", "they")
    judged = any(each.outcome != "held" for each in ended)
    return f"{rounds} since {'found nothing better' if judged else f'could not judge what {they} learnt'}"


def _on_clock(at: int, pipeline: Pipeline, rounds: Sequence[Outline]) -> float:
    """A moment of wall time on the curves' clock. Where that is a recording's, rounds know both."""
    known = [each for each in rounds if each.stream_started]
    if pipeline.clock != "stream" or not known:
        return at
    walls, streams = [each.started for each in known], [each.stream_started for each in known]
    return float(np.interp(at, walls, streams))

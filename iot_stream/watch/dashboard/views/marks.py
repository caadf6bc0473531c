"""What happened when, beside the curves: drifts, rounds and swaps; and how long the last drift was felt."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from iot_stream.clock import SECOND
from iot_stream.config import Pipeline
from iot_stream.store import Store
from iot_stream.store.overview import Outline

DRIFT = "drift"
MOST = 300  # rounds that are marked: the newest


class Mark(msgspec.Struct):
    """`time` in seconds on the curves' clock; `kind`: drift, swap or the outcome of a round."""

    time: float
    kind: str
    words: str


class Recovery(msgspec.Struct):
    """After the last drift that led to a release: `seconds` from when it was noticed to when the last of so
    many devices ran the new version; `all`: of those online none is left."""

    round: str
    version: int
    trigger: str
    seconds: float
    devices: int
    all: bool


class _Gate(msgspec.Struct, frozen=True):
    reason: str = ""


class _Report(msgspec.Struct, frozen=True):
    gate: _Gate = _Gate()
    error: str = ""


class Reasons:
    """Why rounds came to what they came to; a report, which may be long, is read once."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._known: dict[str, str] = {}

    def of(self, each: Outline) -> str:
        """ "" of one that runs."""
        if each.ended is None:
            return ""
        if each.id not in self._known:
            row = self._store.inspection.round(self._name, each.id)
            report = msgspec.json.decode(row.report, type=_Report) if row else _Report()
            self._known[each.id] = report.gate.reason or report.error
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
        if each.trigger.startswith(DRIFT):
            marks.append(Mark(began / SECOND, DRIFT, each.trigger))
        if each.trigger != "bootstrap":
            marks.append(Mark(began / SECOND, each.outcome, f"{each.id}: {words}"))
    for swap in store.overview.swaps(name, newest[0].started if newest else 0):
        devices = "1 device" if swap.devices == 1 else f"{swap.devices} devices"
        moment = _on_clock(swap.oldest, pipeline, newest)
        marks.append(Mark(moment / SECOND, "swap", f"version {swap.version} was taken by {devices}"))
    return sorted(marks, key=lambda mark: mark.time)


def recovery(store: Store, name: str, rounds: Sequence[Outline]) -> Recovery | None:
    drifted = [each for each in rounds if each.version and each.trigger.startswith(DRIFT)]
    if not drifted:
        return None
    last = drifted[-1]
    taken = store.overview.first_taken(name, last.version, last.started)
    if not taken:
        return None
    online = {each.device for each in store.registry.devices(name) if each.online}
    seconds = (max(taken.values()) - last.started) / SECOND
    superseded = any(each.version > last.version for each in rounds if each.cohort == last.cohort)
    whole = superseded or online <= taken.keys()
    return Recovery(last.id, last.version, last.trigger, round(seconds, 2), len(taken), whole)


def _on_clock(at: int, pipeline: Pipeline, rounds: Sequence[Outline]) -> float:
    """A moment of wall time on the curves' clock. Where that is a recording's, rounds know both."""
    known = [each for each in rounds if each.stream_started]
    if pipeline.clock != "stream" or not known:
        return at
    walls, streams = [each.started for each in known], [each.stream_started for each in known]
    return float(np.interp(at, walls, streams))

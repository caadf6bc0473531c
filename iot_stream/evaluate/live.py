"""A live run held against its ledger: was anything lost, doubled or missed, and did the student recover."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND
from iot_stream.config import Pipeline
from iot_stream.evaluate import metrics
from iot_stream.evaluate.scores import NOTHING, Scores, collect
from iot_stream.readings import Label
from iot_stream.store import Store
from iot_stream.store.registry import Round, Version
from iot_stream.store.rollouts import ABORTED
from simulator.ledger import Ledger

Numbers = dict[str, float | None]
Event = tuple[int, str, str, int, int, dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """All that a summary and a report are made from."""

    pipeline: Pipeline
    ledger: Ledger
    scores: Scores
    rounds: list[Round]
    versions: list[Version]
    events: list[Event]
    counters: list[tuple[str, str, int]]
    stored: list[tuple[str, int, str, int, int]]
    readings: int
    broker: str
    called_off: dict[int, str]
    """Version → why."""

    @property
    def newest(self) -> int:
        """That has not been called off."""
        return max((v.version for v in self.versions if v.version not in self.called_off), default=0)

    @property
    def ended(self) -> list[Round]:
        """Rounds that have an outcome; what was made before the first is none."""
        return [each for each in self.rounds if each.ended and each.trigger != "bootstrap"]


def read(store: Store, name: str, pipeline: Pipeline, ledger: Ledger, broker: str) -> Run:
    truth = [
        Label(b.device, b.first, b.last, b.label) for b in ledger.blocks if b.source == 0 and b.label >= 0
    ]
    versions = store.registry.versions(name)
    teacher = versions[0].provenance["teacher"] if versions else ""
    return Run(
        pipeline,
        ledger,
        collect(store, name, pipeline, truth, teacher),
        store.registry.rounds(name),
        versions,
        store.registry.events(name),
        store.faults.counters(name),
        store.journal.numbers(name),
        sum(store.journal.readings(name).values()),
        broker,
        _called_off(store, name),
    )


def _called_off(store: Store, name: str) -> dict[int, str]:
    why = {decision.version: decision.why for decision in store.rollouts.decisions(name)}
    return {r.version: why[r.version] for r in store.rollouts.of(name) if r.state == ABORTED}


def lost(run: Run) -> int:
    """Distinct (device, source, boot, number) that the broker acknowledged, less those in the journal."""
    stored = {(d, s, b, i) for d, s, b, seq, n in run.stored for i in range(seq, seq + n)}
    sent = {(r.device, r.source, r.boot, i) for r in run.ledger.blocks for i in range(r.seq, r.seq + r.n)}
    return len(sent - stored)


def doubled(run: Run) -> int:
    """Windows of one device that begin at the same moment."""
    keys = Counter(zip(run.scores.devices.tolist(), run.scores.starts.tolist(), strict=True))
    return sum(count - 1 for count in keys.values())


def missed(run: Run) -> int:
    """Readings in windows that a device did not judge, though it had a model: after its first prediction."""
    scores = run.scores
    hop, gone = run.pipeline.cut(run.pipeline.student).hop, 0
    for device in np.unique(scores.devices):
        said = scores.said["student"][scores.devices == device]
        spoken = np.flatnonzero(said != NOTHING)
        if len(spoken):
            gone += hop * int((said[spoken[0] :] == NOTHING).sum())
    return gone


def swaps(run: Run) -> list[Event]:
    return [event for event in run.events if event[2] == "applied" and event[5].get("previous", 0) > 0]


def recovered_at(run: Run) -> dict[str, int]:
    """Wall time at which each drifted device first ran a version trained on drifted windows: one of whose
    recent windows at least half had drifted."""
    if not run.ledger.drifts:
        return {}
    first = {drift.device: drift for drift in run.ledger.drifts}
    begin = min(drift.time for drift in first.values())
    good = {v.version for v in run.versions if _median_trained(v) >= begin}
    times: dict[str, int] = {}
    for at, device, event, version, _, _ in run.events:
        if event == "applied" and version in good and device in first:
            times.setdefault(device, at)
    return times


def _median_trained(version: Version) -> int:
    median: int = version.provenance.get("sample", {}).get("recent_median_and_newest_ns", [0])[0]
    return median


def summary(run: Run) -> dict[str, Any]:
    """The keys of `summary.json`; accuracies are fractions, None where a run has no single drift."""
    scored = run.scores.rows((run.scores.truth != NOTHING) & (run.scores.said["student"] != NOTHING))
    recovered = recovered_at(run)
    drifted = {drift.device for drift in run.ledger.drifts}
    whole = bool(drifted) and drifted <= recovered.keys()
    before, after = _before(run, scored), _after(run, scored, recovered) if whole else None
    outcomes = Counter(each.outcome for each in run.ended)
    down = list(run.ledger.bytes_down.values())
    late = ("student", "static", "static_all", "teacher")
    return {
        "devices": len(np.unique(run.scores.devices)),
        "readings_published": sum(block.n for block in run.ledger.blocks),
        "readings_stored": run.readings,
        "readings_lost": lost(run),
        "windows": len(run.scores),
        "windows_duplicated": doubled(run),
        "rounds": len(run.ended),
        **{outcome: outcomes[outcome] for outcome in ("released", "rejected", "held")},
        "swaps": len(swaps(run)),
        "readings_missed_in_swaps": missed(run),
        "accuracy_before_drift": _accuracies(before, ("student", "static", "teacher"), metrics.accuracy),
        "accuracy_after_recovery": _accuracies(after, late, metrics.accuracy),
        "balanced_after_recovery": _accuracies(after, late, metrics.balanced),
        "accuracy_stream": _accuracies(
            scored, ("student", "static", "static_all", "persistence", "teacher"), metrics.accuracy
        ),
        "balanced_stream": _accuracies(
            scored, ("student", "static", "static_all", "persistence", "teacher"), metrics.balanced
        ),
        "recovery_s": _recovery_s(run, recovered) if whole else None,
        "bytes_up": run.ledger.bytes_up,
        "bytes_down_per_device": round(float(np.mean(down))) if down else 0,
        "broker": run.broker,
        "versions_running": running(run.events),
        "newest_version": run.newest,
        "called_off": {
            str(version): {"why": why, "ran_on": sorted(_ran(run.events, version))}
            for version, why in run.called_off.items()
        },
        "unacknowledged_messages": run.ledger.unacknowledged,
        "input_problems": {f"{device}/{reason}": n for device, reason, n in run.counters},
    }


def _recovery_s(run: Run, recovered: dict[str, int]) -> float:
    first = min(drift.wall for drift in run.ledger.drifts)
    return (max(recovered.values()) - first) / SECOND


def _before(run: Run, scored: Scores) -> Scores | None:
    if not run.ledger.drifts:
        return None
    begin = min(drift.time for drift in run.ledger.drifts)
    return scored.rows(scored.ends < begin)


def _after(run: Run, scored: Scores, recovered: dict[str, int]) -> Scores:
    """Windows of drifted devices that began after each had recovered (device clocks differ by little)."""
    offset = {drift.device: drift.time - drift.wall for drift in run.ledger.drifts}
    since = {device: at + offset[device] for device, at in recovered.items()}
    keep = [
        start >= since.get(device, 2**62)
        for device, start in zip(scored.devices.tolist(), scored.starts.tolist(), strict=True)
    ]
    return scored.rows(np.array(keep, bool))


def _accuracies(scores: Scores | None, rivals: Sequence[str], measure: Any) -> Numbers | None:
    if scores is None:
        return None
    result: Numbers = {}
    for rival in rivals:
        said: NDArray[np.int64] = scores.said[rival]
        known = said != NOTHING
        value = measure(said[known], scores.truth[known])
        result[rival] = None if value is None else round(value, 4)
    return result


def _ran(events: Sequence[Event], version: int) -> set[str]:
    return {device for _, device, event, applied, _, _ in events if event == "applied" and applied == version}


def running(events: Sequence[Event]) -> dict[str, int]:
    """Version that each device ran last, by its own word."""
    last: dict[str, int] = {}
    for _, device, event, version, _, _ in events:
        if event in ("applied", "rolled_back"):
            last[device] = version
    return last

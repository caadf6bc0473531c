"""The report of a live run: what `live` found, as the page shows it."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from iot_stream.clock import SECOND
from iot_stream.distill.explain.why import of_report
from iot_stream.evaluate import live, metrics, page, report
from iot_stream.evaluate.explained import Explained
from iot_stream.evaluate.live import Run
from iot_stream.evaluate.report import Figure, Interval, Mark, ReportData, Series, Traffic
from iot_stream.evaluate.scores import NOTHING

BINS = 60
DAY = 86_400 * SECOND

VERDICTS: dict[str, Literal["released", "rejected"]] = {"released": "released", "rejected": "rejected"}
"""Of the outcomes; else nothing came of the round."""


def write(path: Path, title: str, subtitle: str, run: Run, summary: dict[str, Any]) -> None:
    page.write(path, data(title, subtitle, run, summary))


def data(title: str, subtitle: str, run: Run, summary: dict[str, Any]) -> ReportData:
    by_date = run.pipeline.clock == "stream"
    zero = 0 if by_date else int(run.scores.ends.min()) if len(run.scores) else 0
    return ReportData(
        title=title,
        subtitle=subtitle,
        dates=by_date,
        figures=_figures(summary),
        accuracy=_curves(run, zero),
        marks=_marks(run, zero),
        traffic=_traffic(run, zero),
        measures={"accuracy": _days(run)} if by_date else {},
        rounds=_rounds(run),
        why=_why(run),
        devices=_devices(run, summary),
        facts=_facts(run, summary),
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _figures(summary: dict[str, Any]) -> Sequence[Figure]:
    whole = summary["accuracy_after_recovery"] or summary["accuracy_stream"]
    when = "after recovery" if summary["accuracy_after_recovery"] else "over the stream"
    figures = [
        Figure("student", _percent(whole["student"]), f"accuracy {when}"),
        Figure("static", _percent(whole["static"]), "the same student, never updated"),
        Figure("teacher", _percent(whole["teacher"]), "what the student learns from"),
    ]
    if summary["recovery_s"] is not None:
        figures.append(
            Figure("recovered after", f"{summary['recovery_s']:.1f} s", "from the first drifted reading")
        )
    return [
        *figures,
        Figure("readings lost", str(summary["readings_lost"]), f"of {summary['readings_published']:,}"),
        Figure(
            "readings missed in swaps", str(summary["readings_missed_in_swaps"]), f"{summary['swaps']} swaps"
        ),
        Figure("model bytes", f"{summary['bytes_down_per_device']:,}", "down to each device"),
    ]


def _curves(run: Run, zero: int) -> dict[str, Series]:
    scores = run.scores.rows(run.scores.truth != NOTHING)
    if not len(scores):
        return {}
    edges = np.linspace(int(scores.ends.min()), int(scores.ends.max()) + 1, BINS + 1).astype(np.int64)
    middle = ((edges[:-1] + edges[1:]) / 2 - zero) / SECOND
    curves = {}
    for rival, said in scores.said.items():
        known = said != NOTHING
        if known.any():
            values = metrics.over_time(scores.ends[known], said[known] == scores.truth[known], edges)
            curves[rival] = Series([round(float(t), 3) for t in middle], values)
    return curves


def _marks(run: Run, zero: int) -> list[Mark]:
    """Drifts, rounds and swaps, on the devices' clock."""
    marks = []
    if run.ledger.drifts:
        first = min(run.ledger.drifts, key=lambda drift: drift.time)
        marks.append(Mark((first.time - zero) / SECOND, "drift", first.name))
    for each in run.ended:
        kind: Literal["released", "rejected"] = "released" if each.outcome == "released" else "rejected"
        moment = each.stream_started if run.pipeline.clock == "stream" else each.ended
        assert moment is not None
        marks.append(Mark((moment - zero) / SECOND, kind, f"{each.id}: {each.outcome}"))
    for at, device, _, version, _, _ in live.swaps(run):
        moment = _stream_time(run, at)
        marks.append(Mark((moment - zero) / SECOND, "swap", f"{device}: version {version}"))
    return marks


def _stream_time(run: Run, at: int) -> int:
    """The devices' time at a moment of wall time: they differ where a recording is played faster."""
    if run.pipeline.clock != "stream":
        return at
    share = (at - run.ledger.started) / max(1, run.ledger.ended - run.ledger.started)
    first = min(block.first for block in run.ledger.blocks)
    last = max(block.last for block in run.ledger.blocks)
    return int(first + share * (last - first))


def _traffic(run: Run, zero: int) -> Traffic | None:
    blocks = sorted(run.ledger.blocks, key=lambda block: block.last)
    if not blocks:
        return None
    per_reading = run.ledger.bytes_up / max(1, sum(block.n for block in blocks))
    edges = np.linspace(blocks[0].first, blocks[-1].last, BINS + 1)
    ends = np.array([block.last for block in blocks])
    up = np.cumsum([block.n * per_reading for block in blocks])
    swaps = sorted(
        _stream_time(run, at) for at, _, _, _, _, _ in (e for e in run.events if e[2] == "applied")
    )
    total = sum(run.ledger.bytes_down.values())
    return Traffic(
        [round(float(edge - zero) / SECOND, 3) for edge in edges],
        [int(up[i - 1]) if (i := int(np.searchsorted(ends, edge, side="right"))) else 0 for edge in edges],
        [int(total * np.searchsorted(swaps, edge, side="right") / max(1, len(swaps))) for edge in edges],
    )


def _days(run: Run) -> dict[str, dict[str, Interval]]:
    scores = run.scores.rows(run.scores.truth != NOTHING)
    days = {}
    for day in np.unique(scores.ends // DAY):
        rows = scores.rows(scores.ends // DAY == day)
        name = f"{datetime.fromtimestamp(int(day) * 86_400, UTC):%a %d %b}"
        days[name] = {
            rival: Interval(value)
            for rival, said in rows.said.items()
            if (value := metrics.accuracy(said[said != NOTHING], rows.truth[said != NOTHING])) is not None
        }
    return days


def _rounds(run: Run) -> list[report.Round]:
    rows = []
    for each in run.ended:
        gate = each.report.get("gate", {}).get("reason") or each.report.get("error", each.outcome)
        cost = each.report.get("cost", {}).get("seconds")
        rows.append(
            report.Round(
                each.id,
                each.trigger,
                VERDICTS.get(each.outcome, "held"),
                each.report.get("version"),
                gate,
                f"{cost:.2f} s" if cost else "",
            )
        )
    return rows


def _why(run: Run) -> list[Explained]:
    return [
        Explained(each.id, each.outcome, why, each.report.get("excluded", 0))
        for each in run.rounds
        if (why := of_report(each.report))
    ]


def _devices(run: Run, summary: dict[str, Any]) -> list[report.Device]:
    swapped = Counter(event[1] for event in live.swaps(run))
    readings: Counter[str] = Counter()
    for block in run.ledger.blocks:
        readings[block.device] += block.n
    running = summary["versions_running"]
    return [
        report.Device(name, running.get(name, 0), swapped[name], count)
        for name, count in sorted(readings.items())
    ]


def _facts(run: Run, summary: dict[str, Any]) -> dict[str, str]:
    first = next((each.report for each in run.rounds if each.trigger == "bootstrap"), {})
    return {
        "broker": run.broker,
        "student": f"{run.pipeline.student.arch}, {first.get('parameters', '?')} parameters",
        "teacher": f"{run.pipeline.teacher.arch}, {first.get('teacher_parameters', '?')} parameters",
        "newest version": str(summary.get("newest_version", "")),
    }

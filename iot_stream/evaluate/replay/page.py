"""The page of a replay: its figures, its curves and its rounds, as the report shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from iot_stream.clock import SECOND
from iot_stream.config.cohorts import ALL
from iot_stream.distill.explain.why import of_report
from iot_stream.evaluate import metrics, page, report
from iot_stream.evaluate.explained import Explained
from iot_stream.evaluate.peers import told as peers
from iot_stream.evaluate.replay.figures import RIVALS, interval, parts
from iot_stream.evaluate.replay.run import Replay
from iot_stream.evaluate.report import Figure, Interval, Mark, ReportData, Series, Table, Traffic

BINS = 80
DAY = 86_400 * SECOND
TITLES = {
    "accuracy": "accuracy",
    "balanced": "balanced accuracy",
    "tail": "accuracy, last 30 % of each segment",
    "tail_balanced": "balanced accuracy, last 30 % of each segment",
}


def write(path: Path, replay: Replay, command: str) -> None:
    page.write(path, data(replay, command))


def data(replay: Replay, command: str) -> ReportData:
    dates = bool(replay.pipeline.recordings and replay.pipeline.recordings.time)
    zero = 0 if dates else int(replay.stream.ends.min())
    result, shown = replay.result, _shown(replay.result)
    return ReportData(
        title=f"Replay of {replay.name}",
        subtitle=_subtitle(replay),
        dates=dates,
        figures=_figures(replay),
        accuracy=_curves(replay, zero, shown),
        marks=_marks(replay, zero),
        traffic=_traffic(replay, zero),
        measures=_measures(result, shown),
        classes=result["classes"],
        confusion=result["confusion"],
        recall={
            name: {rival: value for rival, value in rivals.items() if rival in shown}
            for name, rivals in result["recall"].items()
        },
        tables=[*_peers(result), _stages(result), _costs(result)],
        rounds=_rounds(replay),
        why=_why(replay),
        facts={"command": command} | {name: str(value) for name, value in result["machine"].items()},
    )


def _shown(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The rivals, and of the peers the best by hindsight: more curves nobody could tell apart."""
    accuracy = result["overall"]["accuracy"]
    return (*RIVALS, *sorted(peers.ran(result), key=lambda name: -accuracy[name]["mean"])[:1])


def _subtitle(replay: Replay) -> str:
    stream, labels = replay.stream, replay.pipeline.recordings and replay.pipeline.recordings.labels
    devices = len(np.unique(stream.devices))
    known = f"{labels.fraction:.0%} of the labels, late" if labels and labels.fraction else "no labels"
    seeds = len(replay.courses)
    return (
        f"{devices} device{'s' * (devices > 1)}, {replay.result['overall']['windows']:,} windows, {known}; "
        f"{seeds} seed{'s' * (seeds > 1)}."
    )


def _figures(replay: Replay) -> list[Figure]:
    result, stream = replay.result, replay.stream
    overall = result["overall"]["accuracy"]

    def percent(rival: str) -> str:
        mean = overall[rival]["mean"]
        return "–" if mean is None else f"{100 * mean:.1f} %"

    days = (int(stream.ends.max()) - int(stream.ends.min())) / DAY
    devices = len(np.unique(stream.devices))
    up, down = result["bytes_up"] / devices, result["bytes_down_per_device"]
    span = "a device and day" if days >= 1 else "a device"
    share = max(days, 1)
    return [
        Figure("student", percent("student"), "accuracy over the stream"),
        Figure("static", percent("static"), "the same student, never updated"),
        Figure("teacher", percent("teacher"), "what the student learns from"),
        Figure("persistence", percent("persistence"), "the last word that came, repeated"),
        Figure("rounds", str(result["rounds"]), f"{result['released']} released"),
        Figure("student's size", f"{result['student']['parameters']:,}", "parameters"),
        Figure("bytes up", f"{up / share:,.0f}", span),
        Figure("bytes down", f"{down / share:,.0f}", span),
    ]


def _curves(replay: Replay, zero: int, shown: Sequence[str]) -> dict[str, Series]:
    stream = replay.stream
    scored = stream.truth >= 0
    ends, truth = stream.ends[scored], stream.truth[scored]
    edges = np.linspace(int(ends.min()), int(ends.max()) + 1, BINS + 1).astype(np.int64)
    seconds = [round(float(t), 3) for t in ((edges[:-1] + edges[1:]) / 2 - zero) / SECOND]
    curves = {}
    for rival in shown:
        runs = []
        for course in replay.courses:
            said = course.said[rival][scored]
            spoken = said >= 0
            runs.append(metrics.over_time(ends[spoken], said[spoken] == truth[spoken], edges))
        if any(value is not None for run in runs for value in run):
            means = [interval(values) for values in zip(*runs, strict=True)]
            several = len(runs) > 1
            curves[rival] = Series(
                seconds,
                [each["mean"] for each in means],
                [_end(each, 0) for each in means] if several else None,
                [_end(each, 1) for each in means] if several else None,
            )
    return curves


def _end(each: Mapping[str, Any], side: int) -> float | None:
    """One end of an interval; a share is never below 0 nor above 1."""
    return None if each["ci95"] is None else min(1.0, max(0.0, each["ci95"][side]))


def _marks(replay: Replay, zero: int) -> list[Mark]:
    """Where segments begin, and what the rounds of the first seed came to."""
    by = replay.pipeline.recordings.segments if replay.pipeline.recordings else ""
    segments = [
        Mark((int(replay.stream.ends[part.rows[0]]) - zero) / SECOND, "segment", _named(by, part.name))
        for part in parts(replay.stream)
        if by
    ]
    rounds = []
    for number, done in enumerate(replay.courses[0].rounds, 1):
        kind: Literal["released", "rejected"] = "released" if done.outcome == "released" else "rejected"
        of = "" if done.turn.cohort == ALL else f" of {done.turn.cohort}"
        rounds.append(Mark((done.turn.done - zero) / SECOND, kind, f"round {number}{of}: {done.outcome}"))
    return segments + rounds


def _named(by: str, name: str) -> str:
    return name if by == "day" or not name.isdigit() else f"{by} {name}"


def _traffic(replay: Replay, zero: int) -> Traffic:
    sent, rounds = replay.courses[0].sent, replay.courses[0].rounds
    devices = len(np.unique(replay.stream.devices))
    edges = np.linspace(int(sent[:, 0].min()), int(sent[:, 0].max()), BINS + 1)
    up = np.concatenate([[0], np.cumsum(sent[:, 1])])
    sizes = [done.bytes * done.devices for done in rounds]
    first = devices * replay.courses[0].bytes_down - sum(sizes)
    down = np.concatenate([[first], first + np.cumsum(sizes)])
    when = [done.turn.done for done in rounds]
    return Traffic(
        [round((edge - zero) / SECOND, 3) for edge in edges.tolist()],
        up[np.searchsorted(sent[:, 0], edges, side="right")].tolist(),
        down[np.searchsorted(when, edges, side="right")].astype(np.int64).tolist(),
    )


def _measures(result: Mapping[str, Any], shown: Sequence[str]) -> dict[str, dict[str, dict[str, Interval]]]:
    rows = {segment["name"]: segment for segment in result["segments"]}
    if len(rows) == 1:
        rows = {}
    return {
        title: {
            name: _intervals(row[measure], shown)
            for name, row in (rows | {"overall": result["overall"]}).items()
        }
        for measure, title in TITLES.items()
    }


def _intervals(rivals: Mapping[str, Any], shown: Sequence[str]) -> dict[str, Interval]:
    return {
        rival: Interval(value["mean"], *(value["ci95"] or (None, None)))
        for rival, value in rivals.items()
        if value["mean"] is not None and rival in shown
    }


def _peers(result: Mapping[str, Any]) -> list[Table]:
    return [Table("Peers", peers.note(result), peers.HEAD, peers.rows(result))] if peers.ran(result) else []


def _stages(result: Mapping[str, Any]) -> Table:
    rows = []
    for stage, on in (
        ("training", "the stream: the commonest class → the teacher"),
        ("first distillation", "the stream: the commonest class → the student that is never updated"),
        ("distillation", "what the gates judged by: running → distilled"),
        ("fusion", "what the gates judged by: distilled → fused and encoded"),
    ):
        before, after = (result["stages"][stage.replace(" ", "_")][key] for key in ("before", "after"))
        if before is not None and after is not None:
            rows.append([stage, on, f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}"])
    note = "Accuracy before and after each stage, means over rounds and seeds."
    return Table("The three stages", note, ("stage", "measured on", "before", "after", "gain"), rows)


def _what(row: Mapping[str, str]) -> str:
    return f"{row['what']} ({row['unit']})" if row["unit"] else row["what"]


def _costs(result: Mapping[str, Any]) -> Table:
    """Teacher and student side by side."""
    rows = [
        [
            _what(row),
            f"{row['teacher']:,.6g}",
            f"{row['student']:,.6g}",
            f"{row['teacher'] / row['student']:,.1f}",
        ]
        for row in result["costs"]
    ]
    note = "What the small model saves: so many times less than the large one."
    return Table("Compute, storage, inference", note, ("", "teacher", "student", "times less"), rows)


def _rounds(replay: Replay) -> list[report.Round]:
    verdicts: dict[str, Literal["released", "rejected", "held"]] = {
        "released": "released",
        "held": "held",
    }
    return [
        report.Round(
            f"{number}",
            done.turn.reason,
            verdicts.get(done.outcome, "rejected"),
            done.version or None,
            done.reason,
            f"{done.report['cost']['seconds']:.2f} s",
        )
        for number, done in enumerate(replay.courses[0].rounds, 1)
    ]


def _why(replay: Replay) -> list[Explained]:
    """Of the first seed's rounds."""
    return [
        Explained(f"round {number}", done.outcome, why)
        for number, done in enumerate(replay.courses[0].rounds, 1)
        if (why := of_report(done.report))
    ]

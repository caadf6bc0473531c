"""What a replay came to, in the keys of the project's measurements: means over seeds with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import iso
from iot_stream.evaluate import metrics
from iot_stream.evaluate.replay.course import Course, Done
from iot_stream.evaluate.replay.stream import Stream

RIVALS = ("student", "static", "static_all", "labels_only", "control", "persistence", "teacher")
CONFUSIONS = ("student", "static", "teacher")
MEASURES = ("accuracy", "balanced", "tail", "tail_balanced")
TAIL = 0.3
"""The last share of a segment's windows: what the fleet has after it has adapted."""

WHOLE = "stream"
"""The name of the only segment where none are told apart."""

# Student's t, two-sided 95 %, by degrees of freedom from 1 on (Student 1908; any table). The last serves
# for all that follow, so that an interval is never too narrow.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)

Numbers = dict[str, dict[str, float | None]]  # measure → rival → number


@dataclass(frozen=True)
class Part:
    """Scored windows of one segment, rows in order of their ends."""

    name: str
    rows: NDArray[np.int64]


def rivals(course: Course) -> tuple[str, ...]:
    """All that were scored, the peers last."""
    return (*RIVALS, *course.peers)


def parts(stream: Stream) -> list[Part]:
    """The segments in the order in which they begin."""
    scored = stream.order[stream.truth[stream.order] >= 0]
    names = stream.segments[scored]
    first = {name: int(np.argmax(names == name)) for name in np.unique(names).tolist()}
    return [Part(name or WHOLE, scored[names == name]) for name in sorted(first, key=lambda n: first[n])]


def interval(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean over seeds and its 95 % interval (Student's t); no interval of one seed, no mean of nothing."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "ci95": None}
    mean = float(np.mean(known))
    if len(known) < 2:
        return {"mean": _short(mean), "ci95": None}
    t = _T95[min(len(known) - 2, len(_T95) - 1)]
    half = t * float(np.std(known, ddof=1)) / np.sqrt(len(known))
    return {"mean": _short(mean), "ci95": [_short(mean - half), _short(mean + half)]}


def result(stream: Stream, courses: Sequence[Course]) -> dict[str, Any]:
    """All but what describes the run: `seeds[]`, `segments[]`, `overall`, `student`, rounds and bytes."""
    segments = parts(stream)
    by_seed = [[_numbers(stream, course, part.rows) for part in segments] for course in courses]
    overall = [_overall(stream, course, segments, own) for course, own in zip(courses, by_seed, strict=True)]
    first = courses[0]
    return {
        "seeds": [
            {
                "seed": course.seed,
                "overall": _rounded(whole),
                "rounds": [_round(done) for done in course.rounds],
                "bytes_down_per_device": course.bytes_down,
                "seconds": round(course.seconds, 1),
            }
            | ({"peers": course.peers} if course.peers else {})
            for course, whole in zip(courses, overall, strict=True)
        ],
        "segments": [
            {"name": part.name, "windows": len(part.rows), "begins": iso(int(stream.ends[part.rows[0]]))}
            | _over_seeds([own[i] for own in by_seed])
            for i, part in enumerate(segments)
        ],
        "overall": {"windows": sum(len(part.rows) for part in segments)} | _over_seeds(overall),
        "recall": _recall(stream, courses),
        "confusion": {rival: _confusion(stream, courses, rival) for rival in CONFUSIONS},
        "classes": list(first.prepared.learner.pipeline.classes),
        "student": {
            "parameters": first.prepared.learner.architecture.parameters,
            "update_bytes": len(first.student.weights),
            "bundle_bytes": first.bundle_bytes,
        },
        "teacher": {"parameters": first.prepared.report["teacher_parameters"]},
        "stages": _stages(stream, courses),
        "rounds": _mean(courses, lambda course: len(course.rounds)),
        "released": _mean(courses, lambda course: _count(course, "released")),
        "rejected": _mean(courses, lambda course: _count(course, "rejected")),
        "held": _mean(courses, lambda course: _count(course, "held")),
        "bytes_read": int(stream.sent[:, 1].sum()),
        "bytes_up": _mean(courses, lambda course: int(course.sent[:, 1].sum())),
        "bytes_down_per_device": _mean(courses, lambda course: course.bytes_down),
    } | ({"peers": _peers(courses)} if first.peers else {})


def _numbers(stream: Stream, course: Course, rows: NDArray[np.int64]) -> Numbers:
    """Of one segment and seed: each measure of each rival, on the windows of which it said something."""
    tail = rows[len(rows) - round(TAIL * len(rows)) :]
    found: Numbers = {measure: {} for measure in MEASURES}
    for rival in rivals(course):
        for measure, part, of in (
            ("accuracy", rows, metrics.accuracy),
            ("balanced", rows, metrics.balanced),
            ("tail", tail, metrics.accuracy),
            ("tail_balanced", tail, metrics.balanced),
        ):
            said = course.said[rival][part]
            found[measure][rival] = of(said[said >= 0], stream.truth[part][said >= 0])
    return found


def _overall(stream: Stream, course: Course, segments: Sequence[Part], own: Sequence[Numbers]) -> Numbers:
    """Over all windows; the tails are means of the segments' tails."""
    whole = _numbers(stream, course, np.concatenate([part.rows for part in segments]))
    for measure in ("tail", "tail_balanced"):
        for rival in rivals(course):
            tails = [value for numbers in own if (value := numbers[measure][rival]) is not None]
            whole[measure][rival] = float(np.mean(tails)) if tails else None
    return whole


def _over_seeds(numbers: Sequence[Numbers]) -> dict[str, Any]:
    return {
        measure: {rival: interval([own[measure][rival] for own in numbers]) for rival in numbers[0][measure]}
        for measure in MEASURES
    }


def _recall(stream: Stream, courses: Sequence[Course]) -> dict[str, dict[str, float]]:
    """Class → rival → mean share of its windows that were told rightly, for those who said anything of it."""
    classes = courses[0].prepared.learner.pipeline.classes
    found: dict[str, dict[str, float]] = {}
    for k, name in enumerate(classes):
        mine = stream.truth == k
        if mine.any():
            means = {
                rival: _middle([_share(course.said[rival][mine], k) for course in courses])
                for rival in rivals(courses[0])
            }
            found[name] = {rival: mean for rival, mean in means.items() if mean is not None}
    return found


def _peers(courses: Sequence[Course]) -> dict[str, Any]:
    """What each peer tells of itself: of the first seed, but times are means over the seeds."""

    def mean(name: str, time: str) -> float:
        return round(float(np.mean([course.peers[name][time] for course in courses])), 1)

    return {
        name: told | {time: mean(name, time) for time in ("seconds", "cpu_seconds")}
        for name, told in courses[0].peers.items()
    }


def _share(said: NDArray[np.int64], k: int) -> float | None:
    spoken = said[said >= 0]
    return float((spoken == k).mean()) if len(spoken) else None


def _confusion(stream: Stream, courses: Sequence[Course], rival: str) -> list[list[int]]:
    """Truth by said, all seeds together."""
    count = len(courses[0].prepared.learner.pipeline.classes)
    table = np.zeros((count, count), np.int64)
    for course in courses:
        said = course.said[rival]
        spoken, truth = _spoken(stream, said)
        np.add.at(table, (truth, spoken), 1)
    return [[int(cell) for cell in row] for row in table]


def _round(done: Done) -> dict[str, Any]:
    gate = done.report["gate"]
    before_fusion = done.report["distillation"]["accuracy_before_fusion"]
    return {
        "now": iso(done.turn.now),
        "cohort": done.turn.cohort,
        "trigger": done.turn.reason,
        "outcome": done.outcome,
        "reason": done.reason,
        "version": done.version or None,
        "bytes": done.bytes,
        "judged": gate["windows"],
        "basis": gate["basis"],
        "running": _short(gate["running"]),
        "before_fusion": None if before_fusion is None else _short(before_fusion),
        "candidate": _short(gate["candidate"]),
        "held_devices": done.report["held"],
        "late_labels": done.report["training"].get("late_labels", 0),
        "seconds": round(done.report["cost"]["seconds"], 2),
        "why": done.report["why"]["words"],
    }


def _stages(stream: Stream, courses: Sequence[Course]) -> dict[str, dict[str, float | None]]:
    """What each stage gained: training and the first distillation on the stream (from the commonest class), a
    round's distillation and fusion on what the gates judged by, means over rounds and seeds; None for a stage
    that no round had."""
    counts = np.bincount(stream.truth[stream.truth >= 0])
    commonest = _short(counts.max() / counts.sum())
    teacher, first = (
        [metrics.accuracy(*_spoken(stream, course.said[rival])) for course in courses]
        for rival in ("teacher", "static")
    )
    reports = [done.report for course in courses for done in course.rounds]
    rounds = [
        (gate["running"], report["distillation"]["accuracy_before_fusion"], gate["candidate"])
        for report in reports
        if (gate := report["gate"])["outcome"] != "held"
    ]
    fused = [each for each in rounds if each[1] is not None]
    distilled = [(running, candidate if before is None else before) for running, before, candidate in rounds]
    return {
        "training": {"before": commonest, "after": _middle(teacher)},
        "first_distillation": {"before": commonest, "after": _middle(first)},
        "distillation": _before_and_after(distilled),
        "fusion": _before_and_after([(before, after) for _, before, after in fused]),
    }


def _before_and_after(pairs: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    before, after = np.mean(pairs, axis=0).tolist() if pairs else (None, None)
    return {"before": _middle([before]), "after": _middle([after])}


def _spoken(stream: Stream, said: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    both = (stream.truth >= 0) & (said >= 0)
    return said[both], stream.truth[both]


def _middle(values: Sequence[float | None]) -> float | None:
    mean: float | None = interval(values)["mean"]
    return mean


def _count(course: Course, outcome: str) -> int:
    return sum(done.outcome == outcome for done in course.rounds)


def _mean(courses: Sequence[Course], number: Callable[[Course], int]) -> float:
    """Whole where all seeds agree."""
    mean = float(np.mean([number(course) for course in courses]))
    return int(mean) if mean.is_integer() else round(mean, 2)


def _short(value: float) -> float:
    return round(float(value), 5)


def _rounded(numbers: Numbers) -> Numbers:
    return {
        measure: {rival: None if value is None else _short(value) for rival, value in rivals.items()}
        for measure, rivals in numbers.items()
    }

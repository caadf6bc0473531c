"""What a replay came to, against figures reckoned by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from iot_stream.evaluate.replay.course import Course, Done
from iot_stream.evaluate.replay.figures import RIVALS, interval, parts, result
from iot_stream.evaluate.replay.plan import Turn
from iot_stream.evaluate.replay.stream import Stream

CLASSES = ("empty", "occupied")
STILL = -1


def a_stream(truth: list[int], segments: list[str] | None = None, ends: list[int] | None = None) -> Stream:
    n = len(truth)
    moments = np.array(range(n) if ends is None else ends, np.int64)
    x = np.zeros((n, 1, 1), np.float32)
    names = np.array([""] * n if segments is None else segments, np.str_)
    sent = np.array([[0, 100], [1, 50]])
    place = np.arange(n)
    return Stream(
        np.full(n, "d"), moments, moments, x, moments, x, place, moments, np.array(truth), names, sent,
        np.zeros(2, np.bool_), np.zeros((n, 0), np.float32),
    )  # fmt: skip


def a_round(outcome: str, running: float, before: float | None, candidate: float) -> Done:
    gate = {"outcome": outcome, "windows": 60, "basis": "teacher", "running": running, "candidate": candidate}
    report = {
        "gate": gate,
        "distillation": {"accuracy_before_fusion": before},
        "held": [],
        "training": {},
        "why": {"words": ["nothing moved"]},
        "cost": {"seconds": 1.0},
    }
    released = outcome == "released"
    return Done(Turn(0, 0, 0, "period"), outcome, "", 2 * released, 700 * released, report)


def a_course(
    stream: Stream,
    seed: int = 0,
    rounds: list[Done] | None = None,
    down: int = 1000,
    sent: int = 2,
    **said: list[int],
) -> Course:
    """Who is not named is always right."""
    pipeline = SimpleNamespace(classes=CLASSES)
    learner = SimpleNamespace(pipeline=pipeline, architecture=SimpleNamespace(parameters=241))
    prepared = SimpleNamespace(learner=learner, report={"teacher_parameters": 9000})
    words = {rival: np.array(said.get(rival, stream.truth), np.int64) for rival in RIVALS}
    student = SimpleNamespace(weights=b"w" * 300)
    return Course(seed, prepared, student, words, stream.sent[:sent], rounds or [], down, 800, 1.5)


def of(stream: Stream, *courses: Course) -> dict:
    return result(stream, courses)


# --- means and intervals


def test_interval_of_three_is_students_by_hand() -> None:
    # Deviations −.03, −.01, .04: variance .0013; t of two degrees of freedom is 4.303.
    half = 4.303 * np.sqrt(0.0013 / 3)
    found = interval([0.90, 0.92, 0.97])
    assert found["mean"] == 0.93
    assert found["ci95"] == pytest.approx([0.93 - half, 0.93 + half], abs=1e-5)
    assert interval([0.8, 0.9])["ci95"] == pytest.approx([0.85 - 12.706 * 0.05, 0.85 + 12.706 * 0.05])


def test_interval_is_never_narrower_than_students() -> None:
    values = [0.5 + 0.1 * (-1) ** i for i in range(12)]
    low, high = interval(values)["ci95"]
    assert high - low >= 2 * 2.201 * np.std(values, ddof=1) / np.sqrt(12)  # eleven degrees of freedom


def test_interval_leaves_out_what_is_not_known() -> None:
    assert interval([None, None]) == interval([]) == {"mean": None, "ci95": None}
    assert interval([None, 0.5]) == {"mean": 0.5, "ci95": None}
    assert interval([0.9, None, 0.92, 0.97]) == interval([0.90, 0.92, 0.97])


# --- segments


def test_parts_come_in_the_order_in_which_they_begin_with_scored_windows_alone() -> None:
    stream = a_stream(
        [1, 0, 1, -1, 0, -1], ["late", "early", "late", "early", "early", "never"], [50, 10, 40, 5, 60, 70]
    )
    assert [(part.name, part.rows.tolist()) for part in parts(stream)] == [
        ("early", [1, 4]),
        ("late", [2, 0]),
    ]


def test_a_stream_without_segments_is_one() -> None:
    assert [part.name for part in parts(a_stream([0, 1]))] == ["stream"]


def test_accuracy_is_plain_and_balanced_by_hand() -> None:
    stream = a_stream([0] * 8 + [1] * 2)
    found = of(stream, a_course(stream, student=[0] * 6 + [1] * 2 + [1, 0]))["overall"]
    assert found["accuracy"]["student"]["mean"] == 0.7
    assert found["balanced"]["student"]["mean"] == (0.75 + 0.5) / 2
    assert found["accuracy"]["teacher"]["mean"] == found["balanced"]["teacher"]["mean"] == 1.0
    assert found["windows"] == 10


def test_the_tail_is_the_last_three_tenths_of_a_segment_by_time() -> None:
    ends = list(range(10))[::-1]  # rows come newest first
    stream = a_stream([0, 1] * 5, ends=ends)
    right_at_last = [truth if end >= 7 else 1 - truth for truth, end in zip([0, 1] * 5, ends, strict=True)]
    (segment,) = of(stream, a_course(stream, student=right_at_last))["segments"]
    assert segment["tail"]["student"]["mean"] == 1.0
    assert segment["accuracy"]["student"]["mean"] == 0.3


def test_overall_tails_are_means_of_the_segments_tails() -> None:
    stream = a_stream([0] * 20 + [0] * 10, ["long"] * 20 + ["short"] * 10)
    student = [0] * 17 + [1] * 3 + [0] * 10  # of the long one's tail of six the last three are wrong
    found = of(stream, a_course(stream, student=student))
    assert [(each["name"], each["windows"]) for each in found["segments"]] == [("long", 20), ("short", 10)]
    assert [each["tail"]["student"]["mean"] for each in found["segments"]] == [0.5, 1.0]
    assert found["overall"]["tail"]["student"]["mean"] == 0.75
    assert found["overall"]["accuracy"]["student"]["mean"] == 0.9


def test_a_segment_too_short_for_a_tail_does_not_count_there() -> None:
    stream = a_stream([0] * 10 + [0], ["long"] * 10 + ["short"])
    found = of(stream, a_course(stream, student=[0] * 10 + [1]))
    assert found["segments"][1]["tail"]["student"] == {"mean": None, "ci95": None}
    assert found["overall"]["tail"]["student"]["mean"] == 1.0


# --- rivals and seeds


def test_windows_of_which_a_rival_said_nothing_do_not_count_for_it() -> None:
    stream = a_stream([0, 1, 0, 1, -1])
    found = of(stream, a_course(stream, persistence=[STILL, STILL, 0, 0, 0], teacher=[STILL] * 5))
    assert found["overall"]["accuracy"]["persistence"]["mean"] == 0.5
    assert found["overall"]["accuracy"]["teacher"] == {"mean": None, "ci95": None}
    assert found["recall"]["occupied"] == {
        "student": 1.0,
        "static": 1.0,
        "static_all": 1.0,
        "labels_only": 1.0,
        "control": 1.0,
        "persistence": 0.0,
    }


def test_recall_is_of_each_class_that_occurs() -> None:
    stream = a_stream([0] * 4)
    found = of(stream, a_course(stream, student=[0, 0, 0, 1]), a_course(stream, 1, student=[0, 0, 1, 1]))
    assert found["recall"].keys() == {"empty"}
    assert found["recall"]["empty"]["student"] == (0.75 + 0.5) / 2


def test_confusion_is_truth_by_word_and_sums_to_the_scored_windows() -> None:
    stream = a_stream([0, 0, 0, 1, 1, -1])
    course = a_course(stream, student=[0, 1, 1, 1, 0, 1], teacher=[0, 0, STILL, 1, 1, 1])
    found = of(stream, course, course)["confusion"]
    assert found["student"] == [[2, 4], [2, 2]]  # two seeds
    assert found["teacher"] == [[4, 0], [0, 4]]
    assert np.sum(found["static"]) == 2 * 5


def test_seeds_are_averaged_and_kept() -> None:
    stream = a_stream([0, 1, 0, 1])
    found = of(stream, a_course(stream, 3, student=[0, 1, 0, 0]), a_course(stream, 4, student=[0, 1, 1, 0]))
    assert found["overall"]["accuracy"]["student"] == interval([0.75, 0.5])
    assert [(each["seed"], each["overall"]["accuracy"]["student"]) for each in found["seeds"]] == [
        (3, 0.75),
        (4, 0.5),
    ]


def test_rounds_and_bytes_are_means_over_seeds_whole_where_all_agree() -> None:
    stream = a_stream([0, 1])
    passed, failed, held = (a_round(outcome, 0.5, 0.6, 0.7) for outcome in ("released", "rejected", "held"))
    found = of(
        stream,
        a_course(stream, rounds=[passed, failed, passed], down=1000),
        a_course(stream, rounds=[passed, failed, held], down=2000, sent=1),
    )
    assert [found[key] for key in ("rounds", "released", "rejected", "held")] == [3, 1.5, 1, 0.5]
    assert (found["bytes_read"], found["bytes_up"], found["bytes_down_per_device"]) == (150, 125, 1500)
    assert found["student"] == {"parameters": 241, "update_bytes": 300, "bundle_bytes": 800}
    assert [each["version"] for each in found["seeds"][0]["rounds"]] == [2, None, 2]
    assert [each["bytes"] for each in found["seeds"][0]["rounds"]] == [700, 0, 700]


def test_stages_are_what_each_gained_where_it_was_judged() -> None:
    stream = a_stream([0, 0, 0, 1])
    rounds = [
        a_round("released", 0.5, 0.6, 0.7),
        a_round("rejected", 0.7, 0.8, 0.6),
        a_round("held", 0.0, 0.1, 0.2),  # nothing was compared
        a_round("released", 0.0, None, 0.2),  # nothing was fused: the candidate is what was distilled
    ]
    found = of(stream, a_course(stream, rounds=rounds, teacher=[0, 0, 1, 1], static=[1, 0, 1, 1]))["stages"]
    assert found == {
        "training": {"before": 0.75, "after": 0.75},
        "first_distillation": {"before": 0.75, "after": 0.5},
        "distillation": {"before": 0.4, "after": 0.53333},
        "fusion": {"before": 0.7, "after": 0.65},
    }


def test_without_rounds_there_is_nothing_to_gain() -> None:
    stream = a_stream([0, 1])
    nothing = {"before": None, "after": None}
    found = of(stream, a_course(stream))["stages"]
    assert found["distillation"] == found["fusion"] == nothing

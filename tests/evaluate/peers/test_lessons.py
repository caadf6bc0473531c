"""What a peer may learn, and from when on."""

from dataclasses import replace

import numpy as np

from iot_stream.evaluate.peers.lessons import at_rounds, of_stream
from iot_stream.evaluate.replay.plan import Turn
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.readings import Label
from iot_stream.recordings import Known
from simulator.script import NEVER

NOBODY = np.zeros(0, np.int64)


def a_stream() -> Stream:
    """Two devices, each with windows of ten moments at 0–9, 10–19, 20–29; they arrive at once."""
    starts = np.array([0, 0, 10, 10, 20, 20])
    x = np.zeros((6, 1, 1), np.float32)
    devices = np.array(["a", "b"] * 3)
    truth, names = np.full(6, -1), np.full(6, "")
    ends = starts + 9
    sent, logged, readings = np.array([[0, 1]]), np.zeros(1, np.bool_), np.zeros((6, 0), np.float32)
    return Stream(devices, starts, ends, x, ends, x, np.arange(6), ends, truth, names, sent, logged, readings)


def known(device: str, start: int, end: int, value: int, at: int) -> Known:
    return Known(at, Label(device, start, end, value))


def test_labels_are_learnt_when_they_come_on_the_windows_that_they_cover() -> None:
    found = of_stream(a_stream(), [known("a", 10, 29, 1, 60), known("b", 0, 9, 0, 40)], NOBODY)
    assert found.source == "labels"
    assert (found.rows.tolist(), found.y.tolist(), found.came.tolist()) == (
        [1, 2, 4],
        [0, 1, 1],
        [40, 60, 60],
    )


def test_a_window_whose_label_changes_inside_teaches_nothing() -> None:
    labels = [known("a", 10, 14, 0, 30), known("a", 15, 19, 1, 31), known("a", 20, 29, 1, 32)]
    assert of_stream(a_stream(), labels, NOBODY).rows.tolist() == [4]


def test_a_label_that_comes_before_its_window_waits_for_it() -> None:
    stream = a_stream()
    late = replace(stream, arrived=stream.ends + 100)
    assert of_stream(late, [known("a", 0, 9, 1, 30)], NOBODY).came.tolist() == [109]


def test_without_labels_the_teachers_word_teaches_when_it_is_there() -> None:
    stream = a_stream()
    spoken = replace(stream, taught=np.array([50, NEVER, 40, 40, 60, 60]))
    found = of_stream(spoken, [], np.array([0, 1, 1, 0, -1, 1]))
    assert found.source == "teacher"
    assert (found.rows.tolist(), found.y.tolist(), found.came.tolist()) == (
        [2, 3, 0, 5],
        [1, 0, 0, 1],
        [40, 40, 50, 60],
    )


def test_rounds_learn_what_came_by_their_start_and_act_when_they_are_done() -> None:
    plan = [Turn(40, 0, 45, "period"), Turn(60, 40, 65, "period")]
    labels = [
        known("a", 0, 9, 1, 40),  # in time for the first
        known("b", 0, 9, 1, 41),
        known("a", 10, 19, 1, 60),
        known("b", 10, 19, 1, 61),  # too late for any
    ]
    lessons, acts = at_rounds(of_stream(a_stream(), labels, NOBODY), plan)
    assert (lessons.rows.tolist(), acts.tolist()) == ([0, 1, 2], [45, 65, 65])

"""Who moved and where models disagree, counted by hand; and how it is put into words."""

import numpy as np
import pytest

from iot_stream.cut import Cut
from iot_stream.distill.explain import changes, words
from iot_stream.distill.explain.units import Units
from iot_stream.distill.explain.why import Decision, Moved
from iot_stream.distill.student import spec_for
from tests.distill.explaining import CLASSES, material

INPUTS = ("heat", "noise", "light")


def test_disagreement_is_found_where_it_is() -> None:
    """One room of two, and one class of two, by hand: eight of forty, all in room-1, all said to be empty."""
    x, truth = np.zeros((80, 1, 3)), np.zeros(80, np.int64)
    truth[40:] = 1
    judged = material(x, truth)
    logits = np.where(np.arange(2) == truth[:, None], 3.0, 0.0).astype(np.float32)
    wrong = np.arange(1, 17, 2)  # of room-1, among the empty
    logits[wrong] = logits[wrong][:, ::-1]
    judged.labels[wrong[:4]] = 0
    spec = spec_for(judged, Cut(INPUTS, INPUTS, 1, 1), CLASSES, False)
    found = changes.disagreement(judged, truth, logits, spec, Units(INPUTS, np.arange(3)), [2, 0, 1])
    assert (found.apart, found.apart_before, found.unsure) == (8, 0, 0)
    assert (found.labelled, found.teacher_right, found.student_right) == (4, 4, 0)
    assert found.classes == {"empty": (8, 40)}
    assert found.devices == {"room-1": (8, 40)}
    assert list(found.examples[0].values) == ["light", "heat", "noise"]
    told = words.disagreement(found, 80)
    assert told[0] == (
        "Teacher and new student disagree on 10 % of 80 held-out windows (the running student on 0 %)."
    )
    assert told[1] == "Most often where the teacher says 'empty' (20 % of 40) and on room-1 (20 % of 40)."


def test_of_three_classes_who_gained_and_who_lost_are_both_told() -> None:
    judged = material(np.zeros((60, 1, 3)), np.zeros(60, np.int64))
    was = np.repeat([0, 1, 2], 20)
    now = was.copy()
    now[:9] = 2
    now[20:23] = 2
    names = ("inner", "outer", "ball")
    found = changes.moved(judged, was, now, was, "labels", names)
    assert found == Moved(
        60, 12, "labels", 12, 0, 12, {"ball": (20, 32), "inner": (20, 11), "outer": (20, 17)},
        [("inner", "ball", 9), ("outer", "ball", 3)], found.which,
    )  # fmt: skip
    told = words.moved(found, 60)
    assert told[1:] == [
        "'ball' gained 12 windows in all, mostly from 'inner'.",
        "'inner' lost 9 windows in all, mostly to 'ball'.",
        "Of the 12 whose label is known, 0 became right and 12 became wrong.",
    ]


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.0004, "under 0.1 %"), (0.021, "2.1 %"), (0.0996, "10 %"), (1, "100 %")]
)
def test_percents_read_well(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_the_decision_in_words() -> None:
    found = Decision(
        64, (0.0, 0.01), {"co2_6h": (0.31, 0.62), "water": (0.4, 0.19), "noise": (0.01, 0.09)},
        (0.28, 0.1), {"level": (0.2, 0.7), "swings of 2 h": (0.8, 0.3)}, [], {},
    )  # fmt: skip
    assert words.decision(found, 64) == [
        "On 64 held-out windows the new student's decision rests most on co2_6h (62 %), water (19 %) and "
        "noise (9.0 %).",
        "Compared with the running student, co2_6h matters twice as much (31 % → 62 % of the decision), "
        "water matters half as much (40 % → 19 % of the decision) and noise matters where it hardly did "
        "(1.0 % → 9.0 % of the decision).",
        "By frequency, the window's level decides most (20 % → 70 %).",
    ]
    rough = Decision(64, (0.3, 0.1), {"co2": (1.0, 1.0)}, (0.0, 0.0), {}, [], {})
    assert words.decision(rough, 64)[-1] == "These shares are rough: they miss 30 % of what they explain."


def test_long_windows_and_pictures_are_shown_in_part() -> None:
    x = np.arange(2 * 200 * 3, dtype=np.float64).reshape(2, 200, 3)
    x[:, 150, 0] = np.nan
    judged = material(x, np.zeros(2, np.int64))
    spec = spec_for(judged, Cut(INPUTS, INPUTS, 200, 200), CLASSES, False)
    logits = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    found = changes.disagreement(judged, judged.said, logits, spec, Units(INPUTS, np.arange(3)), [1, 0, 2])
    (example,) = found.examples
    assert list(example.values) == ["noise", "heat"]
    assert len(example.values["noise"]) == changes.READINGS
    assert example.values["heat"][150 - 200] is None
    assert (example.teacher, example.student, example.label) == ("empty", "occupied", "")

    pixels = tuple(f"p{i}" for i in range(40 * 40))
    pictures = material(np.tile(np.arange(1600.0), (1, 1, 1)), np.zeros(1, np.int64))
    spec = spec_for(pictures, Cut(pixels, pixels, 1, 1), CLASSES, False)
    units = Units(("middle",), np.zeros(1600, np.int64), 40)
    (example,) = changes.disagreement(
        pictures, pictures.said, np.array([[0.0, 1.0]], np.float32), spec, units, [0]
    ).examples
    assert (len(example.picture), len(example.picture[0])) == (16, 16)

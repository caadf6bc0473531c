"""A round explained as a whole: does it say what is so, and nothing where nothing is to be said?"""

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from iot_stream.distill.explain import account
from iot_stream.distill.explain.why import Why, of_report
from iot_stream.distill.material import Material
from iot_stream.distill.student import Architecture, Packed
from iot_stream.errors import ModelError
from tests.distill.explaining import CLASSES, SETTINGS, architecture, evidence, material, readings, student

INPUTS = ("heat", "noise", "light")

pytestmark = pytest.mark.slow  # a graph is exported


@pytest.fixture(scope="module")
def before() -> Material:
    """In the bootstrap the heat tells the class."""
    return material(*readings(np.random.default_rng(0), 400, 0))


@pytest.fixture(scope="module")
def after() -> Material:
    """Later the light does, whose lamp is brighter by three."""
    x, truth = readings(np.random.default_rng(1), 400, 2)
    return material(x + np.array([0.0, 0.0, 3.0]), truth, begin=1000)


@pytest.fixture(scope="module")
def shape(before: Material) -> Architecture:
    return architecture(before, INPUTS)


@pytest.fixture(scope="module")
def students(shape: Architecture, before: Material, after: Material) -> tuple[Packed, Packed]:
    return student(shape, before), student(shape, after)


@pytest.fixture(scope="module")
def why(shape: Architecture, students: tuple[Packed, Packed], before: Material, after: Material) -> Why:
    judged, learnt = after.rows(np.arange(300, 400)), after.rows(np.arange(300))
    return account.of(shape, *students, evidence(learnt, judged, before, since=900 * 10**9), SETTINGS)


def test_the_input_that_took_over_is_named(why: Why) -> None:
    assert why.decision is not None
    shares = why.decision.channels
    assert shares["heat"][0] > 0.5 > 0.2 > shares["heat"][1]
    assert shares["light"][1] == max(after for _, after in shares.values())
    assert sum(after for _, after in shares.values()) == pytest.approx(1, abs=1e-3)
    assert why.decision.gap[1] < 0.01
    first, second = why.words["decision"]
    assert "the new student's decision rests most on light (" in first
    assert "heat matters" in second


def test_what_moved_is_counted_as_the_device_runs_it(
    why: Why, students: tuple[Packed, Packed], after: Material
) -> None:
    judged = after.rows(np.arange(300, 400))
    was, now = (each.model().logits(judged.x).argmax(axis=1) for each in students)
    assert why.moved is not None
    assert (why.moved.windows, why.moved.changed) == (100, int((was != now).sum()))
    assert why.moved.changed > 10
    assert why.moved.mended == int(((was != now) & (now == judged.said)).sum())
    assert sum(count for _, _, count in why.moved.ways) == why.moved.changed
    for device, _, source, target, teacher in why.moved.which:
        assert device in ("room-0", "room-1")
        assert source != target
        assert teacher in CLASSES
    assert why.words["moved"][0].startswith(f"{why.moved.changed} of 100 held-out windows (")


def test_teacher_and_student_agree_where_they_do(why: Why) -> None:
    assert why.disagreement is not None
    assert why.disagreement.apart < 10 < why.disagreement.apart_before
    assert len(why.disagreement.examples) <= 3


def test_what_drifted_is_the_lamp(why: Why) -> None:
    assert why.drift is not None
    assert next(iter(why.drift.channels)) == "light"
    assert "light by 3." in why.words["drift"][0]


def test_what_was_learnt_from_is_told(why: Why) -> None:
    assert why.learnt.devices == {"room-0": 150, "room-1": 150}
    first, second = why.words["learnt"]
    assert first.startswith("Learnt from 300 recent windows of room-0 and room-1 (1970-01-01 00:16:40 to ")
    assert second == "None of the recent ones had a label. 100 were held out to judge by."


def test_the_report_is_small_and_comes_back_as_it_was(why: Why) -> None:
    content = json.dumps(msgspec.to_builtins(why), allow_nan=False)
    assert len(content) < 8000
    assert of_report({"why": json.loads(content)}) == why
    assert of_report({"gate": {}}) is None
    with pytest.raises(ModelError, match=r"another version of iot-stream .*--json"):
        of_report({"why": {"learnt": 3}})


def test_the_same_round_is_explained_the_same_again(
    why: Why, shape: Architecture, students: tuple[Packed, Packed], before: Material, after: Material
) -> None:
    judged, learnt = after.rows(np.arange(300, 400)), after.rows(np.arange(300))
    again = account.of(shape, *students, evidence(learnt, judged, before, since=900 * 10**9), SETTINGS)
    assert msgspec.json.encode(again) == msgspec.json.encode(why)


def test_a_round_that_changed_nothing_says_so(
    shape: Architecture, students: tuple[Packed, Packed], before: Material
) -> None:
    told = material(*readings(np.random.default_rng(5), 200, 0), begin=1000)
    found = evidence(told.rows(np.arange(100)), told.rows(np.arange(100, 200)), before, since=900 * 10**9)
    words_of = account.of(shape, students[0], students[0], found, SETTINGS).words
    assert words_of["decision"][1].startswith("That is much as with the running student")
    assert words_of["moved"] == ["None of 100 held-out windows changed its class."]
    assert words_of["drift"][0].startswith("Nothing drifted")


@pytest.mark.parametrize("held", [0, 1, 19])
def test_too_few_windows_say_nothing_but_that(
    held: int, shape: Architecture, students: tuple[Packed, Packed], before: Material, after: Material
) -> None:
    found = evidence(after.rows(np.arange(5)), after.rows(np.arange(5, 5 + held)), before, since=900 * 10**9)
    told = account.of(shape, *students, found, SETTINGS)
    assert told.decision is told.moved is told.disagreement is None
    for part in ("decision", "moved", "disagreement"):
        (sentence,) = told.words[part]
        assert sentence.startswith("No window was held out" if not held else f"Only {held} window")
    json.dumps(msgspec.to_builtins(told), allow_nan=False)


def test_a_channel_without_a_value_breaks_nothing(
    shape: Architecture, students: tuple[Packed, Packed], before: Material, after: Material
) -> None:
    x = after.x.copy()
    x[:, :, 1] = np.nan
    silent = replace(after, x=x)
    found = evidence(silent.rows(np.arange(300)), silent.rows(np.arange(300, 400)), before, since=900 * 10**9)
    told = account.of(shape, *students, found, SETTINGS)
    json.dumps(msgspec.to_builtins(told), allow_nan=False)
    assert told.decision is not None
    assert told.decision.channels.get("noise", (0.0, 0.0))[1] == 0
    assert any(sentence.startswith("noise is missing in 100 %") for sentence in told.words["drift"])

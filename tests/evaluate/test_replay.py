"""Replay on a small world: who may know what at which moment, and that it can be repeated."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.config import Pipeline
from iot_stream.evaluate.replay import course, figures
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.recordings import Recording
from tests.evaluate.replaying import pipeline, recorded, run

pytestmark = pytest.mark.slow

Run = tuple[Stream, Course]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return pipeline(tmp_path_factory.mktemp("replay"))


@pytest.fixture(scope="module")
def recordings(settings: Pipeline) -> list[Recording]:
    return recorded(settings)


@pytest.fixture(scope="module")
def done(settings: Pipeline, recordings: list[Recording]) -> Run:
    return run(settings, recordings)


def test_everyone_speaks_on_every_window(done: Run) -> None:
    stream, ran = done
    assert set(ran.said) == set(figures.RIVALS)
    for rival, said in ran.said.items():
        assert (said >= 0).all(), rival
    assert len(stream) > 2000
    assert len(ran.rounds) == 8


def test_the_same_seed_says_the_same_and_another_does_not(
    settings: Pipeline, recordings: list[Recording], done: Run
) -> None:
    stream, first = done
    _, again = run(settings, recordings)
    for rival in figures.RIVALS:
        np.testing.assert_array_equal(again.said[rival], first.said[rival])
    assert again.student == first.student
    assert again.bytes_down == first.bytes_down
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in seed["rounds"]]
        for seed in (figures.result(stream, [each])["seeds"][0] for each in (first, again))
    ]
    assert timeless[0] == timeless[1]
    _, other = run(settings, recordings, seed=1)
    assert other.student.weights != first.student.weights


def test_labels_of_the_future_change_no_figure_of_the_past(
    settings: Pipeline, recordings: list[Recording], done: Run
) -> None:
    stream, before = done
    now = before.rounds[4].turn.now  # in the second regime: labels of both have come by then
    shuffled = [_shuffled_after(recording, now) for recording in recordings]
    assert any((a.labels != b.labels).any() for a, b in zip(recordings, shuffled, strict=True))
    after_stream, after = run(settings, shuffled)
    np.testing.assert_array_equal(after_stream.x, stream.x)
    past = stream.ends <= now
    for rival in figures.RIVALS:
        np.testing.assert_array_equal(after.said[rival][past], before.said[rival][past], rival)
    assert [(r.outcome, r.reason) for r in after.rounds[:5]] == [
        (r.outcome, r.reason) for r in before.rounds[:5]
    ]
    # What was shuffled does matter once it is known: the test would see a leak.
    later = stream.ends > now
    assert (after.said["labels_only"][later] != before.said["labels_only"][later]).any()
    assert (after.said["teacher"][later] != before.said["teacher"][later]).any()


def _shuffled_after(recording: Recording, now: int) -> Recording:
    late = np.flatnonzero(recording.times > now)
    labels = recording.labels.copy()
    labels[late] = np.random.default_rng(0).permutation(labels[late])
    return replace(recording, labels=labels)


def test_a_version_acts_only_after_its_round(done: Run) -> None:
    stream, ran = done
    first = next(r for r in ran.rounds if r.outcome == "released")
    early = stream.ends <= first.turn.done
    assert first.turn.done == first.turn.now + 2 * SECOND
    np.testing.assert_array_equal(ran.said["student"][early], ran.said["static"][early])
    assert (ran.said["student"][~early] != ran.said["static"][~early]).any()


def test_a_round_learns_only_what_has_arrived(
    settings: Pipeline, recordings: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = course.round.Round

    def spy(learner, running, material, since, now, *others):
        seen.append((material, now))
        return original(learner, running, material, since, now, *others)

    monkeypatch.setattr(course.round, "Round", spy)
    run(settings, recordings)
    labelled = 0
    for material, now in seen:
        assert (material.ends <= now).all()
        assert (material.ends[material.labels >= 0] <= now - 5 * SECOND).all()
        labelled += int((material.labels >= 0).sum())
    assert labelled > 100


def test_rounds_do_not_overlap_and_wait_for_their_period(done: Run) -> None:
    for earlier, later in pairwise(done[1].rounds):
        before, after = earlier.turn, later.turn
        assert after.now >= before.done
        assert after.since == (before.now if earlier.report["gate"]["enough"] else before.since)
        assert after.now - before.now <= 17 * SECOND


def test_without_late_labels_labels_only_stays_static(tmp_path: Path) -> None:
    settings = pipeline(tmp_path)
    assert settings.recordings is not None
    unlabelled = replace_labels(settings, 0.0)
    _, ran = run(unlabelled, recorded(unlabelled))
    np.testing.assert_array_equal(ran.said["labels_only"], ran.said["static"])
    assert (ran.said["control"] != ran.said["static"]).any()


def replace_labels(settings: Pipeline, fraction: float) -> Pipeline:
    recordings = settings.recordings
    assert recordings is not None
    labels = msgspec.structs.replace(recordings.labels, fraction=fraction)
    return msgspec.structs.replace(settings, recordings=msgspec.structs.replace(recordings, labels=labels))


def test_the_fleet_adapts_to_the_second_regime(done: Run) -> None:
    result = figures.result(*_one(done))
    heavy = next(each for each in result["segments"] if each["name"] == "heavy")
    assert heavy["tail"]["student"]["mean"] > heavy["tail"]["static"]["mean"] + 0.1
    assert result["released"] >= 2
    assert result["bytes_down_per_device"] > result["released"] * 1000


def _one(done: Run) -> tuple[Stream, list[Course]]:
    return done[0], [done[1]]

"""Cohorts in replay: a student each, of the same teacher; who becomes alike shares one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError
from iot_stream.evaluate.replay import course
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.recordings import Recording
from tests.evaluate import replaying
from tests.evaluate.replaying import pipeline, recorded

pytestmark = pytest.mark.slow


def ran(settings: Pipeline, recordings: list[Recording]) -> tuple[Stream, Course, list[set[str]]]:
    """Stream, course, and the devices of which each round was."""
    seen: list[set[str]] = []
    original = course.round.Round

    def spy(learner, running, material, *rest):
        seen.append(set(material.devices.tolist()))
        return original(learner, running, material, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course.round, "Round", spy)
        stream, found = replaying.run(settings, recordings)
    return stream, found, seen


def test_each_device_has_a_student_that_learns_from_it_alone(tmp_path: Path) -> None:
    # A machine is in one class for long: every fifth block judges, not the newest windows.
    gate = {"n_min": 4, "delta": 0.9, "recall_drop": 1.0, "block": "2 s"}
    settings = pipeline(tmp_path, cohorts={"by": "device"}, gate=gate)
    stream, found, seen = ran(settings, recorded(settings))
    devices = set(np.unique(stream.devices).tolist())
    assert all(len(each) == 1 for each in seen)
    assert {done.turn.cohort for done in found.rounds} == devices
    moments = {done.turn.now for done in found.rounds}
    assert len(found.rounds) == len(devices) * len(moments)  # all at the same moments
    for done in found.rounds:
        assert set(done.report["sample"]["devices"]) <= {done.turn.cohort}
        assert done.devices == 1
    released = {d: sum(r.outcome == "released" for r in found.rounds if r.turn.cohort == d) for d in devices}
    assert min(released.values()) > 0
    after = stream.ends > max(moments)
    right = {lane: float((found.said[lane] == stream.truth)[after].mean()) for lane in ("student", "static")}
    assert right["student"] > right["static"] + 0.05  # nine hundredths, of one device's windows each


@pytest.mark.long
def test_one_cohort_is_as_if_there_were_none(tmp_path: Path) -> None:
    """All in one by drift, for nothing sets them apart: the same students, byte for byte."""
    plain = pipeline(tmp_path)
    grouped = pipeline(tmp_path, cohorts={"by": "drift", "apart": 1000.0})
    (_, one), (_, other) = (replaying.run(settings, recorded(settings)) for settings in (plain, grouped))
    assert one.student == other.student
    np.testing.assert_array_equal(one.said["student"], other.said["student"])
    assert one.bytes_down == other.bytes_down


def test_who_drifts_away_gets_a_student(tmp_path: Path) -> None:
    settings = pipeline(tmp_path, cohorts={"by": "drift", "apart": 3.0}, hold={"far": 0})
    recordings = recorded(settings)
    names = sorted({recording.device for recording in recordings})
    away, moment = set(names[-1:]), min(int(each.times[0]) for each in recordings) + 30 * SECOND
    moved = [
        replace(each, values=each.values + 20 * (each.times > moment)[:, None].astype(np.float32))
        if each.device in away
        else each
        for each in recordings
    ]
    stream, found, seen = ran(settings, moved)
    cohorts = {done.turn.cohort for done in found.rounds}
    assert len(cohorts) == 2
    (new,) = cohorts - {"all"}
    own = [devices for devices, done in zip(seen, found.rounds, strict=True) if done.turn.cohort == new]
    assert own
    assert all(each == away for each in own)
    assert seen[-1] == away or seen[-1] == set(names) - away
    early = stream.ends <= moment
    assert (found.said["student"][~early] >= 0).all()


def test_tags_cannot_be_replayed(tmp_path: Path) -> None:
    settings = pipeline(tmp_path, cohorts={"by": "line"})
    with pytest.raises(ConfigError, match="recordings have no tag 'line'"):
        replaying.run(settings, recorded(settings))

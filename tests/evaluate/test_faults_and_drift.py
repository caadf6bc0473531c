"""A stuck sensor, a broken machine and a real drift in one simulated fleet: only the drift is learnt."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iot_stream.config import Pipeline, load
from iot_stream.evaluate.replay import course, figures
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.recordings import Recording
from simulator.world import world
from tests.evaluate import replaying
from tests.service.running import NAME, write_config

pytestmark = pytest.mark.slow

BEARING = world("bearing")
STUCK, BROKEN = "machine-02", "machine-05"
MACHINES, BURSTS = 8, 40
FAULT, DRIFT = 20, 40
"""Bursts, one a second: from when the two are broken, and from when all run under another load."""


def pipeline(folder: Path, triggers: dict[str, object]) -> Pipeline:
    bearing = {
        "sources": [{"channels": {"drive_end": "drive_end", "fan_end": "fan_end"}}],
        "window": {"length": 128, "gap": "1 ms"},
        "task": {"classify": list(BEARING.classes)},
        "teacher": {"arch": "mlp", "hidden": [32]},
        "student": {"arch": "mlp", "hidden": [8]},
        "train": {"steps": 100},
        "distill": {"first_steps": 100, "steps": 20},
        "sample": {"recent": 300, "reservoir": 200},
        "triggers": triggers,
        "gate": {"n_min": 20, "delta": 0.9, "recall_drop": 1.0},
        "recordings": {
            "world": "bearing",
            "bootstrap": {
                "teacher": {"regimes": ["commissioned", "heavy"], "machines": [100, 140], "bursts": 3},
                "student": {"regimes": ["commissioned"], "machines": [100, 140], "bursts": 3},
            },
            "stream": {"regimes": ["commissioned", "heavy"], "machines": [0, MACHINES], "bursts": BURSTS},
            "segments": "regime",
            "readings": 512,
            "round_time": "2 s",
        },
    }
    return load(write_config(folder, "mqtt://localhost", "p", **bearing)).pipelines[NAME]


def recorded(settings: Pipeline) -> list[Recording]:
    """The world's, but that one sensor sticks and one machine knocks, before all are loaded."""
    return [_with_faults(each) for each in replaying.recorded(settings)]


def _with_faults(recording: Recording) -> Recording:
    begins = int(recording.times[0]) if recording.fields["regime"] == "commissioned" else None
    faulty = recording.times >= (0 if begins is None else begins + FAULT * BEARING.period_ns)
    values = recording.values.copy()
    if recording.device == STUCK:
        values[faulty] = 211.0
    elif recording.device == BROKEN:
        knocks = np.random.default_rng(0).standard_normal(values.shape) * 9000
        values[faulty] = (0.2 * values + np.where(np.abs(knocks) > 20_000, knocks, 0))[faulty]
    return replace(recording, values=values.astype(np.float32))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stream, Course, list[course.Material]]:
    """Stream, course, and what each round was given to learn from."""
    settings = pipeline(tmp_path_factory.mktemp("faults"), {"every": "8 s", "at_least": 50})
    seen = []
    original = course.round.Round

    def spy(learner, running, material, *rest):
        seen.append(material)
        return original(learner, running, material, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course.round, "Round", spy)
        stream, ran = replaying.run(settings, recorded(settings))
    return stream, ran, seen


def test_the_report_names_both_and_says_why(learnt: tuple[Stream, Course, list[course.Material]]) -> None:
    _, ran, _ = learnt
    held = {each["device"]: each["reason"] for done in ran.rounds for each in done.report["held"]}
    assert set(held) == {STUCK, BROKEN}
    assert held[STUCK].startswith("stuck: drive_end, fan_end does not change any more")
    assert held[BROKEN].startswith("like nothing known: ")


def test_only_the_drift_is_learnt(learnt: tuple[Stream, Course, list[course.Material]]) -> None:
    stream, ran, seen = learnt
    begin = int(stream.starts.min())
    last = seen[-1]
    drifted = last.starts >= begin + DRIFT * BEARING.period_ns
    healthy = {f"machine-{index:02d}" for index in range(MACHINES)} - {STUCK, BROKEN}
    assert set(last.devices[drifted].tolist()) == healthy
    faulty = last.starts >= begin + FAULT * BEARING.period_ns
    assert not np.isin(last.devices[faulty], [STUCK, BROKEN]).any()
    assert np.isin(last.devices[~faulty], [STUCK, BROKEN]).any()  # what they said before stays
    # Scored all the same.
    assert (ran.said["student"][np.isin(stream.devices, [STUCK, BROKEN])] >= 0).all()


def test_it_is_in_the_figures(learnt: tuple[Stream, Course, list[course.Material]]) -> None:
    stream, ran, _ = learnt
    rounds = figures.result(stream, [ran])["seeds"][0]["rounds"]
    assert {each["device"] for row in rounds for each in row["held_devices"]} == {STUCK, BROKEN}


def test_drift_starts_the_rounds_and_the_same_seed_the_same_ones(tmp_path: Path) -> None:
    triggers = {"drift": "adwin", "every": "16 s", "longest": "5 min", "at_least": 50, "watch": ["features"]}
    settings = pipeline(tmp_path, triggers)
    recordings = replaying.recorded(settings)
    stream, ran = replaying.run(settings, recordings)
    change = int(stream.starts.min()) + DRIFT * BEARING.period_ns
    reasons = [(done.turn.now, done.turn.reason) for done in ran.rounds]
    alarms = [now for now, reason in reasons if reason.startswith("drift: share of unusual windows rose")]
    assert any(0 <= now - change < 20 * BEARING.period_ns for now in alarms), reasons
    assert not [reason for now, reason in reasons if now < change and reason.startswith("drift")]
    assert len(ran.rounds) < 5  # every 16 s there would be five
    _, again = replaying.run(settings, recordings)
    assert [(done.turn.now, done.turn.reason) for done in again.rounds] == reasons
    assert again.student == ran.student

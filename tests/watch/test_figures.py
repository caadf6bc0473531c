"""What is shown of a store: each figure, and never more series than are allowed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_stream.config import load
from iot_stream.store import Store
from iot_stream.store.rollouts import ABORTED, DONE, PAUSED, SUPERSEDED, Rollout
from iot_stream.store.totals import SEEN
from iot_stream.watch.figures import Figures
from tests.service.running import NAME, write_config
from tests.streams import START
from tests.watch.stores import SECOND, configured, end_round, hear, join, release, shown, speak


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()


def count(store: Store, device: str, reason: str, n: int) -> None:
    with store.write() as tx:
        store.faults.count(tx, NAME, device, reason, n)


# --- what comes in


def test_readings_and_what_was_wrong_are_told_by_device_and_reason(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    hear(store, "a", "b")
    count(store, "a", "late", 3)
    count(store, "", "malformed", 2)
    assert shown(figures, "readings_total") == {("a",): 2, ("b",): 2}
    assert shown(figures, "input_problems_total") == {
        ("a", "lost"): 0,
        ("b", "lost"): 0,
        ("a", "late"): 3,
        ("", "malformed"): 2,
    }


def test_more_devices_than_are_allowed_are_one_series(tmp_path: Path, store: Store) -> None:
    few, many = (Figures(configured(tmp_path, devices=n), store) for n in (3, 2))
    hear(store, "a", "b")
    count(store, "c", "late", 3)
    count(store, "a", "late", 1)
    assert shown(few, "readings_total") == {("a",): 2, ("b",): 2}
    assert shown(many, "readings_total") == {("",): 4}
    assert shown(many, "input_problems_total") == {("", "late"): 4, ("", "lost"): 0}


def test_a_thousand_devices_and_cohorts_make_few_series(tmp_path: Path, store: Store) -> None:
    names = [f"device-{i:04}" for i in range(1000)]
    hear(store, *names)
    with store.write() as tx:
        for name in names:
            for reason in ("late", "duplicate", "malformed"):
                store.faults.count(tx, NAME, name, reason)
    for i, name in enumerate(names):
        join(store, name, i % 50, cohort=name)
        if i < 150:
            release(store, 1, cohort=name)
    found = list(Figures(configured(tmp_path), store).samples())
    assert len(found) < 100
    assert {each.labels for each in found if each.name == "cohorts"} == {(NAME,)}
    assert not [each for each in found if each.name == "released_version"]


def test_what_retention_takes_is_still_counted(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    hear(store, "a", count=5)
    hear(store, "b", arrived=START + 10)
    with store.write() as tx:
        assert store.journal.retain(tx, NAME, START + 5) == 1
    assert store.journal.readings(NAME) == {"b": 2}
    assert shown(figures, "readings_total") == {("a",): 5, ("b",): 2}


def test_readings_that_wait_to_be_cut_are_told_by_their_age(tmp_path: Path, store: Store) -> None:
    config = configured(tmp_path)
    figures, cut = Figures(config, store), config.pipelines[NAME].cut(config.pipelines[NAME].student).id
    hear(store, "a", arrived=START)
    hear(store, "b", arrived=START + 7 * SECOND)
    assert shown(figures, "cutting_lag_seconds")["student",] == 7
    assert shown(figures, "newest_reading_timestamp_seconds") == {("wall",): START / SECOND + 7}
    with store.write() as tx:
        store.memory.save_cutters(tx, NAME, cut, 2, {})
    assert shown(figures, "cutting_lag_seconds")["student",] == 0


# --- the fleet


def test_devices_are_counted_by_what_they_say_of_themselves(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    release(store, 1)
    release(store, 2)
    join(store, "a", 2)
    join(store, "b", 1)
    join(store, "c", 1, online=False)
    store.scope.hold("person", NAME, "b", START, "stuck")
    store.scope.hold("person", NAME, "", START, "holiday")
    assert shown(figures, "devices") == {(): 3}
    assert shown(figures, "devices_online") == {(): 2}
    assert shown(figures, "devices_behind") == {(): 1}
    assert shown(figures, "devices_running") == {("1",): 2, ("2",): 1}
    assert shown(figures, "devices_held") == {(): 1}
    assert shown(figures, "learning_paused") == {(): 1}
    assert shown(figures, "released_version") == {("all",): 2}
    assert shown(figures, "bundle_bytes") == {("all",): 10}


def test_versions_that_few_run_are_one_series(tmp_path: Path, store: Store) -> None:
    for version in range(1, 16):
        join(store, f"d{version}", version)
    join(store, "another", 15)
    running = shown(Figures(configured(tmp_path), store), "devices_running")
    assert len(running) == 11
    assert running["15",] == 2
    assert running["other",] == 5


# --- rounds


def test_rounds_are_counted_once_however_often_somebody_asks(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    assert shown(figures, "rounds_total")["released",] == 0
    cost = {"seconds": 2.0, "cpu_seconds": 3.0}
    gate = {"outcome": "passed", "windows": 80, "candidate": 0.9, "running": 0.8}
    end_round(store, 1, "released", START, START + 2 * SECOND, cost=cost, gate=gate, version=2)
    for _ in range(2):
        assert shown(figures, "rounds_total")["released",] == 1
        assert shown(figures, "round_cpu_seconds_total") == {(): 3}
    assert shown(figures, "gate_candidate_ratio") == {(): 0.9}
    assert shown(figures, "gate_running_ratio") == {(): 0.8}
    end_round(store, 2, "held", START, START + 9 * SECOND, trust={"doubt": "labels say otherwise"})
    assert shown(figures, "teacher_held") == {(): 1}
    assert shown(figures, "last_round_seconds") == {(): 9}
    assert shown(figures, "rounds_total") == {
        ("released",): 1, ("rejected",): 0, ("held",): 1, ("failed",): 0, ("interrupted",): 0,
    }  # fmt: skip
    assert shown(Figures(configured(tmp_path), store), "round_cpu_seconds_total") == {(): 3}


def test_a_failed_round_has_no_gate(tmp_path: Path, store: Store) -> None:
    end_round(store, 1, "failed", START, START + SECOND, error="no room")
    figures = Figures(configured(tmp_path), store)
    assert shown(figures, "rounds_total")["failed",] == 1
    assert shown(figures, "gate_candidate_ratio") == {}


def test_recovery_lasts_until_the_last_device_of_the_cohort_has_the_version(
    tmp_path: Path, store: Store
) -> None:
    figures = Figures(configured(tmp_path), store)
    begun = START
    end_round(store, 1, "released", begun, START + SECOND, version=2, gate={"lower": 0.01})
    join(store, "a", 2)
    join(store, "z", 2, cohort="other")
    assert shown(figures, "recovery_seconds") == {}
    for device, event, version in (
        ("a", "applied", 1),
        ("z", "applied", 2),
        ("a", "rejected", 2),
        ("a", "made-up", 2),
    ):
        store.registry.add_event(NAME, device, event, version, 0, "{}")
    assert shown(figures, "recovery_seconds") == {}
    store.registry.add_event(NAME, "a", "applied", 2, 0, "{}")
    (at,) = [row[0] for row in store.registry.events(NAME)[-1:]]
    assert shown(figures, "recovery_seconds") == {(): (at - begun) / SECOND}
    assert shown(figures, "device_events_total") == {
        ("applied",): 3, ("rejected",): 1, ("rolled_back",): 0, ("health",): 0, ("other",): 1,
    }  # fmt: skip


def test_a_version_that_is_no_better_is_no_recovery(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    end_round(store, 1, "released", START, START + SECOND, version=2, gate={"lower": 0.0})
    join(store, "a", 2)
    assert shown(figures, "rounds_total")["released",] == 1
    store.registry.add_event(NAME, "a", "applied", 2, 0, "{}")
    assert shown(figures, "recovery_seconds") == {}


# --- the promise


def test_accuracy_is_of_windows_that_have_a_label(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    release(store, 1)
    for i in range(8):  # six of class 0, two of class 1
        truth = int(i >= 6)
        speak(store, "a", START + i, truth, student=truth, static=0, teacher=None if i == 0 else truth)
    speak(store, "a", START + 100, None, student=1, static=1, teacher=1)
    speak(store, "b", START + 1, None, student=1)
    told = pytest.approx(5 / 7)  # the teacher has not told the first window, so that it counts for nobody
    assert shown(figures, "accuracy_ratio") == {("student",): 1, ("static",): told, ("teacher",): 1}
    assert shown(figures, "balanced_accuracy_ratio") == {("student",): 1, ("static",): 0.5, ("teacher",): 1}
    assert shown(figures, "judged_windows") == {("student",): 7, ("static",): 7, ("teacher",): 7}


def test_a_label_that_comes_late_or_is_corrected_counts(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    release(store, 1)
    speak(store, "a", START, None, student=1)
    assert shown(figures, "accuracy_ratio") == {}
    speak(store, "a", START, 0)
    assert shown(figures, "accuracy_ratio") == {("student",): 0}
    speak(store, "a", START, 1)
    assert shown(figures, "accuracy_ratio") == {("student",): 1}


def test_without_labels_there_is_agreement_with_the_teacher(tmp_path: Path, store: Store) -> None:
    figures = Figures(configured(tmp_path), store)
    release(store, 1)
    for i in range(4):
        speak(store, "a", START + i, None, student=1, static=0, teacher=int(i > 0))
    speak(store, "a", START + 9, None, student=1, teacher=None)
    assert shown(figures, "agreement_ratio") == {("student",): 0.75, ("static",): 0.25}
    assert shown(figures, "accuracy_ratio") == {}


def test_only_the_newest_labels_count(tmp_path: Path, store: Store) -> None:
    release(store, 1)
    for i in range(1200):
        speak(store, "a", START + i, int(i >= 200), student=1)
    figures = Figures(configured(tmp_path), store)
    assert shown(figures, "judged_windows") == {("student",): 1000}
    assert shown(figures, "accuracy_ratio") == {("student",): 1}


def test_rollouts_are_counted_by_their_end_and_shown_by_their_stage(tmp_path: Path, store: Store) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p", release={"stages": ["10%", "50%", "100%"]})
    figures = Figures(load(path), store)
    with store.write() as tx:
        for version, state, stage in ((1, DONE, 2), (2, ABORTED, 0), (3, SUPERSEDED, 1), (4, PAUSED, 1)):
            rollout = Rollout("all", version, state, stage, START, START)
            store.rollouts.save(tx, NAME, rollout, "controller", "advance", "soaked")
        store.totals.add(tx, NAME, SEEN, 70)
    assert shown(figures, "rollouts_running") == shown(figures, "rollouts_paused") == {(): 1}
    assert shown(figures, "rollouts_total") == {(state,): 1 for state in (DONE, ABORTED, SUPERSEDED)}
    assert shown(figures, "rollout_stage_ratio") == {("all",): 0.5}
    assert shown(figures, "sampled_windows_total") == {(): 70}

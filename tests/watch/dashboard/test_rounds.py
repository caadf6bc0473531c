"""The rounds as the page shows them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from iot_stream.clock import wall
from iot_stream.config import Gate, Pipeline, Task, Window
from iot_stream.errors import ConfigError
from iot_stream.store import Store
from iot_stream.store.registry import Round
from iot_stream.watch.dashboard.progress import Progress
from iot_stream.watch.dashboard.views import rounds
from iot_stream.watch.dashboard.views.rounds import Rounds, View, Whole
from tests.service.running import NAME
from tests.watch.dashboard.test_progress import tell
from tests.watch.stores import SECOND, end_round

PIPELINE = Pipeline(window=Window(length=1), task=Task(classify=("a", "b")), gate=Gate(delta=0.02))
GATE = {"outcome": "passed", "reason": "+0.05", "basis": "labels", "windows": 80, "candidate": 0.95,
        "running": 0.9, "gain": 0.05, "lower": 0.01, "recall": {"good": [0.9, 0.8]}}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def listed(store: Store, progress: Progress | None = None, **query: str) -> Rounds:
    found = View(store, NAME, PIPELINE, progress or Progress()).view(query)
    assert isinstance(found, Rounds)
    return found


def begin(store: Store, name: str, started: int, cohort: str = "all") -> None:
    with store.write() as tx:
        store.registry.save_round(tx, Round(name, NAME, cohort, "drift", started, None, 0, "running", {}))


def test_a_store_without_rounds_has_an_empty_list(store: Store) -> None:
    found = listed(store)
    assert (found.rounds, found.older, found.running, found.usual_s) == ([], False, {}, None)


def test_the_first_version_took_what_its_training_took(store: Store) -> None:
    report = {"teacher": {"seconds": 40.0, "steps": 600}, "first_student": {"seconds": 20.0}, "gate": GATE}
    with store.write() as tx:
        first = Round("r0", NAME, "all", "bootstrap", SECOND, SECOND + 1000, 0, "released", report)
        store.registry.save_round(tx, first)
    end_round(store, 1, "held", 10 * SECOND, 12 * SECOND, teacher="ab12")
    assert [each.took_s for each in listed(store).rounds] == [2, pytest.approx(60, abs=1e-3)]


def test_the_newest_round_comes_first_with_its_gate_and_cost(store: Store) -> None:
    end_round(store, 1, "failed", 10 * SECOND, 12 * SECOND, error="the loss became nan")
    cost = {"seconds": 3.5, "cpu_seconds": 3.0}
    end_round(store, 2, "released", 20 * SECOND, 24 * SECOND, gate=GATE, cost=cost, version=7, running=6)
    newest, before = listed(store).rounds
    assert (newest.id, newest.started, newest.ended, newest.outcome) == ("r2", 20, 24, "released")
    gate = newest.outline.gate
    assert (gate.candidate, gate.running, gate.gain, gate.lower, gate.windows) == (0.95, 0.9, 0.05, 0.01, 80)
    assert (newest.outline.version, newest.outline.running, newest.outline.cost.seconds) == (7, 6, 3.5)
    assert (before.outcome, before.outline.error) == ("failed", "the loss became nan")


def test_a_long_list_comes_in_pages(store: Store) -> None:
    for number in range(rounds.PAGE + 3):
        end_round(store, number, "held", number * SECOND, number * SECOND + 1)
    first = listed(store)
    assert (len(first.rounds), first.older) == (rounds.PAGE, True)
    second = listed(store, before=str(first.rounds[-1].started))
    assert [each.id for each in second.rounds] == ["r2", "r1", "r0"]
    assert not second.older
    assert listed(store, cohort="north").rounds == []


def test_a_round_that_runs_shows_its_steps_and_how_long_such_rounds_take(store: Store) -> None:
    for number, took in enumerate((2, 4, 30)):
        end_round(store, number, "released", 100 * number * SECOND, (100 * number + took) * SECOND)
    end_round(store, 8, "failed", 400 * SECOND, 1400 * SECOND)  # its time says nothing
    begin(store, "r9", 2000 * SECOND)
    progress = Progress()
    tell(progress, "r9", "progress", pipeline=NAME, stage="sample", detail="300 recent")
    found = listed(store, progress)
    assert found.rounds[0].ended is None
    assert [step.stage for step in found.running["r9"]] == ["sample"]
    assert found.usual_s == 4
    one = View(store, NAME, PIPELINE, progress).view({"id": "r9"})
    assert isinstance(one, Whole)
    assert ([step.detail for step in one.steps], one.usual_s) == (["300 recent"], 4)


def test_what_comes_before_a_round_is_told_while_it_is_news(store: Store) -> None:
    progress = Progress()
    tell(progress, "r0", "progress", pipeline=NAME, stage="training", detail="step 20 of 200")
    assert [step.detail for step in listed(store, progress).preparing] == ["step 20 of 200"]
    end_round(store, 0, "released", 1, 2)
    assert listed(store, progress).preparing == []
    tell(progress, "r1", "progress", pipeline=NAME, stage="training", detail="taken from the registry")
    assert listed(store, progress).preparing == []  # said long ago, and there are rounds
    tell(progress, "r2", "progress", wall() // 10**9, pipeline=NAME, stage="teacher", detail="it is away")
    assert [step.detail for step in listed(store, progress).preparing] == ["it is away"]
    assert progress.newest("another") == ("", [])


def test_one_round_comes_with_its_whole_report(store: Store) -> None:
    end_round(store, 1, "released", 1, 2, gate=GATE, why={"words": {"drift": ["f0 drifted."]}})
    found = View(store, NAME, PIPELINE, Progress()).view({"id": "r1"})
    assert isinstance(found, Whole)
    report = msgspec.json.decode(msgspec.json.encode(found))["report"]
    assert found.delta == 0.02
    assert report == {"gate": GATE, "why": {"words": {"drift": ["f0 drifted."]}}}
    with pytest.raises(ConfigError, match="has no round 'r2'"):
        View(store, NAME, PIPELINE, Progress()).view({"id": "r2"})
    for wrong in ("noon", "nan", "inf", "1e300"):
        with pytest.raises(ConfigError, match=f"before: '{wrong}' is no number"):
            listed(store, before=wrong)


def test_who_does_not_learn_is_told_and_why(store: Store) -> None:
    store.scope.hold("cli", NAME, "pump", 0, "a device is not all")
    assert listed(store).paused == ""
    store.scope.hold("cli", NAME, "", 0, "works going on")
    end_round(store, 1, "held", 5, 6, trust={"doubt": "light is stuck"})
    found = listed(store)
    assert found.paused == "works going on"
    assert found.doubts == ["light is stuck (cohort all)"]

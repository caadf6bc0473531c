"""All peers on a small stream: no leak, the same twice, and told in every place where figures are."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from iot_stream.cli import main
from iot_stream.config import Pipeline
from iot_stream.distill.material import Material
from iot_stream.distill.student import spec_for
from iot_stream.evaluate.peers import lessons, moa, neighbours, online, refitted, run, told
from iot_stream.evaluate.replay import figures
from iot_stream.evaluate.replay.plan import Turn, Waiting, turns
from iot_stream.evaluate.replay.stream import Stream, observe
from iot_stream.recordings import Recording, late_labels
from iot_stream.service import bootstrap
from iot_stream.service.triggers import Trigger
from iot_stream.spec import Spec
from tests.evaluate.replaying import PLACE, pipeline, recorded
from tests.evaluate.test_figures import a_course, a_stream

ROOT = Path(__file__).parents[3]
QUICK = {"lda": refitted.KINDS["lda"], "knn": neighbours.KINDS["knn"], "softmax": online.KINDS["softmax"]}


@pytest.fixture
def settings(tmp_path: Path) -> Pipeline:
    """Two regimes of 20 s, rounds every 4 s; a third of the labels, 2 s late."""
    recordings = {
        "world": "features",
        "bootstrap": {
            "teacher": {"regimes": ["commissioned"], "machines": [100, 104], "bursts": 128},
            "student": {"regimes": ["commissioned"], "machines": [100, 104], "bursts": 128},
        },
        "stream": {"regimes": ["commissioned", "heavy"], "machines": [0, 4], "bursts": 200},
        "labels": {"fraction": 0.3, "delay": "2 s"},
        "round_time": "1 s",
    }
    return pipeline(tmp_path, triggers={"every": "4 s", "at_least": 20}, recordings=recordings)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("river")
    monkeypatch.setattr(run, "KINDS", QUICK)


def first_data(settings: Pipeline) -> tuple[Spec, Material]:
    assert settings.recordings is not None
    assert settings.recordings.bootstrap is not None
    found = bootstrap.load(settings, settings.recordings.bootstrap.student, PLACE)
    logits = np.eye(2, dtype=np.float32)[found.labels]
    material = Material(found.devices, found.starts, found.ends, found.student_x, logits, found.labels)
    return spec_for(material, settings.cut(settings.student), settings.classes, False), material


def ran(settings: Pipeline, recordings: list[Recording]) -> tuple[Stream, list[Turn], dict[str, run.Ran]]:
    assert settings.recordings is not None
    stream = observe(recordings, settings)
    everyone = {"all": Waiting(Trigger(settings.triggers, 0, 0))}
    moments = turns(stream, everyone, lambda _: "all", settings.recordings, [])
    plan = [turn for (turn,) in moments]
    spec, material = first_data(settings)
    known = late_labels(recordings, settings.recordings, 0)
    heard = lessons.of_stream(stream, known, np.zeros(0, np.int64))
    steps: list[float] = []
    found = run.run(spec, material, stream, heard, plan, 0, steps.append)
    assert len(steps) == len(found) == len(run.KINDS)
    assert steps[-1] == 1
    return stream, plan, found


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_labels_of_the_future_change_no_word_of_the_past(settings: Pipeline) -> None:
    recordings = recorded(settings)
    stream, plan, before = ran(settings, recordings)
    now = plan[6].now  # in the second regime
    shuffled = []
    for recording in recordings:
        labels, late = recording.labels.copy(), recording.times > now
        labels[late] = np.random.default_rng(0).permutation(labels[late])
        shuffled.append(replace(recording, labels=labels))
    _, _, after = ran(settings, shuffled)
    past = stream.ends <= now
    for name in QUICK:
        assert (before[name].said >= 0).all()
        np.testing.assert_array_equal(after[name].said[past], before[name].said[past], name)
        assert (after[name].said[~past] != before[name].said[~past]).any(), name  # a leak would be seen


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_the_same_twice_and_told(settings: Pipeline) -> None:
    recordings = recorded(settings)
    stream, _, first = ran(settings, recordings)
    _, _, again = ran(settings, recordings)
    for name in QUICK:
        np.testing.assert_array_equal(first[name].said, again[name].said)
        timeless = [
            {key: value for key, value in each[name].report.items() if "seconds" not in key}
            for each in (first, again)
        ]
        assert timeless[0] == timeless[1]
        assert timeless[0]["settings"]["inputs"] == "values"
        assert 100 < timeless[0]["lessons"] < len(stream) / 2
    assert first["lda"].report["parameters"] == 4 * 10 + 1  # of two classes one plane decides


def peers_told() -> tuple[dict, dict]:
    lda = {
        "settings": {"inputs": "values", "shrinkage": "auto"},
        "refreshed": "round",
        "learns_from": "labels",
        "lessons": 7,
        "parameters": 774,
        "seconds": 3.0,
        "cpu_seconds": 2.0,
    }
    stream = a_stream([0, 1, 0, 1])
    course = a_course(stream, student=[0, 1, 0, 0])
    with_peer = replace(course, said=course.said | {"lda": np.array([1, 1, 0, 1])}, peers={"lda": lda})
    other = replace(with_peer, seed=1, peers={"lda": lda | {"seconds": 5.0, "parameters": 9}})
    return figures.result(stream, [with_peer, other]), lda


def test_peers_stand_beside_the_rivals_in_the_figures() -> None:
    found, lda = peers_told()
    for place in (*found["segments"], found["overall"]):
        for measure in figures.MEASURES:
            assert list(place[measure]) == [*figures.RIVALS, "lda"]
    assert found["overall"]["accuracy"]["lda"]["mean"] == 0.75
    assert found["seeds"][0]["overall"]["accuracy"]["lda"] == 0.75
    assert found["seeds"][0]["peers"] == {"lda": lda}
    assert found["peers"] == {"lda": lda | {"seconds": 4.0}}
    without = figures.result(a_stream([0, 1]), [a_course(a_stream([0, 1]))])
    assert "peers" not in without
    assert "peers" not in without["seeds"][0]


def test_the_table_has_the_student_the_peers_and_who_could_not_run() -> None:
    found, _ = peers_told()
    found["peers"]["moa_srp"] = {"not_run": "no JVM: install one"}
    first, second, last = told.rows(found)
    assert first == ["student", *["0.750 ± 0.000"] * 2, *["0.000 ± 0.000"] * 2, "241 parameters", "", ""]
    assert (second[0], second[-3:]) == ("LDA", ["774 parameters", "inputs values, shrinkage auto", "2"])
    assert (last[0], last[-2]) == ("SRP (MOA)", "not run: no JVM: install one")
    assert "the late labels" in told.note(found)
    found["peers"]["lda"]["learns_from"] = "teacher"
    assert "the teacher's word" in told.note(found)


def test_the_page_of_results_shows_them_where_they_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    results = importlib.import_module("results")
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    result = json.loads((ROOT / "docs" / "results" / "gas_drift.labels_10.json").read_text())
    result = {key: value for key, value in result.items() if key != "peers"}
    (tmp_path / "gas_drift.labels_10.json").write_text(json.dumps(result))
    assert "LDA" not in results.page()
    for measure in result["overall"].values():
        if isinstance(measure, dict):
            measure["lda"] = {"mean": 0.5, "ci95": [0.4, 0.6]}
    result["peers"] = peers_told()[0]["peers"]
    (tmp_path / "gas_drift.labels_10.json").write_text(json.dumps(result))
    row = "| LDA | 0.500 ± 0.100 | 0.500 ± 0.100 | 0.500 ± 0.100 | 0.500 ± 0.100 | 774 parameters | "
    assert row in results.page()


@pytest.mark.slow
def test_replay_runs_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("river")
    monkeypatch.setattr(moa.shutil, "which", lambda _name: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    few = {
        "bootstrap": {
            "teacher": {"regimes": ["commissioned"], "machines": [100, 104], "bursts": 32},
            "student": {"regimes": ["commissioned"], "machines": [100, 104], "bursts": 32},
        },
        "stream": {"regimes": ["commissioned"], "machines": [0, 2], "bursts": 160},
    }
    pipeline(tmp_path, recordings={"world": "features", "round_time": "2 s"} | few)
    (config,) = tmp_path.glob("*.yml")
    target, page = tmp_path / "r.json", tmp_path / "r.html"
    command = ["replay", "--config", str(config), "--peers", "--json", str(target), "--report", str(page)]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result = json.loads(target.read_text())
    assert result["command"].endswith("--seeds 1 --peers")
    assert {"river", "scikit-learn"} < result["machine"].keys()
    for name in run.NEEDED:
        assert 0.4 < result["overall"]["accuracy"][name]["mean"] <= 1, name
        assert result["peers"][name]["learns_from"] == "teacher"  # no label comes in this stream
        assert result["peers"][name]["lessons"] >= 20
        assert f"\n{name} " in done.output
    assert "moa_srp     not run: " in done.output
    assert all("not_run" in result["peers"][name] for name in moa.KINDS)
    text = page.read_text()
    assert "Peers" in text
    assert "ExtraTrees" in text

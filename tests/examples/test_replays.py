"""Each example's configuration, replayed in a short form: it runs and says what it should."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from iot_stream.config import load
from iot_stream.evaluate.replay import page
from iot_stream.evaluate.replay.figures import RIVALS
from iot_stream.evaluate.replay.run import run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CWRU = ROOT.parent / "shared" / "data" / "cwru_drive_end" / "cwru_drive_end.npz"

QUICK: dict[str, Any] = {"train": {"steps": 100}, "distill": {"first_steps": 60, "steps": 20}}


def short(tmp_path: Path, example: str, name: str, **changes: Any) -> dict[str, Any]:
    """Replays `example` with fewer steps and what is changed besides; its files are where they were."""
    (path := tmp_path / "config.yml").write_text(
        yaml.safe_dump({"base": str(EXAMPLES / f"{example}.yml"), "pipelines": {name: QUICK | changes}})
    )
    pipeline = load(path).pipelines[name]
    *_, replayed = run(name, pipeline, (EXAMPLES / example).parent, 1, lambda *_: None)
    for rival in RIVALS:
        assert 0 <= replayed.result["overall"]["accuracy"][rival]["mean"] <= 1
    page.write(tmp_path / "report.html", replayed, "a command")
    assert "Accuracy over time" in (tmp_path / "report.html").read_text()
    return replayed.result


def means(result: dict[str, Any], measure: str = "accuracy") -> dict[str, float]:
    return {rival: value["mean"] for rival, value in result["overall"][measure].items()}


@pytest.mark.parametrize(
    "config", ["occupancy/config", pytest.param("occupancy/other_split", marks=pytest.mark.long)]
)
def test_occupancy(tmp_path: Path, config: str) -> None:
    begin = {"occupancy/config": "2015-02-11", "occupancy/other_split": "2015-02-04T12:00"}[config]
    end = {"occupancy/config": "2015-02-13T23:00", "occupancy/other_split": "2015-02-06T23:00"}[config]
    result = short(tmp_path, config, "office", recordings={"stream": {"from": begin, "to": end}})
    assert [segment["name"] for segment in result["segments"]][-1] == end[:10]
    assert result["student"]["parameters"] <= 500
    assert result["rounds"] >= 2
    assert means(result)["teacher"] > 0.8


@pytest.mark.long
def test_bearing_without_drift(tmp_path: Path) -> None:
    stream = {"machines": [0, 4], "bursts": 12}
    result = short(tmp_path, "bearing/steady", "bearing", recordings={"stream": stream})
    assert [segment["name"] for segment in result["segments"]] == ["commissioned"]
    assert means(result)["teacher"] > 0.8


@pytest.mark.parametrize(
    ("config", "most"), [("student_300", 300), pytest.param("student_2000", 2000, marks=pytest.mark.long)]
)
def test_bearing_cwru(tmp_path: Path, config: str, most: int) -> None:
    if not CWRU.exists():
        pytest.skip(
            "the recordings of Case Western Reserve University are not here; prepare.py makes the file"
        )
    recordings = {"files": str(CWRU), "stream": {"share": [0.5, 0.57]}}
    result = short(tmp_path, f"bearing_cwru/{config}", "bearing", recordings=recordings)
    assert [segment["name"] for segment in result["segments"]] == ["0", "1", "2", "3"]
    assert len(result["classes"]) == 9
    assert result["student"]["parameters"] <= most
    assert result["rounds"] >= 4
    assert means(result)["teacher"] > 0.5


@pytest.mark.parametrize(
    "config",
    [
        "labels_10",
        pytest.param("batch_late", marks=pytest.mark.long),
        pytest.param("labels_all", marks=pytest.mark.long),
        pytest.param("ensemble", marks=pytest.mark.long),
        pytest.param("linear", marks=pytest.mark.long),
    ],
)
def test_gas_drift(tmp_path: Path, config: str) -> None:
    result = short(tmp_path, f"gas_drift/{config}", "nose")
    assert [segment["name"] for segment in result["segments"]] == ["3", "4", "5", "6", "8", "9"]
    assert len(result["classes"]) == 6
    labels = [each["late_labels"] for each in result["seeds"][0]["rounds"]]
    assert labels[-1] > 0
    assert means(result)["teacher"] > 0.4


def test_founding_article(tmp_path: Path) -> None:
    changes = {
        "train": {"steps": 4, "tune_steps": 0},
        "distill": {"first_steps": 4, "steps": 2},
        "triggers": {"every": "20 s", "at_least": 30},
        "gate": {"n_min": 5},
        "recordings": {
            "bootstrap": {
                "teacher": {"machines": [1000, 1100]},
                "student": {"machines": [1000, 1100]},
            },
            "stream": {"machines": [0, 4], "bursts": 320},
        },
    }
    result = short(tmp_path, "founding_article/config", "article", **changes)
    assert result["teacher"]["parameters"] > 4 * result["student"]["parameters"]
    costs = {row["what"].split(" (")[0]: row for row in result["costs"]}
    storage, operations = costs["storage: weights"], costs["compute: operations a window"]
    assert storage["teacher"] > 15 * storage["student"]
    assert operations["teacher"] > operations["student"]
    assert [segment["name"] for segment in result["segments"]] == ["commissioned", "worn"]
    assert result["rounds"] >= 1

"""Rounds in files: one row each, whatever their reports have."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from iot_stream.cli import main
from iot_stream.errors import ConfigError
from iot_stream.export.rounds_file import flat, write
from iot_stream.store import Store
from tests.service.running import NAME, write_config
from tests.watch.stores import SECOND, end_round

T = 1_777_593_600 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three rounds whose reports differ; figures that are whole in one and not in another."""
    store = Store(tmp_path / "store")
    end_round(store, 0, "released", T, T + SECOND, version=1, gate={"gain": 0, "reason": "first, and only"})
    end_round(
        store, 1, "rejected", T + 2 * SECOND, T + 3 * SECOND,
        gate={"gain": -0.25, "recall": {"good": [0.5, 1.0]}}, why={"words": {"learnt": ["x"]}},
        sample={"devices": ["a", "b"], "recent": 7},
    )  # fmt: skip
    end_round(store, 2, "failed", T + 4 * SECOND, T + 5 * SECOND, error="no teacher")
    return store


COLUMNS = [
    "round", "cohort", "trigger", "started", "ended", "outcome", "version", "gate.gain", "gate.reason",
    "gate.recall.good.0", "gate.recall.good.1", "sample.recent", "error",
]  # fmt: skip


def test_parquet_has_a_row_a_round(store: Store, tmp_path: Path) -> None:
    assert write(store, NAME, tmp_path / "r.parquet") == 3
    table = pq.read_table(tmp_path / "r.parquet")
    assert table.column_names == COLUMNS
    assert table.column("round").to_pylist() == ["r0", "r1", "r2"]
    assert table.column("started").to_pylist()[0] == "2026-05-01T00:00:00.000Z"
    assert table.column("gate.gain").to_pylist() == [0.0, -0.25, None]
    assert table.column("gate.recall.good.1").to_pylist() == [None, 1.0, None]
    assert table.column("version").to_pylist() == [1, None, None]
    assert str(table.schema.field("version").type) == "int64"


def test_csv_has_a_row_a_round(store: Store, tmp_path: Path) -> None:
    assert write(store, NAME, tmp_path / "r.csv") == 3
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    assert [*rows[0]] == COLUMNS
    assert [row["gate.reason"] for row in rows] == ["first, and only", "", ""]
    assert [row["gate.gain"] for row in rows] == ["0", "-0.25", ""]
    assert rows[2]["error"] == "no teacher"


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_where_there_was_no_round_the_file_has_no_row(tmp_path: Path, name: str) -> None:
    assert write(Store(tmp_path / "store"), NAME, tmp_path / name) == 0


def test_nested_figures_get_dots_and_lists_stay_out() -> None:
    report = {"a": {"b": {"c": 1.5}, "d": [1, 2], "e": [1, 2, 3], "f": None}, "why": {"x": 1}, "g": True}
    assert flat(report) == {"a.b.c": 1.5, "a.d.0": 1, "a.d.1": 2, "a.f": None, "g": True}


def test_the_command_writes_them_and_refuses_other_kinds(store: Store, tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")

    def export(name: str) -> str:
        ran = CliRunner().invoke(
            main, ["rounds", "export", "--config", str(path), "--to", str(tmp_path / name)]
        )
        return f"{ran.exit_code} {ran.output}"

    assert export("r.csv").startswith("0 3 rounds in")
    assert "ends in .parquet, .csv" in export("r.xml")
    with pytest.raises(ConfigError, match="No such file"):
        write(store, NAME, tmp_path / "none" / "r.csv")

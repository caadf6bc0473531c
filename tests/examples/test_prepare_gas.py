"""The gas example's file, made of what UCI offers."""

import gzip
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "gas_drift"
WHOLE = Path(__file__).parents[3] / "shared" / "data" / "gas_drift" / "gas_drift.csv.gz"


def prepare(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
    runpy.run_path(str(EXAMPLE / "prepare.py"), run_name="__main__")


def text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def uci_line(gas: int, ppm: float, values: list[float]) -> str:
    """As UCI writes them: six decimals, and a space at the end."""
    return f"{gas};{ppm:f} " + "".join(f"{i}:{value:f} " for i, value in enumerate(values, 1)) + "\n"


def write_batches(folder: Path, counts: dict[int, int]) -> dict[int, list[list[float]]]:
    """Batch → rows; the concentration is ten times a row's number."""
    rng = np.random.default_rng(0)
    batches = {n: (rng.normal(size=(count, 128)) * 1000).tolist() for n, count in counts.items()}
    for number, rows in batches.items():
        lines = [uci_line(1 + i % 6, 10.0 * i, row) for i, row in enumerate(rows)]
        (folder / f"batch{number}.dat").write_text("".join(lines))
    return batches


def test_every_row_of_the_batches_is_there_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = write_batches(tmp_path, {3: 7, 4: 2})
    prepare(monkeypatch, tmp_path, "--batches", 3, 4, "-o", tmp_path / "out" / "gas.csv.gz")
    header, *lines = text(tmp_path / "out" / "gas.csv.gz").splitlines()
    assert header.startswith("batch,gas,ppm,s00_f0,s00_f1,")
    assert header.endswith(",s15_f7")
    table = np.array([line.split(",") for line in lines], np.float64)
    assert table[:, 0].tolist() == [3] * 7 + [4] * 2
    assert table[:, 1].tolist() == [1, 2, 3, 4, 5, 6, 1, 1, 2]
    assert table[:, 2].tolist() == [0, 10, 20, 30, 40, 50, 60, 0, 10]
    np.testing.assert_allclose(table[:, 3:], batches[3] + batches[4], rtol=1e-6, atol=1e-6)


def test_batches_that_the_configurations_do_not_use_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_batches(tmp_path, dict.fromkeys(range(1, 11), 1))
    prepare(monkeypatch, tmp_path, "-o", tmp_path / "gas.csv.gz")
    _, *lines = text(tmp_path / "gas.csv.gz").splitlines()
    assert [line.split(",")[0] for line in lines] == ["1", "2", "3", "4", "5", "6", "8", "9"]


def test_a_part_is_spread_evenly_over_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_batches(tmp_path, {1: 12, 2: 2})
    prepare(monkeypatch, tmp_path, "--batches", 1, 2, "--most", 4, "-o", tmp_path / "gas.csv.gz")
    _, *lines = text(tmp_path / "gas.csv.gz").splitlines()
    assert [float(line.split(",")[2]) for line in lines] == [0, 30, 60, 90, 0, 10]


def test_the_archive_without_concentrations_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = uci_line(1, 10, [0.0] * 128)
    (tmp_path / "batch1.dat").write_text(whole + whole.replace(";10.000000", ""))
    with pytest.raises(SystemExit, match=r"batch1\.dat, line 2: .*no concentrations"):
        prepare(monkeypatch, tmp_path, "--batches", 1, "-o", tmp_path / "gas.csv.gz")


def test_a_missing_batch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_batches(tmp_path, {1: 1})
    with pytest.raises(SystemExit, match=r"batch2\.dat is not there"):
        prepare(monkeypatch, tmp_path, "--batches", 1, 2)


@pytest.mark.slow
@pytest.mark.skipif(not WHOLE.exists(), reason="the whole recording does not ship; prepare.py makes it")
def test_the_part_that_ships_is_made_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """UCI's lines, written anew from the whole recording, give the whole again, and the part."""
    _, *lines = text(WHOLE).splitlines()
    rows = [line.split(",") for line in lines]
    for batch in {row[0] for row in rows}:
        own = [uci_line(int(r[1]), float(r[2]), [float(v) for v in r[3:]]) for r in rows if r[0] == batch]
        (tmp_path / f"batch{batch}.dat").write_text("".join(own))
    prepare(monkeypatch, tmp_path, "-o", tmp_path / "whole.csv.gz")
    assert text(tmp_path / "whole.csv.gz") == text(WHOLE)
    prepare(monkeypatch, tmp_path, "--most", 85, "-o", tmp_path / "part.csv.gz")
    assert text(tmp_path / "part.csv.gz") == text(EXAMPLE / "data" / "part.csv.gz")

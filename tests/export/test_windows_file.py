"""Windows in files say what the store says, whichever the kind, and however many there are."""

import csv
import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import iot_stream
from iot_stream.cli import main
from iot_stream.clock import SECOND
from iot_stream.config import Recordings
from iot_stream.errors import ConfigError
from iot_stream.export.windows_file import COLUMNS, WRITERS, Shape, write
from iot_stream.recordings import load
from iot_stream.store.batches import Batch
from tests.api.world import opened
from tests.streams import START

SHAPE = Shape(3, ("a", "b"), ("good", "worn"))


def some(count: int, seed: int, length: int = 3) -> Batch:
    """Windows of three devices; values, labels and words are missing here and there."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, length, 2)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    said = rng.integers(-1, 2, count)
    return Batch(
        x,
        np.array(["d-1", "Gerät 2", "d-3"])[rng.integers(0, 3, count)],
        START + np.arange(count) * SECOND,
        START + np.arange(count) * SECOND + 7,
        rng.integers(-1, 2, count),
        rng.random(count) < 0.3,
        said,
        np.where(said >= 0, rng.random(count), np.nan).astype(np.float32),
        np.where(said >= 0, 12, 0),
        rng.integers(-1, 2, count),
    )


def named(values: np.ndarray) -> list[str | None]:
    return [None if value < 0 else SHAPE.classes[value] for value in values]


def known(batch: Batch) -> dict[str, list[object]]:
    silent = batch.said < 0
    return {
        "device": batch.devices.tolist(),
        "start": batch.starts.tolist(),
        "end": batch.ends.tolist(),
        "label": named(batch.labels),
        "mixed": batch.mixed.tolist(),
        "prediction": named(batch.said),
        "p": [None if s else p for s, p in zip(silent, batch.p.tolist(), strict=True)],
        "version": [None if s else v for s, v in zip(silent, batch.versions.tolist(), strict=True)],
        "teacher": named(batch.teacher),
    }


PARTS = [some(40, 0), some(7, 1), some(0, 2)]
WHOLE = Batch.together(PARTS)


def test_parquet_says_what_was_written(tmp_path: Path) -> None:
    assert write(tmp_path / "w.parquet", iter(PARTS), SHAPE) == 47
    table = pq.read_table(tmp_path / "w.parquet")
    assert table.column_names == [*COLUMNS, "a", "b"]
    for name, wanted in known(WHOLE).items():
        column = table.column(name)
        if name in ("start", "end"):
            assert str(column.type) == "timestamp[ns, tz=UTC]"
            column = column.cast("int64")
        assert column.to_pylist() == wanted, name
    for i, name in enumerate(SHAPE.inputs):
        values = np.array(table.column(name).to_pylist(), np.float32)  # null becomes NaN
        np.testing.assert_array_equal(values, WHOLE.x[:, :, i])
        assert (
            sum(v is None for row in table.column(name).to_pylist() for v in row)
            == np.isnan(WHOLE.x[:, :, i]).sum()
        )
    assert table.schema.metadata[b"classes"] == b"good\nworn"


@pytest.mark.parametrize("name", ["w.csv", "w.csv.gz"])
def test_csv_says_what_was_written(tmp_path: Path, name: str) -> None:
    assert write(tmp_path / name, iter(PARTS), SHAPE) == 47
    text = (tmp_path / name).read_bytes()
    text = gzip.decompress(text) if name.endswith(".gz") else text
    head, *rows = csv.reader(text.decode().splitlines())
    assert head == [*COLUMNS, "a_0", "a_1", "a_2", "b_0", "b_1", "b_2"]
    for column, (label, wanted) in enumerate(known(WHOLE).items()):
        cells = [row[column] for row in rows]
        shown = ["" if w is None else str(int(w)) if isinstance(w, bool) else str(w) for w in wanted]
        if label == "p":
            cells = ["" if c == "" else str(float(c)) for c in cells]
        assert cells == shown, label
    values = np.array([[c or "nan" for c in row[len(COLUMNS) :]] for row in rows], np.float32)
    np.testing.assert_array_equal(values.reshape(-1, 2, 3).transpose(0, 2, 1), WHOLE.x)


def test_npz_says_what_was_written(tmp_path: Path) -> None:
    assert write(tmp_path / "w.npz", iter(PARTS), SHAPE) == 47
    with np.load(tmp_path / "w.npz") as archive:
        for name, wanted in {
            "x": WHOLE.x,
            "missing": np.isnan(WHOLE.x),
            "device": WHOLE.devices,
            "start": WHOLE.starts,
            "end": WHOLE.ends,
            "label": WHOLE.labels,
            "mixed": WHOLE.mixed,
            "prediction": WHOLE.said,
            "p": WHOLE.p,
            "version": WHOLE.versions,
            "teacher": WHOLE.teacher,
            "inputs": np.array(SHAPE.inputs),
            "classes": np.array(SHAPE.classes),
        }.items():
            np.testing.assert_array_equal(archive[name], wanted, err_msg=name)
    assert [path.name for path in tmp_path.iterdir()] == ["w.npz"]


@pytest.mark.parametrize("suffix", [*WRITERS])
def test_no_window_makes_a_file_with_its_columns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    assert write(path, iter([some(0, 0)]), SHAPE) == 0
    if suffix == ".npz":
        assert np.load(path)["x"].shape == (0, 3, 2)
    elif suffix == ".parquet":
        assert pq.read_table(path).num_rows == 0


@pytest.mark.parametrize("suffix", [*WRITERS])
def test_memory_does_not_grow_with_the_number_of_windows(tmp_path: Path, suffix: str) -> None:
    def many(count: int) -> Iterator[Batch]:
        for seed in range(count):
            yield some(1000, seed)

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            assert write(tmp_path / f"w{suffix}", many(count), SHAPE) == count * 1000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what is loaded once
    assert peak(20) < 1.5 * peak(2)


@pytest.mark.parametrize("suffix", [*WRITERS])
def test_a_file_that_is_cut_off_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    class Cut(Exception):
        pass

    def broken() -> Iterator[Batch]:
        yield some(5, 0)
        raise Cut

    path = tmp_path / f"w{suffix}"
    path.write_text("before")
    with pytest.raises(Cut):
        write(path, broken(), SHAPE)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_windows_of_one_reading_are_a_recording_again(tmp_path: Path) -> None:
    """Of length 1: a replay reads what was exported."""
    batch, shape = some(30, 3, length=1), Shape(1, ("a", "b"), SHAPE.classes)
    settings = {"time": "end", "device": "device", "channels": {"a": "a", "b": "b"}, "label": "label"}
    batch = batch.rows(np.flatnonzero(batch.devices == "d-1"))
    for suffix in (".csv", ".csv.gz", ".parquet"):
        write(tmp_path / f"w{suffix}", iter([batch]), shape)
        files = Recordings(files=f"w{suffix}", **settings)  # type: ignore[arg-type]
        (recording,) = load(files, SHAPE.classes, tmp_path)
        np.testing.assert_array_equal(recording.times, batch.ends)
        np.testing.assert_array_equal(recording.values, batch.x[:, 0])
        np.testing.assert_array_equal(recording.labels, batch.labels)


def test_an_input_of_a_columns_name_gets_another() -> None:
    assert Shape(1, ("p", "x"), ()).inputs == ("input_p", "x")


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.parquet, \.csv"):
        write(tmp_path / "w.xlsx", iter([]), SHAPE)
    with pytest.raises(ConfigError, match="No such file or directory"):
        write(tmp_path / "none" / "w.csv", iter([]), SHAPE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[iot_stream.Opened]:
    with opened(tmp_path_factory.mktemp("small")) as it:
        yield it


def test_the_command_writes_the_stores_windows(small: iot_stream.Opened, tmp_path: Path) -> None:
    config = Path(small.store.place).parents[1] / "config.yml"
    for newest, of in ((0, "student"), (50, "teacher")):
        arguments = ["--to", str(tmp_path / "w.npz"), "--newest", str(newest), "--of", of]
        ran = CliRunner().invoke(main, ["windows", "export", "--config", str(config), *arguments])
        wanted = small.windows(of, newest=newest or 10_000)  # type: ignore[arg-type]
        assert ran.exit_code == 0, ran.output
        assert f"{len(wanted)} windows in" in ran.output
        with np.load(tmp_path / "w.npz") as archive:
            np.testing.assert_array_equal(archive["x"], wanted.x)
            np.testing.assert_array_equal(archive["label"], wanted.labels)

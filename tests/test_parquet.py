"""Recordings in Parquet files say what the same recordings in CSV say, whatever types their columns have."""

import gzip
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config import Recordings
from iot_stream.config import load as load_config
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats.json_paths import parse_time
from iot_stream.recordings import Recording, load
from iot_stream.windows import Windower

ROOT = Path(__file__).resolve().parents[1]
OFFICE = ROOT / "examples" / "occupancy"
CLASSES = ("empty", "occupied")
T0 = 1_423_072_260 * SECOND  # 2015-02-04 17:51


def read(folder: Path, table: pa.Table, *, groups: int = 2, **changes: object) -> Recording:
    pq.write_table(table, folder / "a.parquet", row_group_size=groups)
    base = {"files": "a.parquet", "time": "t", "channels": {"x": "x"}, "label": ""}
    (recording,) = load(Recordings(**base | changes), CLASSES, folder)
    return recording


def moments(kind: pa.DataType) -> pa.Array:
    return pa.array([T0 + i * SECOND for i in range(3)], pa.int64()).cast(pa.timestamp("ns")).cast(kind)


def test_the_office_in_parquet_gives_the_same_windows(tmp_path: Path) -> None:
    for path in sorted((OFFICE / "data").glob("*.csv.gz")):
        header, rest = gzip.decompress(path.read_bytes()).split(b"\n", 1)
        names = ["", *header.decode().strip().replace('"', "").split(",")]
        table = pyarrow.csv.read_csv(pa.py_buffer(rest), pyarrow.csv.ReadOptions(column_names=names))
        assert pa.types.is_timestamp(table.schema.field("date").type)
        pq.write_table(table, tmp_path / path.name.replace(".csv.gz", ".parquet"), row_group_size=1000)
    pipeline = load_config(OFFICE / "config.yml").pipelines["office"]
    assert pipeline.recordings is not None
    changed = Recordings(
        **{n: getattr(pipeline.recordings, n) for n in Recordings.__struct_fields__} | {"files": "*.parquet"}
    )
    (csv,) = load(pipeline.recordings, CLASSES, OFFICE)
    (parquet,) = load(changed, CLASSES, tmp_path)
    np.testing.assert_array_equal(parquet.labels, csv.labels)
    assert parquet.texts("Occupancy").tolist() == csv.texts("Occupancy").tolist()
    assert len(csv.times) > 20_000
    cut = pipeline.cut(pipeline.student)
    columns = [csv.channels.index(name) for name in cut.channels]
    ours, theirs = (Windower(cut).push(r.times, r.values[:, columns]) for r in (parquet, csv))
    assert len(theirs) > 20_000
    assert [a.tobytes() for a in ours] == [a.tobytes() for a in theirs]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    ("zone", "settings_zone", "first"),
    [
        (None, "UTC", T0),
        (None, "Europe/Berlin", T0 - 3600 * SECOND),
        ("UTC", "Europe/Berlin", T0),  # a time with a zone needs no setting
        ("America/New_York", "UTC", T0),  # Parquet keeps the moment; the zone is how to show it
    ],
)
def test_timestamps_of_any_unit_and_zone(
    tmp_path: Path, unit: str, zone: str | None, settings_zone: str, first: int
) -> None:
    table = pa.table({"t": moments(pa.timestamp(unit, zone)), "x": [1.0, 2.0, 3.0]})
    recording = read(tmp_path, table, zone=settings_zone)
    assert recording.times.tolist() == [first, first + SECOND, first + 2 * SECOND]
    assert recording.values[:, 0].tolist() == [1, 2, 3]


@given(
    st.lists(st.integers(0, 2**31 * 10**9), min_size=1, max_size=20),
    st.sampled_from(["Europe/Berlin", "Asia/Kathmandu"]),
)
def test_naive_timestamps_are_read_as_their_text_would_be(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], zone: str
) -> None:
    times = [86_400 * SECOND + time // 1000 * 1000 for time in times]  # text has microseconds
    column = pa.array(times, pa.int64()).cast(pa.timestamp("ns"))
    texts = [parse_time(text, zone) for text in pc.strftime(column.cast(pa.timestamp("us"))).to_pylist()]
    recording = read(
        tmp_path_factory.mktemp("p"), pa.table({"t": column, "x": [0.0] * len(times)}), zone=zone
    )
    assert recording.times.tolist() == sorted(texts)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([T0 // SECOND + i for i in range(3)]),
        pa.array([float(T0 // SECOND + i) for i in range(3)]),
        pa.array([T0 + i * SECOND for i in range(3)], pa.uint64()),
        pa.array([f"2015-02-04 17:5{i}:00Z" for i in (1, 2, 3)]),
        pa.array([f"2015-02-04T17:51:0{i}" for i in (0, 1, 2)]).dictionary_encode(),
        pa.array([str(T0 // SECOND + i) for i in range(3)], pa.large_string()),
    ],
)
def test_times_as_numbers_or_text(tmp_path: Path, column: pa.Array) -> None:
    recording = read(tmp_path, pa.table({"t": column, "x": [1, 2, 3]}))
    assert recording.times[0] == T0
    assert (np.diff(recording.times) > 0).all()


def test_days_are_times(tmp_path: Path) -> None:
    recording = read(tmp_path, pa.table({"t": [date(2015, 2, 4), date(2015, 2, 5)], "x": [1, 2]}))
    assert recording.times.tolist() == [parse_time("2015-02-04", "UTC"), parse_time("2015-02-05", "UTC")]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5, None, 3.0]),
        pa.array([1.5, None, 3.0], pa.float16()),
        pa.array(["1.5", None, "3"]),
        pa.array(["1.5", "", "3"]).dictionary_encode(),
        pa.array([1.5, None, 3.0]).dictionary_encode(),
        pa.array([1.5, None, 3.0]).cast(pa.decimal128(5, 2)),
    ],
)
def test_nulls_are_missing_whatever_the_type(tmp_path: Path, column: pa.Array) -> None:
    for groups in (1, 3):
        recording = read(tmp_path, pa.table({"t": moments(pa.timestamp("ms")), "x": column}), groups=groups)
        np.testing.assert_array_equal(recording.values, np.array([[1.5], [np.nan], [3]], np.float32))


def test_whole_numbers_flags_and_a_column_of_nothing(tmp_path: Path) -> None:
    for column, expected in (
        (pa.array([1, 2**40, -3]), [1, 2**40, -3]),
        (pa.array([True, False, True]), [1, 0, 1]),
        (pa.nulls(3), [np.nan] * 3),
        (pa.array([1e300, 0.0, -1e300]), [np.inf, 0, -np.inf]),
    ):
        recording = read(tmp_path, pa.table({"t": moments(pa.timestamp("ms")), "x": column}))
        np.testing.assert_array_equal(recording.values[:, 0], np.array(expected, np.float32))


def test_labels_devices_and_conditions_of_any_type(tmp_path: Path) -> None:
    table = pa.table({"t": moments(pa.timestamp("ms")), "x": [1.0, 2.0, 3.0]})
    for column, labels in (
        (pa.array([1, None, 0]), [1, -1, 0]),
        (pa.array([1.0, None, 0.0]), [1, -1, 0]),
        (pa.array([True, None, False]), [1, -1, 0]),
        (pa.array(["occupied", None, " empty "]).dictionary_encode(), [1, -1, 0]),
    ):
        assert read(tmp_path, table.append_column("y", column), label="y").labels.tolist() == labels
    pq.write_table(table.append_column("who", pa.array([7, 8, 7])), tmp_path / "a.parquet")
    settings = Recordings(files="*.parquet", time="t", channels={"x": "x"}, device="who")
    assert {r.device: r.values[:, 0].tolist() for r in load(settings, CLASSES, tmp_path)} == {
        "7": [1, 3],
        "8": [2],
    }


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**40),
            st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
            st.none() | st.sampled_from(CLASSES),
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda row: row[0],
    ),
    st.integers(1, 40),
)
def test_parquet_and_csv_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float | None, str | None]], groups: int
) -> None:
    folder = tmp_path_factory.mktemp("both")
    times, values, labels = ([row[i] for row in rows] for i in range(3))
    column = pa.array(times, pa.int64()).cast(pa.timestamp("ms"))
    table = pa.table({"t": column, "x": pa.array(values, pa.float32()), "y": pa.array(labels, pa.string())})
    parquet = read(folder, table, groups=groups, label="y")
    told = ("" if value is None else repr(value) for value in values)
    lines = [
        f"{time},{value},{label or ''}"
        for time, value, label in zip(column.cast(pa.string()).to_pylist(), told, labels, strict=True)
    ]
    (folder / "a.csv").write_text("\n".join(["t,x,y", *lines]))
    (csv,) = load(Recordings(files="a.csv", time="t", channels={"x": "x"}, label="y"), CLASSES, folder)
    np.testing.assert_array_equal(parquet.times, csv.times)
    np.testing.assert_array_equal(parquet.values, csv.values)
    np.testing.assert_array_equal(parquet.labels, csv.labels)


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    """What another column holds does no harm, even where its bytes are spoilt."""
    noise = np.random.default_rng(0).bytes(3000)
    table = pa.table({"t": moments(pa.timestamp("ms")), "x": [1.0, 2.0, 3.0], "photo": [noise] * 3})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    content = (tmp_path / "a.parquet").read_bytes()
    assert content.count(noise[:100]) >= 1
    (tmp_path / "a.parquet").write_bytes(
        content.replace(noise, bytes(3000)).replace(b"\xb8\x0b\x00\x00", b"\xff" * 4)
    )
    settings = Recordings(files="a.parquet", time="t", channels={"x": "x"})
    (recording,) = load(settings, CLASSES, tmp_path)
    assert recording.values[:, 0].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"malformed: .*a\.parquet: "):
        load(Recordings(files="a.parquet", time="t", channels={"x": "photo"}), CLASSES, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": {"x": "z"}}, r"a\.parquet has no column 'z'; there are t, x"),
        ({"label": "state"}, r"recordings\.label: .*a\.parquet has neither a column nor a field 'state'"),
    ],
)
def test_a_column_that_is_not_there_is_a_config_error(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, pa.table({"t": moments(pa.timestamp("ms")), "x": [1.0, 2.0, 3.0]}), **changes)


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        (
            "t",
            pa.array([T0, None, T0]).cast(pa.timestamp("ns")),
            "absurd_time: column 't' has 1 rows without a time",
        ),
        ("t", pa.array([-1, 0, 1]).cast(pa.timestamp("ns")), "absurd_time: column 't' has times before 1970"),
        ("t", pa.array([1, 2**53, 3]).cast(pa.timestamp("ms")), "malformed: column 't' of type timestamp"),
        ("t", pa.array(["noon", "", "1"]), "absurd_time: not a time: 'noon'"),
        ("x", pa.array(["1", "two", "3"]), "malformed: column 'x' of type string: .*'two'"),
        ("x", pa.array([[1], [2], [3]]), "malformed: column 'x' of type list<"),
        ("x", pa.array([{"a": 1}] * 3), "malformed: column 'x' of type struct<"),
    ],
)
def test_a_column_that_cannot_be_read_says_which(
    tmp_path: Path, name: str, column: pa.Array, message: str
) -> None:
    columns = {"t": moments(pa.timestamp("ms")), "x": pa.array([1.0, 2.0, 3.0])} | {name: column}
    with pytest.raises(DataError, match=rf"malformed: .*a\.parquet: {message}"):
        read(tmp_path, pa.table(columns))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"t,x\n1,2\n"])
def test_a_file_that_is_none_names_itself(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"malformed: .*a\.parquet: "):
        load(Recordings(files="*.parquet", time="t", channels={"x": "x"}), CLASSES, tmp_path)


def test_a_file_cut_short_names_itself(tmp_path: Path) -> None:
    read(tmp_path, pa.table({"t": moments(pa.timestamp("ms")), "x": [1.0, 2.0, 3.0]}))
    whole = (tmp_path / "a.parquet").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "a.parquet").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"malformed: .*a\.parquet: "):
            load(Recordings(files="a.parquet", time="t", channels={"x": "x"}), CLASSES, tmp_path)


def test_a_folder_of_parquet_and_csv_is_one_recording(tmp_path: Path) -> None:
    read(tmp_path, pa.table({"t": moments(pa.timestamp("ms")), "x": [1.0, 2.0, 3.0]}))
    (tmp_path / "b.csv").write_text("t,x\n2015-02-04 17:51:03,4\n")
    (recording,) = load(Recordings(files=".", time="t", channels={"x": "x"}), CLASSES, tmp_path)
    assert recording.values[:, 0].tolist() == [1, 2, 3, 4]


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path) -> None:
    """In a process of its own, in which importing pyarrow fails as where it is not installed."""
    read(tmp_path, pa.table({"t": moments(pa.timestamp("ms")), "x": [1.0, 2.0, 3.0]}))
    script = f"""
import sys
sys.modules["pyarrow"] = None
from pathlib import Path
from iot_stream.config import Recordings
from iot_stream.errors import ConfigError
from iot_stream.recordings import load
try:
    load(Recordings(files="a.parquet", time="t", channels={{"x": "x"}}), ("a", "b"), Path({str(tmp_path)!r}))
except ConfigError as error:
    print(error)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip().endswith("a.parquet: Parquet needs pyarrow: pip install 'iot-stream[parquet]'")

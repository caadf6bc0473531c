"""Recordings from files: times, devices and labels from wherever the settings say they are."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.config import Recordings, Select
from iot_stream.errors import ConfigError, DataError
from iot_stream.recordings import RECORDING_EPOCH, Recording, load, select
from iot_stream.units import Rate

CLASSES = ("empty", "occupied")
T0 = 1_423_072_260 * SECOND
CSV = """\
date,CO2,Light,Occupancy
2015-02-04 17:51:00,721.25,426,1
2015-02-04 17:52:00,,429,occupied
2015-02-04 17:53:00,713,0,
"""


def settings(**changes: object) -> Recordings:
    base = {
        "files": "*.csv",
        "time": "date",
        "device": "office",
        "channels": {"co2": "CO2"},
        "label": "Occupancy",
    }
    return Recordings(**base | changes)


def read(folder: Path, **changes: object) -> list[Recording]:
    return load(settings(**changes), CLASSES, folder)


def test_a_csv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (recording,) = read(tmp_path)
    assert (recording.device, recording.channels) == ("office", ("co2",))
    assert recording.times.tolist() == [T0, T0 + 60 * SECOND, T0 + 120 * SECOND]
    np.testing.assert_array_equal(recording.values, np.array([[721.25], [np.nan], [713]], np.float32))
    assert recording.labels.tolist() == [1, 1, -1]


def test_a_compressed_file_with_unnamed_row_numbers_is_read(tmp_path: Path) -> None:
    header, *rows = CSV.splitlines()
    numbered = [header] + [f"{i},{row}" for i, row in enumerate(rows)]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress("\n".join(numbered).encode()))
    (recording,) = read(tmp_path, files="*.csv.gz")
    assert recording.values[0, 0] == 721.25
    assert recording.labels.tolist() == [1, 1, -1]


def test_naive_times_are_read_in_the_zone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (recording,) = read(tmp_path, zone="Europe/Berlin")
    assert recording.times[0] == T0 - 3600 * SECOND


def test_files_of_one_device_become_one_recording_in_order_of_time(tmp_path: Path) -> None:
    header, *rows = CSV.splitlines(True)
    (tmp_path / "a.csv").write_text(header + rows[2])
    (tmp_path / "b.csv").write_text(header + rows[0] + rows[1])
    (recording,) = read(tmp_path)
    assert (np.diff(recording.times) > 0).all()
    assert recording.labels.tolist() == [1, 1, -1]


def test_a_column_may_name_the_device(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "date,who,CO2,Occupancy\n2015-02-04,b,1,0\n2015-02-05,a,2,1\n2015-02-06,b,3,1\n"
    )
    recordings = {r.device: r for r in read(tmp_path, device="who")}
    assert recordings.keys() == {"a", "b"}
    assert recordings["b"].values[:, 0].tolist() == [1, 3]
    assert recordings["b"].labels.tolist() == [0, 1]
    assert recordings["a"].values[:, 0].tolist() == [2]


def test_fields_of_the_file_name_may_give_device_and_label(tmp_path: Path) -> None:
    (tmp_path / "room-7_occupied.csv").write_text(CSV)
    (tmp_path / "notes.csv").write_text("not,ours\n1,2\n")
    (recording,) = read(
        tmp_path, match=r"(?P<room>room-\d)_(?P<state>\w+)\.csv", device="room", label="state"
    )
    assert recording.device == "room-7"
    assert recording.labels.tolist() == [1, 1, 1]


def test_arrays_of_an_npz_file_follow_one_another(tmp_path: Path) -> None:
    arrays = {
        "1797_Normal": np.arange(6).reshape(3, 2),
        "1772_Ball": np.arange(4).reshape(2, 2),
        "other": np.zeros((1, 2)),
    }
    np.savez(tmp_path / "rig.npz", **arrays)
    rig = Recordings(
        files="*.npz",
        match=r"(?P<rpm>\d+)_(?P<kind>\w+)",
        pace=Rate.parse("10/s"),
        device="rig",
        channels={"fan": "1"},
        label="kind",
    )
    recordings = load(rig, ("Normal", "Ball"), tmp_path)
    assert [r.labels.tolist() for r in recordings] == [[0, 0, 0], [1, 1]]
    assert recordings[0].values[:, 0].tolist() == [1, 3, 5]
    assert recordings[0].times.tolist() == [RECORDING_EPOCH + i * SECOND // 10 for i in range(3)]
    assert {r.device for r in recordings} == {"rig"}
    chosen = select(recordings, Select(where={"rpm": 1772}), rig)
    assert [r.fields["kind"] for r in chosen] == ["Ball"]
    one, two = select(recordings, Select(), rig)
    assert two.times[0] > one.times[-1] + SECOND  # more than ten periods apart


@pytest.mark.parametrize(
    ("part", "rows"),
    [
        (Select(from_="2015-02-04 17:52"), [1, 2]),
        (Select(to="2015-02-04 17:52"), [0]),
        (Select(from_="2015-02-04 17:52", to="2015-02-04 17:53"), [1]),
        (Select(share=(0, 0.34)), [0]),
        (Select(share=(0.34, 1)), [1, 2]),
        (Select(from_="2016-01-01"), []),
        (Select(where={"Occupancy": (1, "occupied")}), [0, 1]),
        (Select(where={"Occupancy": "occupied"}), [1]),
    ],
)
def test_select_takes_what_meets_all_conditions(tmp_path: Path, part: Select, rows: list[int]) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    chosen = select(read(tmp_path), part, settings())
    found = [int((time - T0) // (60 * SECOND)) for recording in chosen for time in recording.times]
    assert found == rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": "*.tsv"}, r"recordings.files: nothing at"),
        ({"files": "/nowhere/at/all.csv"}, r"recordings.files: nothing at"),
        ({"channels": {"co2": "co2"}}, r"no column 'co2'; there are date, CO2, Light, Occupancy"),
        ({"time": "when"}, r"no column 'when'"),
        ({"time": ""}, r"neither `time`"),
        ({"label": "Occupancy?"}, r"recordings.label: .* neither a column nor a field 'Occupancy\?'"),
        ({"match": "b"}, r"recordings.match: 'b' matches nothing"),
        ({"files": ""}, r"recordings: name `files`, or a `world`"),
        ({"values": {"Occupancy": {0: "empty"}}}, r"recordings.values.Occupancy: says nothing of '1'"),
        ({"time": "", "pace": Rate.parse("1/s"), "shuffle": "day"}, r"recordings.shuffle: no column 'day'"),
    ],
)
def test_what_the_settings_name_and_the_files_lack_is_a_config_error(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **changes)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty; its first line is to name the columns"),
        (b"date,CO2,Occupancy\n", "has names of columns, and no row"),
        (b"date,CO2,Occupancy\n2015-02-04,1,0\nnoon,1,0\n", r"row 2, column 'date': .*noon"),
        (
            b"date,CO2,Occupancy\n2015-02-04,n/a,0\n",
            "row 1, column 'CO2': 'n/a' is no number; .*leave it empty",
        ),
        (
            b"date,CO2,Occupancy\n2015-02-04,1,maybe\n2015-02-05,1,0\n",
            r"label 'maybe' is none of empty, occupied, in 1 of 2 rows; say in `recordings.values.Occupancy`",
        ),
        (b"date,CO2,Occupancy\n2015-02-04,1,1\n2015-02-04\n", "row 2 has 1 columns, the header 3"),
        (b"\xff\xfe", ""),
    ],
)
def test_a_file_that_is_none_names_itself(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"malformed: .*a\.csv: .*{why}"):
        read(tmp_path)
    (tmp_path / "b.csv.gz").write_bytes(b"\x1f\x8b\x08" + content)
    with pytest.raises(DataError, match=r"malformed: .*b\.csv\.gz: "):
        read(tmp_path, files="b*")


def test_a_device_that_is_nearly_a_column_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text("date,machine,CO2,Occupancy\n2015-02-04,a,1,0\n2015-02-05,b,1,0\n")
    (one,) = read(tmp_path, device="machin")
    assert one.device == "machin"
    assert "has no column 'machin'" in caplog.text
    assert "is its column 'machine' meant?" in caplog.text
    assert len(read(tmp_path, device="machine")) == 2


def test_rows_of_one_time_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text(
        "date,machine,CO2,Occupancy\n2015-02-04,a,1,0\n2015-02-04,b,2,0\n2015-02-05,a,3,0\n"
    )
    (one,) = read(tmp_path, device="office")
    assert one.values.ravel().tolist() == [1, 2, 3]
    assert "office: 1 of 3 rows repeat the time of another, and the first counts" in caplog.text
    caplog.clear()
    assert len(read(tmp_path, device="machine")) == 2
    assert not caplog.text


def test_an_npz_file_that_is_none_names_itself(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match=r"malformed: .*a\.npz: "):
        read(tmp_path, files="*.npz", channels={"x": "0"})
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 1)))
    with pytest.raises(DataError, match=r"malformed: .*a\.npz: "):
        read(tmp_path, files="*.npz", channels={"x": "5"}, label="", pace=Rate.parse("1/s"))
    with pytest.raises(ConfigError, match="write the number of each column"):
        read(tmp_path, files="*.npz", channels={"x": "first"})


# --- a folder


def test_a_folder_stands_for_the_recordings_in_it(tmp_path: Path) -> None:
    header, *rows = CSV.splitlines(True)
    folder = tmp_path / "data [1]"  # no pattern
    (folder / "older").mkdir(parents=True)
    (folder / "b.csv").write_text(header + rows[0])
    (folder / "a.csv.gz").write_bytes(gzip.compress((header + rows[1]).encode()))
    (folder / "README.md").write_text("not ours")
    recordings = read(tmp_path, files=folder.name, match=r"(?P<file>\w+)\.csv")
    assert [(r.fields["file"], len(r.times)) for r in recordings] == [("a", 1), ("b", 1)]
    assert len(read(tmp_path, files=str(folder))) == 1  # without fields one device is one recording
    assert len(read(tmp_path, files=f"{folder.name}/b.csv")) == 1
    assert len(read(folder, files="*.csv")) == 1


def test_a_folder_holds_arrays_too_and_an_empty_one_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"recordings\.files: nothing at"):
        read(tmp_path, files=".")
    np.savez(tmp_path / "rig.npz", x=np.zeros((3, 1)))
    (recording,) = read(
        tmp_path, files=".", time="", pace=Rate.parse("1/s"), channels={"x": "0"}, label="", match="x"
    )
    assert recording.fields == {"key": "x"}


# --- what texts stand for, and rows in another order

BATCHES = """\
batch,gas,x
1,11,0
2,11,1
1,12,2
2,,3
1,12,4
"""


def nose(**changes: object) -> Recordings:
    base = {
        "time": "",
        "pace": Rate.parse("1/s"),
        "channels": {"x": "x"},
        "label": "gas",
        "segments": "batch",
        "values": {"gas": {11: "empty", 12: "occupied"}, "batch": {1: "new", 2: "old"}},
    }
    return settings(**base | changes)


def test_values_say_what_texts_stand_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(BATCHES)
    (recording,) = load(nose(), CLASSES, tmp_path)
    assert recording.labels.tolist() == [0, 0, 1, -1, 1]  # nothing said stays so
    assert recording.segments("batch").tolist() == ["new", "old", "new", "old", "new"]
    (chosen,) = select([recording], Select(where={"batch": "old"}), nose())
    assert chosen.values[:, 0].tolist() == [1, 3]


def test_values_of_a_field_of_the_name(tmp_path: Path) -> None:
    for name in ("run_1797.csv", "run_1772.csv"):
        (tmp_path / name).write_text(CSV)
    changes = {"match": r"_(?P<load>\d+)", "values": {"load": {1797: 0, 1772: 1}}}
    assert [r.fields["load"] for r in read(tmp_path, **changes)] == ["1", "0"]
    with pytest.raises(ConfigError, match=r"recordings\.values\.load: says nothing of '1772'"):
        read(tmp_path, match=changes["match"], values={"load": {1797: 0}})


def test_rows_alike_are_shuffled_among_themselves_and_always_the_same(tmp_path: Path) -> None:
    rows = "".join(f"{row // 50 % 2},{11 + row % 2},{row}\n" for row in range(200))
    (tmp_path / "a.csv").write_text("batch,gas,x\n" + rows)
    plain, one, two = (
        load(nose(shuffle=by, values={"gas": {11: 0, 12: 1}}), CLASSES, tmp_path)[0]
        for by in ("", "batch", "batch")
    )
    assert one.values.tolist() == two.values.tolist() != plain.values.tolist()
    np.testing.assert_array_equal(one.times, plain.times)
    np.testing.assert_array_equal(one.texts("batch"), plain.texts("batch"))
    np.testing.assert_array_equal(np.sort(one.values, axis=0), plain.values)
    steps = np.diff(one.values[one.texts("batch") == "0", 0])
    assert (steps > 0).any()
    assert (steps < 0).any()
    np.testing.assert_array_equal(one.labels, one.values[:, 0] % 2)  # a row stays together

"""The CWRU example's file, made of the numbered .mat files that the Bearing Data Center offers."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

scipy_io = pytest.importorskip("scipy.io", reason="prepare.py reads .mat files with scipy")

ROOT = Path(__file__).parents[2]
PREPARE = ROOT / "examples" / "bearing_cwru" / "prepare.py"
SHARED = ROOT.parent / "shared" / "data" / "cwru_drive_end" / "cwru_drive_end.npz"
NUMBERS = [97, *range(105, 109), *range(118, 122), *range(130, 134), *range(144, 148), 156, 158, 159, 160]
NUMBERS += [*range(169, 173), *range(185, 189), *range(197, 201), *range(209, 213), *range(222, 226)]
NUMBERS += [*range(234, 238), *range(246, 250), *range(258, 262)]


def prepare(monkeypatch: pytest.MonkeyPatch, *arguments: object, site: Path = Path("/nowhere")) -> None:
    """`site`: a folder in place of the centre's web site."""
    spec = importlib.util.spec_from_file_location("prepare_cwru", PREPARE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "URL", f"file://{site}/{{number}}.mat")
    monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
    module.main()


def variables(number: int, readings: int = 48_100) -> dict[str, Any]:
    """As the centre writes them: columns named by the file's number, a base sensor, the speed.

    Drive end says the number, fan end its negative, so that each array shows which file it is of.
    """
    column = np.full((readings, 1), float(number))
    return {
        f"X{number:03d}_DE_time": column,
        f"X{number:03d}_FE_time": -column,
        f"X{number:03d}_BA_time": 0 * column,
        f"X{number:03d}RPM": 1797,
    }


def write(folder: Path, number: int, content: dict[str, Any]) -> None:
    path = folder / f"{number}.mat"
    path.unlink(missing_ok=True)  # it may be a link to a file that other tests read
    scipy_io.savemat(path, content, do_compression=True)


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mat")
    for number in NUMBERS:
        write(folder, number, variables(number))
    return folder


@pytest.fixture(scope="module")
def made(centre: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("out") / "data" / "cwru.npz"
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch, centre, "-o", out)
    with np.load(out) as archive:
        return dict(archive)


def test_every_recording_is_four_seconds_of_two_sensors(made: dict[str, Any]) -> None:
    assert len(made) == len(NUMBERS) == 53
    assert {(array.shape, array.dtype.name) for array in made.values()} == {((48_000, 2), "float16")}


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("1797_Normal", 97),
        ("1797_IR_7_DE12", 105),
        ("1730_IR_21_DE12", 212),
        ("1750_B_14_DE12", 187),
        ("1772_OR@3_7_DE12", 145),
        ("1797_OR@12_7_DE12", 156),
        ("1772_OR@12_7_DE12", 158),
        ("1730_OR@6_21_DE12", 237),
    ],
)
def test_drive_end_and_fan_end_are_those_of_the_files_number(
    made: dict[str, Any], key: str, number: int
) -> None:
    assert made[key][0].tolist() == [number, -number]


@pytest.mark.skipif(not SHARED.exists(), reason="the recordings do not ship with the project")
def test_the_file_has_the_keys_that_the_configurations_are_tried_on(made: dict[str, Any]) -> None:
    with np.load(SHARED) as archive:
        assert set(made) == set(archive.files)


@pytest.mark.parametrize("config", ["student_300.yml", "student_2000.yml"])
def test_the_configurations_read_the_file(made: dict[str, Any], config: str, tmp_path: Path) -> None:
    """Thirteen devices, each at four loads, of nine classes; the healthy recording is left out."""
    from iot_stream import recordings
    from iot_stream.config import load

    (pipeline,) = load(PREPARE.parent / config).pipelines.values()
    assert pipeline.recordings is not None
    (tmp_path / "data").mkdir()
    np.savez_compressed(tmp_path / pipeline.recordings.files, **made)
    found = recordings.load(pipeline.recordings, pipeline.classes, tmp_path)
    assert sorted((r.device, r.fields["load"]) for r in found) == sorted(
        (device, load) for device in {r.device for r in found} for load in "0123"
    )
    assert len({recording.device for recording in found}) == 13
    named = {(r.device, pipeline.classes[int(r.labels[0])]) for r in found}
    assert {label for _, label in named} == set(pipeline.classes)
    assert {("IR_7", "inner 7"), ("OR@12_21", "outer 21"), ("OR@6_21", "outer 21")} < named


def test_a_neighbours_variables_in_a_file_are_not_taken_for_its_own(
    centre: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(centre, tmp_path)
    write(folder, 170, variables(169) | variables(170))
    prepare(monkeypatch, folder, "-o", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["1772_IR_14_DE12"][0].tolist() == [170, -170]


def copied(centre: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "mat"
    folder.mkdir()
    for path in centre.iterdir():
        (folder / path.name).hardlink_to(path)
    return folder


@pytest.mark.parametrize(
    ("number", "content", "said"),
    [
        (105, variables(106), r"105\.mat has no X105_DE_time and no X105_FE_time, but X106_DE_time"),
        (97, variables(97, 47_990), r"97\.mat is 10 readings short of 48000"),
    ],
)
def test_a_file_that_is_not_what_its_number_says_is_refused(
    centre: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    content: dict[str, Any],
    said: str,
) -> None:
    folder = copied(centre, tmp_path)
    write(folder, number, content)
    with pytest.raises(SystemExit, match=said):
        prepare(monkeypatch, folder, "-o", tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_a_broken_download_is_named(centre: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(centre, tmp_path)
    (folder / "132.mat").unlink()
    (folder / "132.mat").write_text("<html>Not found</html>" * 20)
    with pytest.raises(SystemExit, match=r"132\.mat is no \.mat file"):
        prepare(monkeypatch, folder, "-o", tmp_path / "out.npz")


def test_missing_files_are_named_and_nothing_is_fetched_unasked(
    centre: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(centre, tmp_path)
    for number in (118, 261):
        (folder / f"{number}.mat").unlink()
    with pytest.raises(SystemExit, match=r"lacks 118\.mat, 261\.mat; --download fetches them"):
        prepare(monkeypatch, folder, "-o", tmp_path / "out.npz")


def test_what_is_missing_is_fetched_once(
    centre: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(centre, tmp_path)
    for number in (118, 261):
        (folder / f"{number}.mat").unlink()
    for fetched in (["118.mat", "261.mat"], []):
        prepare(monkeypatch, folder, "--download", "-o", tmp_path / "out.npz", site=centre)
        addresses = [line for line in capsys.readouterr().out.splitlines() if line.startswith("file:")]
        assert [Path(address).name for address in addresses] == fetched
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["1797_B_7_DE12"][0].tolist() == [118, -118]


def test_a_site_without_the_file_is_named(
    centre: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(centre, tmp_path)
    (folder / "118.mat").unlink()
    with pytest.raises(SystemExit, match=r"/118\.mat: .*fetch it by hand into"):
        prepare(monkeypatch, folder, "--download", site=tmp_path)
    assert not (folder / "118.mat").exists()

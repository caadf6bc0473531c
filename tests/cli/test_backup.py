"""Backup and restore as a person does them."""

import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from iot_stream.cli import main
from iot_stream.config import load
from iot_stream.release.keys import Keys
from iot_stream.store import Store
from tests.store.test_backup import content, filled

CONFIG = """
store: sqlite:{folder}
pipelines:
  p:
    window: {{length: 1}}
    task: {{classify: [a, b]}}
    sources: [{{channels: {{x: x}}}}]
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def site(folder: Path) -> Path:
    path = folder / "config.yml"
    folder.mkdir()
    path.write_text(CONFIG.format(folder=folder / "store"))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = site(tmp_path / "site")
    Keys.create(load(path).keys_folder)
    store = Store(load(path).store_folder)
    filled(store)
    store.close()
    return path


def test_registry_and_keys_move_to_another_machine(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved.tar.gz"
    result = run("backup", str(file), "--config", str(config))
    assert "3 versions, 3 rounds, 1 devices, keys" in result.output
    assert file.stat().st_mode & 0o777 == 0o600
    other = site(tmp_path / "other")
    assert run("restore", str(file), "--config", str(other)).exit_code == 0
    moved = Store(load(other).store_folder)
    there = Store(load(config).store_folder)
    assert content(moved) == content(there)
    keys = Keys.load(load(other).keys_folder)
    assert keys.online.private_bytes == Keys.load(load(config).keys_folder).online.private_bytes
    assert {p.stat().st_mode & 0o777 for p in load(other).keys_folder.rglob("*.pem")} == {0o600}


@pytest.mark.parametrize(("options", "there"), [((), False), (("--with-root-keys",), True)])
def test_root_keys_stay_at_home_unless_asked_for(
    config: Path, tmp_path: Path, options: tuple[str, ...], there: bool
) -> None:
    file = tmp_path / "saved.tar.gz"
    assert run("backup", str(file), "--config", str(config), *options).exit_code == 0
    with tarfile.open(file) as tar:
        assert any("root/" in name for name in tar.getnames()) is there


def test_nothing_is_overwritten(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "saved.tar.gz"
    run("backup", str(file), "--config", str(config))
    before = file.read_bytes()
    assert "is there already" in run("backup", str(file), "--config", str(config)).output
    assert file.read_bytes() == before
    assert "keys are never overwritten" in run("restore", str(file), "--config", str(config)).output


@pytest.mark.parametrize("damage", [lambda data: b"junk", lambda data: data[: len(data) // 2]])
def test_a_damaged_file_is_said_to_be_so_and_changes_nothing(
    config: Path, tmp_path: Path, damage: "object"
) -> None:
    file = tmp_path / "saved.tar.gz"
    run("backup", str(file), "--config", str(config))
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    other = site(tmp_path / "other")
    result = run("restore", str(file), "--config", str(other))
    assert result.exit_code == 2
    assert "is not a whole backup" in result.output
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["config.yml"]

"""`iot-stream export` on a store with versions, and every command of docs/export.md as it stands there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from iot_stream.cli import main
from iot_stream.config import load
from iot_stream.distill.models import build
from iot_stream.distill.student import Architecture
from iot_stream.service.versions import add_version
from iot_stream.spec import Spec
from tests.export.compiled import needs_gcc
from tests.service.running import NAME, opened, write_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration and a store with two versions, the second of another network than configured."""
    folder = tmp_path_factory.mktemp("exported")
    path = write_config(folder, "mqtt://localhost", "p").rename(folder / "iot-stream.yml")
    pipeline = load(path).pipelines[NAME]
    cut, network = pipeline.cut(pipeline.student), pipeline.student
    golden = np.random.default_rng(0).standard_normal((2, cut.length, 10)).astype(np.float32)
    spec = Spec(cut, pipeline.classes, (0.0,) * 10, (1.0,) * 10, golden=golden.tobytes())
    architecture = Architecture.of(network, spec, 0)
    packed = architecture.pack(build("mlp", cut.length, 10, 2, **dict(network.options)))
    with opened(path) as (_, store), store.write() as tx:
        add_version(store, tx, NAME, "all", "first", packed, {"network": repr(network)})
        add_version(store, tx, NAME, "all", "second", packed, {"network": "another"})
    return folder


def export(folder: Path, *arguments: str, code: int = 0) -> Result:
    config = str(folder / "iot-stream.yml")
    result = CliRunner().invoke(main, ["--quiet", "export", *arguments, "--config", config])
    assert result.exit_code == code, result.output
    return result


@needs_gcc
def test_c_says_how_large_it_is(folder: Path, tmp_path: Path) -> None:
    said = export(folder, "c", "--model", "1", "--to", str(tmp_path / "c"), "--cc", "gcc").output
    assert said.startswith(f"{NAME} all 1 in ")
    assert re.search(r"one window +252 multiplications", said)
    for what in ("weights", "code", "constants", "memory of the network", "memory of each sensor"):
        assert re.search(rf"^{what} +[1-9]\d* bytes", said, re.MULTILINE), said
    assert (tmp_path / "c" / "iot_stream.h").exists()


def test_c_without_a_compiler_is_written_all_the_same(folder: Path, tmp_path: Path) -> None:
    said = export(folder, "c", "--to", str(tmp_path), "--cc", "no-such-compiler").output
    assert "no no-such-compiler and its `size` here" in said
    assert (tmp_path / "weights.int8").exists()


@needs_gcc
def test_what_the_compiler_says_is_passed_on(folder: Path, tmp_path: Path) -> None:
    said = export(folder, "c", "--to", str(tmp_path), "--cc", "gcc --no-such-option", code=2).output
    assert "no-such-option" in said


def test_the_newest_version_is_meant_unless_one_is_named(folder: Path, tmp_path: Path) -> None:
    assert f"{NAME} all 2 in" in export(folder, "onnx", "--to", str(tmp_path / "s.onnx")).output
    said = export(folder, "onnx", "--model", "9", "--to", str(tmp_path / "s.onnx"), code=2).output
    assert "tiny has no version 9; `iot-stream models list`" in said
    said = export(folder, "onnx", "--cohort", "none", "--to", str(tmp_path / "s.onnx"), code=2).output
    assert "cohort none of tiny has no version yet" in said


def test_weights_for_torch_need_the_network_that_they_are_of(folder: Path, tmp_path: Path) -> None:
    said = export(folder, "torch", "--to", str(tmp_path / "s"), code=2).output
    assert "tiny all 2 is of another network than the configuration has now" in said
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
@needs_gcc
@pytest.mark.skipif(not shutil.which("cc"), reason="cc is not installed: apt-get install gcc")
def test_every_command_of_the_page_runs(folder: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((40, 10))
    text = "".join(f"{10**18 + i * 10**8} {' '.join(map(str, row))}\n" for i, row in enumerate(rows))
    (folder / "readings.txt").write_text(text)
    shells = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert len(shells) == 5
    for block in shells:
        command = block.replace("iot-stream ", f"{sys.executable} -m iot_stream.cli --quiet ")
        done = subprocess.run(
            ["bash", "-euc", command], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if "./student" in block:
            said = [line for line in done.stdout.splitlines() if re.match(r"\d+ (normal|alert) ", line)]
            assert len(said) == 19  # windows of 4 readings, every 2
    pythons = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(pythons) == 4
    for block in pythons:
        code = f"import os; os.chdir({str(folder)!r})\n{block}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_page_names_every_export() -> None:
    from iot_stream.cli.export import export as group

    assert sorted(group.commands) == ["c", "litert", "onnx", "torch"]
    for name in group.commands:
        assert f"iot-stream export {name} " in PAGE

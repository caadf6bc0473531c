"""The scripts of examples/api and the blocks of docs/tutorial.md, in their order, as a reader runs them."""

import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```)?",
    (ROOT / "docs" / "tutorial.md").read_text(),
    re.DOTALL | re.MULTILINE,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the repository's, in which `runs` may be made."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def shape(text: str) -> str:
    """Without what depends on how a machine rounds."""
    return re.sub(r"0\.\d+|\d+%", "#", text)


def test_the_tutorial_runs_and_prints_what_it_says(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, object] = {}
    shown = 0
    for code, wanted in BLOCKS:
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "docs/tutorial.md", "exec"), names)  # the page's own
        assert shape(printed.getvalue()) == shape(wanted)
        shown += bool(wanted)
    assert (len(BLOCKS), shown) == (11, 10)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("windows", r"9752 new windows.*the teacher's are \(500, 1, 2\): light, lco2"),
        (
            "round",
            r"office-all-0001: released, \+0\.\d+.*Why it changed the student\n- .*Versions\n  1  ",
        ),
        ("predict", r"<Student office all 2: .*name='empty'.*name='occupied'"),
    ],
)
def test_a_script_runs_and_says_what_it_found(place: Path, name: str, says: str) -> None:
    ran = subprocess.run(
        [sys.executable, f"examples/api/{name}.py"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(says, ran.stdout, re.DOTALL), ran.stdout


def test_every_script_is_run_here_and_named_on_its_page() -> None:
    page = (ROOT / "examples" / "api" / "README.md").read_text()
    scripts = {path.name for path in (ROOT / "examples" / "api").glob("*.py")}
    assert scripts == {"windows.py", "round.py", "predict.py"}
    assert [name for name in scripts if f"({name})" not in page] == []

"""Every block that can be run is run by a test: here, or by the one that this table names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, everywhere

# page → the test that runs its blocks
ELSEWHERE = {
    "README.md": ".ci/run",
    "docs/deploy.md": "tests/test_deploy.py",
    "docs/export.md": "tests/cli/test_export.py",
    "docs/losses.md": "tests/distill/losses/test_formulas.py",
    "docs/quickstart.md": "tests/docs/test_quickstart.py",
    "docs/tutorial.md": "tests/examples/test_api.py",
}
BLOCKS = everywhere("sh", "python")
HERE = [block for block in BLOCKS if str(block.page.relative_to(ROOT)) not in ELSEWHERE]


@pytest.mark.parametrize("block", HERE, ids=str)
def test_a_block_runs(block: Block, tmp_path: Path) -> None:
    if block.language == "sh":
        pytest.fail(
            f"{block}: nothing runs it; write `console` for what needs a service or installs something"
        )
    command = [sys.executable, "-c", block.text]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=100, env={"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_what_is_run_elsewhere_is(page: str, test: str) -> None:
    assert Path(page).name in (ROOT / test).read_text()
    assert [block for block in BLOCKS if block.page == ROOT / page]


def test_every_file_of_a_page_that_is_played_is_a_block_with_a_name() -> None:
    """A reader saves it under the name in its first line; a file that a command names must be there."""
    for name in ("quickstart.md", *(f"sensors/{path.name}" for path in (ROOT / "docs/sensors").glob("*.md"))):
        text = (ROOT / "docs" / name).read_text()
        saved = set(re.findall(r"^# ([\w-]+\.(?:yml|py))$", text, re.MULTILINE))
        assert set(re.findall(r"python (\w+\.py)", text)) <= saved, name
        assert "iot-stream.yml" in saved, name

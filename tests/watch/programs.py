"""promtool, which Debian brings in its package prometheus."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def promtool(*arguments: str, given: str = "") -> str:
    """What it says; empty where all is well, and `check` has nothing to tell. Skips where there is none."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool is installed: apt-get install prometheus")
    ran = subprocess.run(
        [program, *arguments], cwd=ROOT, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr

"""`iot-stream replay` as it is typed."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.world import configured
from tests.waiting import wait_until


@pytest.mark.slow
def test_one_that_is_interrupted_has_the_seeds_that_are_done(tmp_path: Path) -> None:
    target, report = tmp_path / "figures.json", tmp_path / "report.html"
    command = [sys.executable, "-m", "iot_stream.cli", "replay", "--config", str(configured(tmp_path))]
    command += ["--seeds", "99", "--json", str(target), "--report", str(report)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(report.exists, "a first seed", 120)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    figures = json.loads(target.read_text())
    done = len(figures["seeds"])
    assert 0 < done < 99
    assert f"--seeds {done} " in figures["command"] + " "
    assert f"interrupted in seed {done + 1} of 99; {report} is of the {done} that are done" in said

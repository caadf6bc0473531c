"""`iot-stream replay` as it is typed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from iot_stream.cli.replay import _written_whole
from tests.api.world import configured
from tests.waiting import wait_until


def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("figures")

    link, pipe, plain = tmp_path / "link", tmp_path / "pipe", tmp_path / "new" / "plain"
    link.symlink_to(tmp_path / "target")
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (link, pipe, plain):
        _written_whole(path, write)
    assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "figures"
    assert pipe.is_fifo()
    assert os.read(reading, 100) == b"figures"
    os.close(reading)
    assert [each.name for each in plain.parent.iterdir()] == ["plain"]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_one_that_is_interrupted_has_the_seeds_that_are_done(tmp_path: Path, jobs: int) -> None:
    target, report = tmp_path / "figures.json", tmp_path / "report.html"
    command = [sys.executable, "-m", "iot_stream.cli", "replay", "--config", str(configured(tmp_path))]
    command += ["--seeds", "99", "--jobs", str(jobs), "--json", str(target), "--report", str(report)]
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

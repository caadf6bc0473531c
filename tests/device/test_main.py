"""`iot-device` as a person calls it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from iot_stream.device import status
from iot_stream.device.outbox import Outbox
from iot_stream.device.settings import DeviceSettings
from iot_stream.device.slots import Slots
from tests.device import tiny
from tests.device.fleet import Fleet
from tests.device.site import Site, runs
from tests.device.test_outbox import Line


def run(*words: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "iot_stream.device", *words]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def test_status_says_what_is_on_disk_and_asks_nobody(fleet: Fleet) -> None:
    settings = DeviceSettings(
        pipeline="office", device="d", root="{}", state=str(fleet.directory), broker="mqtt://nowhere.invalid"
    )
    said = "\n".join(status.lines(settings))
    assert "version    2 of office/all/stable" in said
    assert "before     1 of office/all/stable" in said
    assert "office/all/stable: 2 signings seen" in said
    assert "outbox     0 B of 64000000 B" in said
    Slots(fleet.directory).fall_back("nan")
    line = Line()
    line.connected = False
    outbox = Outbox(fleet.directory / "outbox", 64_000, line, "d")
    outbox.put("topic", b"x" * 100)
    outbox.stop()
    said = "\n".join(status.lines(settings))
    assert "version    1 of" in said
    assert "before     none" in said
    assert "version 2 and older, nan" in said
    assert "outbox     118 B" in said
    slots = Slots(fleet.directory)
    slots.commit(msgspec.structs.replace(slots.state(), pinned=True))
    assert "version    1 of office/all/stable, pinned" in "\n".join(status.lines(settings))


def test_status_of_a_new_device(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(DeviceSettings(pipeline="p", device="d", root="{}").dump())
    ran = run("status", "--config", str(path))
    assert ran.returncode == 0
    assert b"version    none" in ran.stdout
    assert not (tmp_path / "state").exists()


def test_run_reads_until_its_input_ends(site: Site) -> None:
    path = site.folder / "d.json"
    path.write_text(msgspec.structs.replace(site.settings(), runtime="numpy").dump())
    ran = run("run", "--config", str(path), "--channels", "x, y", given=b"1,2\nwhat?\n3,4\n")
    assert ran.returncode == 0
    assert b"left out" in ran.stderr
    again = site.device()
    site.publisher.release(1)
    runs(again, 1)
    telemetry = site.listener.of(tiny.topics.TELEMETRY)
    assert [b'"x":[1]' in telemetry[0], b'"x":[3]' in telemetry[1], len(telemetry)] == [True, True, 2]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "--config", "none.json"], 2, b"`iot-stream device add NAME` writes it"),
        (["--config", "none.json"], 2, b"run | status"),
        ([], 2, b"usage"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(words: list[str], code: int, message: bytes) -> None:
    ran = run(*words)
    assert ran.returncode == code
    assert message in ran.stderr
    assert b"Traceback" not in ran.stderr

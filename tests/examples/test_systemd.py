"""The service as units of systemd: it takes them, and they keep the service from what it does not need."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from iot_stream.cli import COMMANDS, main

FOLDER = Path(__file__).parents[2] / "examples" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
MOST_EXPOSED = 2.5  # of 10, as `systemd-analyze security` counts

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")


def service(unit: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)  # keys may stand more than once
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return dict(parser["Service"])


@pytest.fixture(params=UNITS, ids=lambda path: path.stem)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit as it would be installed, but for a program that is here."""
    template: Path = request.param
    name = template.name.replace("@", "@collect")
    text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", template.read_text())
    (tmp_path / name).write_text(text.replace("%i", "collect"))
    return tmp_path / name


@needs_systemd
def test_systemd_takes_the_unit(installed: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(installed)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, installed.name in ran.stderr) == (0, False), ran.stderr


@needs_systemd
def test_little_is_exposed(installed: Path) -> None:
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", str(installed)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", ran.stdout)
    assert found, ran.stdout + ran.stderr
    assert float(found[1]) <= MOST_EXPOSED, ran.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_commands_of_the_units_exist(unit: Path) -> None:
    _, command, option, config = service(unit)["ExecStart"].split()
    assert (option, config) == ("--config", "/etc/iot-stream/iot-stream.yml")
    parts = ["collect", "distill", "publish", "metrics", "dashboard"] if command == "%i" else [command]
    for part in parts:
        assert part in COMMANDS
        known = main.get_command(click.Context(main), part)
        assert known is not None
        assert "--config" in [name for each in known.params for name in each.opts]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_the_user_of_the_unit_is_made(unit: Path) -> None:
    user = service(unit)["User"]
    assert f"\nu {user} - " in (FOLDER / "iot-stream.sysusers").read_text()
    assert unit.name in (FOLDER / "README.md").read_text()

"""What a newcomer meets first: make, the pinned versions, the container files."""

import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


# --- make ---------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what make reads, and a .venv that looks ready for everything."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/python", "installed-run", "installed-dev"):
        (tmp_path / ".venv" / name).touch()
    _set_age(tmp_path / "pyproject.toml", tmp_path / "constraints.txt", seconds=100)
    return tmp_path


def _set_age(*paths: Path, seconds: float) -> None:
    now = time.time()
    for path in paths:
        os.utime(path, (now - seconds, now - seconds))


def make(folder: Path, *arguments: str) -> str:
    """What `make` would do, or did, with its words."""
    ran = subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        ("demo", "iot-stream demo"),
        ("demo-office", "iot-stream demo --office"),
        ("test", '-m "not long"'),
        ("test-long", "-m pytest"),
        ("check", "ruff format --check"),
    ],
)
def test_a_target_runs_its_command_and_installs_nothing_twice(clone: Path, target: str, runs: str) -> None:
    said = make(clone, "--dry-run", target)
    assert runs in said
    assert "pip install" not in said


def test_changed_requirements_are_installed_with_the_extras_that_the_target_needs(clone: Path) -> None:
    _set_age(clone / "constraints.txt", seconds=-1000)
    demo, test = make(clone, "--dry-run", "demo"), make(clone, "--dry-run", "test")
    assert '".[train,demo,dashboard,monitor]"' in demo
    assert '".[train,demo,dashboard,monitor,dev]"' in test
    assert "--constraint constraints.txt" in demo


def test_pip_args_reach_pip(clone: Path) -> None:
    _set_age(clone / "pyproject.toml", seconds=-1000)
    assert "--extra-index-url somewhere" in make(
        clone, "--dry-run", "demo", "PIP_ARGS=--extra-index-url somewhere"
    )


def test_a_python_without_venv_is_told_with_the_package_to_install(clone: Path, tmp_path: Path) -> None:
    (clone / ".venv" / "bin" / "python").unlink()
    lacking = tmp_path / "python-lacking"
    lacking.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    lacking.chmod(0o755)
    expected = f"apt install python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert expected in make(clone, "demo", f"PYTHON={lacking}")


def test_no_python_at_all_is_told_too(clone: Path) -> None:
    (clone / ".venv" / "bin" / "python").unlink()
    assert "No Python 3.11 or newer found" in make(clone, "demo", "PYTHON=")


def test_help_names_every_target() -> None:
    said = make(ROOT, "help")
    (phony,) = re.findall(r"^\.PHONY: help (.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [target for target in phony.split() if f"make {target} " not in said] == ["check-style"]


def test_the_ci_script_is_sound_and_executable() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    assert "\nmake test\n" in script.read_text()


# --- versions -----------------------------------------------------------------------------------


def test_every_requirement_is_pinned_within_its_range() -> None:
    pinned = {pin.name.lower(): pin.specifier for pin in PINS}
    extras = PROJECT["optional-dependencies"].values()
    needed = PROJECT["dependencies"] + [each for extra in extras for each in extra]
    assert len(needed) > 15
    for requirement in map(Requirement, needed):
        assert requirement.name.lower() in pinned, f"constraints.txt lacks {requirement.name}"
        (pin,) = pinned[requirement.name.lower()]
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version)


def test_no_pin_names_a_place() -> None:
    assert all(pin.url is None for pin in PINS)
    assert "//" not in (ROOT / "constraints.txt").read_text()


def test_the_environment_of_these_tests_is_the_pinned_one() -> None:
    applying = [pin for pin in PINS if pin.marker is None or pin.marker.evaluate()]
    wrong = [str(pin) for pin in applying if not pin.specifier.contains(version(pin.name))]
    assert not wrong


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


# --- containers ---------------------------------------------------------------------------------

OURS = {name: each for name, each in COMPOSE["services"].items() if "build" in each}


def in_image(path: str) -> Path:
    """/app in the images is the project."""
    return ROOT / Path(path).relative_to("/app")


def test_compose_pins_what_watches() -> None:
    for name in ("prometheus", "grafana"):
        assert re.search(r":v?\d+\.\d+\.\d+$", COMPOSE["services"][name]["image"])


@pytest.mark.parametrize("each", OURS.values(), ids=OURS)
def test_commands_of_compose_exist_with_their_options(each: Mapping[str, Any]) -> None:
    program, *rest = each["command"]
    assert program in PROJECT["scripts"]
    positional = [] if rest[0].startswith("-") else rest[:1]
    module, function = PROJECT["scripts"][program].split(":")
    script = f"from {module} import {function}; {function}()"
    told = subprocess.run(
        [sys.executable, "-c", script, *positional, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    options = [word for word in rest if word.startswith("--")]
    assert options
    assert [option for option in options if not re.search(rf"{option}\b", told)] == []


@pytest.mark.parametrize("each", OURS.values(), ids=OURS)
def test_files_of_compose_exist(each: Mapping[str, Any]) -> None:
    config = each["command"][each["command"].index("--config") + 1]
    assert in_image(config).is_file()
    stages = re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert each["build"]["target"] in stages


def test_volumes_of_compose_are_declared_or_lie_here() -> None:
    sources = [mount.split(":")[0] for each in COMPOSE["services"].values() for mount in each["volumes"]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_images_run_as_nobody_special() -> None:
    users = re.findall(r"^USER (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users[-1] == "iot"


def test_torch_is_in_the_service_image_alone() -> None:
    light, service = re.split(
        r"^FROM light AS service$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE
    )
    assert "[train]" not in light
    assert "/app[train,formats,postgres,parquet]" in service

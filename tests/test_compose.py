"""docker-compose.yml: a valid file, whose commands run here as they would in their containers.

No container engine is needed. Paths of the images are mapped into a folder, ports to free ones; all else is
as the file has it: commands, options, working folders, the order of the start, and what each finds.
"""

import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from iot_stream import topics
from iot_stream.cli import COMMANDS
from iot_stream.config import load
from iot_stream.service.broker import find_mosquitto
from tests.brokers import Caller, ports
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
SCHEMA = json.loads((ROOT / "tests" / "compose" / "compose-spec.json").read_text())
STATE = "/var/lib/iot-stream"

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="the file runs mosquitto")


def in_profile(profile: str) -> set[str]:
    return {name for name, each in SERVICES.items() if profile in each.get("profiles", [""])}


# --- the file


def test_the_file_is_valid_by_the_compose_specification() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(COMPOSE)


def test_the_schema_finds_what_is_wrong() -> None:
    wrong = {"services": {"x": {"image": "x", "comand": ["x"]}}}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.Draft7Validator(SCHEMA).validate(wrong)


def test_each_profile_has_what_it_should() -> None:
    assert in_profile("") == {"mosquitto", "service", "simulator", "dashboard"}
    assert in_profile("observability") == {"metrics", "prometheus", "grafana"}
    assert in_profile("tls") == {"access", "mosquitto-tls", "service-tls", "simulator-tls", "dashboard-tls"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_stands_on_services_of_its_own_profile_or_of_none(name: str) -> None:
    each = SERVICES[name]
    needed = set(each.get("depends_on", []))
    if (mode := each.get("network_mode", "")).startswith("service:"):
        needed.add(mode.removeprefix("service:"))
    for other in needed:
        assert set(SERVICES[other].get("profiles", [])) <= set(each.get("profiles", []))


def test_the_two_deployments_share_nothing() -> None:
    def volumes(names: set[str]) -> set[str]:
        mounts = {mount.split(":")[0] for name in names for mount in SERVICES[name]["volumes"]}
        return {mount for mount in mounts if not mount.startswith(".")}

    assert volumes(in_profile("tls")) & volumes(in_profile("") | in_profile("observability")) == set()


def test_what_is_open_to_others_wants_a_login() -> None:
    """Every port is this machine's alone, but that of the broker with TLS."""
    opened = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert [port for port in opened if not port.startswith("127.0.0.1:")] == ["8883:8883"]


def test_the_login_of_every_simulated_machine_is_made() -> None:
    command = SERVICES["access"]["command"]
    named = [command[place + 1] for place, word in enumerate(command) if word == "--device"]
    assert named == [f"machine-{number:02d}" for number in range(12)]


def test_the_light_image_has_what_its_services_need() -> None:
    """A dashboard without its extra would end at once, and be started again for ever."""
    light = (ROOT / "Dockerfile").read_text().split("AS service")[0]
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', light)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"metrics", "dashboard"} <= set(extras.split(",")) <= set(known)


# --- its commands, natively


class Place:
    """A folder that stands for the images' and volumes' paths."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.fleet_port, self.service_port, self.page = ports(4)
        shutil.copytree(ROOT / "examples" / "bearing", folder / "app" / "examples" / "bearing")
        (folder / "state").mkdir()
        config = folder / "app" / "examples" / "bearing" / "config.yml"
        config.write_text(config.read_text().replace("localhost:1883", f"localhost:{self.port}"))
        tls = config.with_name("tls.yml")
        tls.write_text(self.mapped(tls.read_text()))

    def mapped(self, word: str) -> str:
        """A word of a command as it is here."""
        word = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word).replace("$$", "$")
        for there, here in (
            ("/app", self.folder / "app"),
            (STATE, self.folder / "state"),
            ("/mosquitto/config/mosquitto.conf", self.folder / "plain.conf"),
            ("/mosquitto/data", self.folder / "data"),
        ):
            word = word.replace(there, str(here))
        return str(self.page) if word == "8480" else word

    def command(self, name: str) -> list[str]:
        program, *words = map(self.mapped, SERVICES[name]["command"])
        if program == "mosquitto":
            program = find_mosquitto() or program
            words += ["-p", str(self.port)] if name == "mosquitto" else []
        modules = {"iot-stream": "iot_stream.cli", "iot-simulator": "simulator"}
        start = [sys.executable, "-m", modules[program]] if program in modules else [program]
        if name == "access":
            words += ["--port", str(self.fleet_port), "--service-port", str(self.service_port)]
        return [*start, *words]

    def working_folder(self, name: str) -> Path:
        there = SERVICES[name].get("working_dir", STATE)  # which is the images'
        folder = Path(self.mapped(there))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}

    def runs_once(self, name: str) -> None:
        command, folder = self.command(name), self.working_folder(name)
        ran = subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr

    @contextmanager
    def running(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                self.command(name), cwd=self.working_folder(name), env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def healthy(self, name: str) -> bool:
        """What its health check says."""
        _, *test = map(self.mapped, SERVICES[name]["healthcheck"]["test"])
        if test[0] == "mosquitto_sub":
            test += ["-p", str(self.port)]
        else:
            test = [str(self.service_port) if word == "8884" else word for word in test]
        return subprocess.run(test, capture_output=True, timeout=30, check=False).returncode == 0


def _as_whoever_we_are(conf: Path, text: str) -> None:
    """Started by root mosquitto becomes another user, who may not read here."""
    conf.write_text(text.replace("per_listener", f"user {getpass.getuser()}\nper_listener", 1))


def _online(caller: Caller, parts: set[str]) -> bool:
    """Whether these parts have said that they run, by what was heard until now."""
    while not caller.heard.empty():
        message = caller.heard.get()
        levels = topics.SERVICE.levels(message.topic) or topics.STATUS.levels(message.topic)
        if levels and b'"online":true' in message.payload:
            caller.seen.add(levels.get("part") or "device")
    return parts <= caller.seen


def _page(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return int(answer.status)


def _answers(port: int) -> bool:
    try:
        return _page(port) == 200
    except OSError:
        return False


PARTS = {"collector", "distiller", "publisher"}


@needs_mosquitto
@pytest.mark.slow
def test_the_plain_services_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "plain.conf").write_text(
        (ROOT / "mosquitto.conf").read_text() + f"\nuser {getpass.getuser()}\n"
    )
    with ExitStack() as all_of_it:
        all_of_it.enter_context(place.running("mosquitto"))
        wait_until(lambda: place.healthy("mosquitto"), "the health check of mosquitto", 30)
        config = load(tmp_path / "app" / "examples" / "bearing" / "config.yml")
        caller = all_of_it.enter_context(Caller(config.address))
        caller.listens("iot/service/+", "iot/bearing/device/+/status")
        for name in ("service", "simulator"):
            all_of_it.enter_context(place.running(name))
        wait_until(lambda: _online(caller, PARTS | {"device"}), "parts and a device are there", 90)
        _metrics_answer(place)
        if "dashboard" in COMMANDS:
            all_of_it.enter_context(place.running("dashboard"))
            wait_until(lambda: _answers(place.page), "the dashboard answers", 60)


def _metrics_answer(place: Place) -> None:
    (port,) = ports(1)
    command = [*place.command("metrics"), "--port", str(port)]
    with subprocess.Popen(command, cwd=place.working_folder("metrics"), env=place.environment) as process:
        try:
            url = f"http://127.0.0.1:{port}/metrics"
            wait_until(lambda: "iot_stream_part_online" in _read(url), "metrics of parts", 60)
        finally:
            process.terminate()


def _read(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@needs_mosquitto
@pytest.mark.slow
def test_the_services_behind_tls_run(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.runs_once("access")
    place.runs_once("access")  # as at every start
    conf = tmp_path / "state" / "access" / "broker" / "mosquitto.conf"
    _as_whoever_we_are(conf, conf.read_text())
    with ExitStack() as all_of_it:
        all_of_it.enter_context(place.running("mosquitto-tls"))
        if shutil.which("nc"):
            wait_until(lambda: place.healthy("mosquitto-tls"), "the health check of mosquitto", 30)
        else:
            wait_until(lambda: _listening(place.service_port), "mosquitto listens", 30)
        config = load(tmp_path / "app" / "examples" / "bearing" / "tls.yml")
        caller = all_of_it.enter_context(Caller(config.as_part("monitor").address))
        caller.listens("iot/service/+", "iot/bearing/device/+/status")
        for name in ("service-tls", "simulator-tls"):
            all_of_it.enter_context(place.running(name))
        wait_until(lambda: _online(caller, PARTS | {"device"}), "parts and a device are there", 90)
        if "dashboard" in COMMANDS:
            all_of_it.enter_context(place.running("dashboard-tls"))
            wait_until(lambda: _answers(place.page), "the dashboard answers", 60)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_every_service_of_ours_is_run_by_a_test() -> None:
    run = {"service", "simulator", "dashboard", "metrics", "access"}
    assert {name.removesuffix("-tls") for name in OURS} == run


def _files(service: Mapping[str, Any]) -> list[str]:
    return [word for word in service["command"] if word.startswith("/app/")]


@pytest.mark.parametrize("name", OURS)
def test_files_of_the_images_exist(name: str) -> None:
    files = _files(OURS[name])
    assert files
    assert all((ROOT / Path(file).relative_to("/app")).is_file() for file in files)

"""docs/deploy.md: what is typed there is typed here, in its order, and does what the page says."""

import getpass
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from iot_stream.access import deployment, rules
from iot_stream.config import load
from iot_stream.device.settings import DeviceSettings
from iot_stream.topics import TABLE

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "deploy.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
CONFIGURATIONS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all blocks were run, one after the other."""
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "iot-stream.yml").write_text(CONFIGURATIONS[0])
    programs = folder / "bin"
    programs.mkdir()
    (programs / "iot-stream").write_text(f'#!/bin/sh\nexec {sys.executable} -m iot_stream.cli "$@"\n')
    (programs / "iot-stream").chmod(0o755)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": path}
    for block in BLOCKS:
        ran = subprocess.run(
            ["sh", "-e", "-c", block],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{block}\n{ran.stderr}"
    return folder


def test_what_the_page_makes_is_there(typed: Path) -> None:
    config = load(typed / "iot-stream.yml")
    known = json.loads((typed / "access" / "access.json").read_text())
    assert {"ann", "edge-1", "collector-east", "collector-west", "pumps/pump-01"} <= known["logins"].keys()
    assert "pumps/pump-02" not in known["logins"]
    assert config.as_part("publisher").address.user == "publisher"
    assert config.as_part("collector-east").address.host == "broker.example"
    old, new = (
        DeviceSettings.load(typed / "pump-01.json").address,
        config.as_device("pumps", "pump-01").address,
    )
    assert (
        (old.host, old.port, old.user)
        == (new.host, new.port, new.user)
        == ("broker.example", 8883, "pumps/pump-01")
    )
    assert old.password != new.password
    conf = (typed / "access" / "broker" / "mosquitto.conf").read_text()
    assert "certfile /etc/mosquitto/iot-stream/server.crt" in conf
    assert "persistence_location /var/lib/mosquitto/" in conf


def test_the_files_reach_mosquitto_each_time(typed: Path, tmp_path: Path) -> None:
    """The very command, into another folder, for a user who is here; then again, with a device more."""
    (command,) = set(re.findall(r"install .*? access/broker/\*", PAGE))
    here = command.replace("/etc", str(tmp_path)).replace("-o mosquitto", f"-o {getpass.getuser()}")
    copy, config = tmp_path / "mosquitto" / "iot-stream", typed / "iot-stream.yml"
    for device in ("pump-03", "pump-04"):
        with deployment.opened(typed / "access", load(config)) as access:
            access.add_device("pumps", device)
        subprocess.run(["sh", "-c", here], cwd=typed, check=True)
        own = {file.name: file.read_bytes() for file in (typed / "access" / "broker").iterdir()}
        assert {file.name: file.read_bytes() for file in copy.iterdir()} == own
        assert f"user pumps/{device}" in own["fleet.acl"].decode()
    assert access.reload.replace(str(typed) + "/", "") == f"{command} && systemctl reload mosquitto"
    assert f"# {command} && systemctl reload mosquitto\n" in PAGE


def test_the_other_configuration_is_one_with_either_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, secret = tmp_path / "iot-stream.yml", tmp_path / "secret"
    secret.write_text("from a file\n")
    monkeypatch.setenv("MQTT_PASSWORD", "from the environment")
    asked = "password: ${MQTT_PASSWORD}"
    for said, password in ((asked, "from the environment"), ("password_file: secret", "from a file")):
        path.write_text(CONFIGURATIONS[1].replace(asked, said))
        address = load(path).address
        assert (address.user, address.password) == ("iot-stream", password)
        assert password not in repr(address)


def test_the_page_tells_of_every_login() -> None:
    for part in (*rules.CORE, *rules.OTHERS):
        assert f"`{part}`" in PAGE


def test_the_page_tells_what_a_device_may_write() -> None:
    (row,) = re.findall(r"^\| a device \|(.*?)\|", PAGE, re.MULTILINE)
    own = {
        topic.template.rsplit("/", 1)[1]
        for topic in TABLE.values()
        if topic.writer in ("device", rules.KNOWS)
    }
    assert set(re.findall(r"`(\w+)`", row)) == own

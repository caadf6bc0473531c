"""The example of a device as a service: a unit that systemd takes, files that a device takes."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from iot_stream.device.inputs.kinds import Call
from iot_stream.device.inputs.opening import channels_of, opened
from iot_stream.device.settings import DeviceSettings

FOLDER = Path(__file__).parents[2] / "examples/device"
UNIT = FOLDER / "iot-device@.service"
README = (FOLDER / "README.md").read_text()
FILES = sorted(FOLDER.glob("*.json"))


def service() -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)  # keys may stand more than once
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_unit_starts_what_there_is_again_and_again() -> None:
    unit = service()
    program, *words = unit["ExecStart"].split()
    assert Path(program).name == "iot-device"
    assert words == ["run", "--config", "${CREDENTIALS_DIRECTORY}/device.json"]
    assert unit["LoadCredential"] == "device.json:/etc/iot-device/%i.json"
    assert (unit["Restart"], unit["DynamicUser"], unit["ProtectSystem"]) == ("always", "yes", "strict")
    assert {json.loads(path.read_text())["state"] for path in FILES} == {
        f"/var/lib/{unit['StateDirectory'].replace('%i', json.loads(path.read_text())['device'])}"
        for path in FILES
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "iot-device@.service"
    path.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "iot-device@pump-01.service"), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, "iot-device" in ran.stderr) == (0, False), ran.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("instance", ["pump-01", "house"])
def test_systemd_takes_the_readmes_drop_ins(tmp_path: Path, instance: str) -> None:
    """One is shown for standard input, one for several devices."""
    shown = dict(zip(("pump-01", "house"), re.findall(r"```ini\n(.*?)```", README, re.S), strict=True))
    unit = tmp_path / f"iot-device@{instance}.service"
    unit.write_text(UNIT.read_text())
    folder = tmp_path / f"{unit.name}.d"
    folder.mkdir()
    (folder / "override.conf").write_text(shown[instance])
    assert f"iot-device@{instance}`" in README
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "/opt/iot-stream/bin/iot-device run --config " in shown[instance]


def test_there_is_an_example_of_every_kind_of_input() -> None:
    kinds = {DeviceSettings.load(path).input.__struct_config__.tag for path in FILES}
    assert kinds == {"stdin", "serial", "call", "mqtt"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_readme_names_the_file_and_a_device_takes_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    settings = DeviceSettings.load(path)
    assert settings.address.host == "broker.example"
    assert channels_of(settings)
    assert path.name in README


def test_the_function_of_the_example_reads_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    (settings,) = [s for s in map(DeviceSettings.load, FILES) if isinstance(s.input, Call)]
    times, values = next(opened(settings, channels_of(settings)))
    assert times.shape == (1,)
    assert values[0, settings.channels.index("load")] >= 0

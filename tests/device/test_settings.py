"""What a device is started with."""

import json
from pathlib import Path

import pytest

from iot_stream.address import Address, Broker
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError

LEAST = {"pipeline": "p", "device": "d", "root": "{}"}


def write(folder: Path, **settings: object) -> Path:
    path = folder / "pump.json"
    path.write_text(json.dumps(settings))
    return path


def test_a_file_needs_three_settings(tmp_path: Path) -> None:
    settings = DeviceSettings.load(write(tmp_path, **LEAST))
    assert settings.address == Address("localhost", 1883)
    assert (settings.cohort, settings.prefix) == ("all", "iot")
    assert settings.state == str(tmp_path / "state")


def test_state_may_be_anywhere(tmp_path: Path) -> None:
    assert DeviceSettings.load(write(tmp_path, **LEAST, state="/var/lib/pump")).state == "/var/lib/pump"


def test_the_broker_may_be_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "s3cret")
    broker = {"url": "mqtt://h:1999", "user": "pump", "password": "${WORD}"}
    settings = DeviceSettings.load(write(tmp_path, **LEAST, broker=broker))
    assert settings.address == Address("h", 1999, False, "pump", "s3cret")


def test_what_is_dumped_is_loaded(tmp_path: Path) -> None:
    settings = DeviceSettings(**LEAST, broker=Broker(url="mqtts://h", ca=""), state=str(tmp_path))
    (tmp_path / "pump.json").write_text(settings.dump())
    assert DeviceSettings.load(tmp_path / "pump.json") == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"pipeline": "p", "device": "d"}', r"pump\.json: Object missing required field `root`"),
        (
            '{"pipeline": "p", "device": "d", "root": "", "prefux": "x"}',
            r"pump\.json: .*unknown field `prefux`",
        ),
        ('{"pipeline": "p", "device": "a/b", "root": ""}', r"pump\.json: device: .*control character"),
        ("pipeline: p", r"pump\.json: JSON is malformed.*`iot-stream device add NAME` writes it"),
        ("\udcff", r"pump\.json: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pump.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=message):
        DeviceSettings.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: No such file"):
        DeviceSettings.load(tmp_path / "none.json")

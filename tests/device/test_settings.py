"""What a device is started with."""

from pathlib import Path

import pytest

from iot_stream.config import Address
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "pump.yml"
    path.write_text(text)
    return path


def test_a_file_by_hand_needs_three_settings(tmp_path: Path) -> None:
    settings = DeviceSettings.load(write(tmp_path, "pipeline: office\ndevice: pump 1\nroot: '{}'\n"))
    assert settings.address == Address("localhost", 1883)
    assert (settings.cohort, settings.prefix) == ("all", "iot")
    assert settings.state == str(tmp_path / "state")


def test_state_may_be_anywhere(tmp_path: Path) -> None:
    settings = DeviceSettings.load(
        write(tmp_path, "pipeline: p\ndevice: d\nroot: '{}'\nstate: /var/lib/pump\n")
    )
    assert settings.state == "/var/lib/pump"


def test_the_broker_may_be_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "s3cret")
    text = "pipeline: p\ndevice: d\nroot: '{}'\nbroker: {url: 'mqtt://h:1999', user: pump, password: "
    assert DeviceSettings.load(write(tmp_path, text + "'${WORD}'}\n")).address == Address(
        "h", 1999, False, "pump", "s3cret"
    )


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pump\.yml:1: file: Object missing required field `root`"):
        DeviceSettings.load(write(tmp_path, "pipeline: p\ndevice: d\n"))

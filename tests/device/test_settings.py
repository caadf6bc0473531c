"""What a device is started with."""

import json
import typing
from pathlib import Path

import msgspec
import pytest

from iot_stream.address import Address, Broker
from iot_stream.device.inputs.kinds import Call, Mqtt, Serial, Stdin
from iot_stream.device.inputs.opening import channels_of, opened
from iot_stream.device.runtime import AUTO, RUNTIMES
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


def test_the_runtime_is_one_that_there_is(tmp_path: Path) -> None:
    assert DeviceSettings.load(write(tmp_path, **LEAST)).runtime == AUTO
    (kind,) = (field.type for field in msgspec.structs.fields(DeviceSettings) if field.name == "runtime")
    names = typing.get_args(typing.get_args(kind)[0])
    assert list(names) == [AUTO, *RUNTIMES]
    for name in names:
        assert DeviceSettings.load(write(tmp_path, **LEAST, runtime=name)).runtime == name
    with pytest.raises(ConfigError, match=r"runtime: Invalid enum value 'tensorflow'"):
        DeviceSettings.load(write(tmp_path, **LEAST, runtime="tensorflow"))


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
        ('{"pipeline": "p", "device": "d"}', r"pump\.json: `root` is missing"),
        (
            '{"pipeline": "p", "device": "d", "root": "", "prefux": "x"}',
            r"pump\.json: unknown setting `prefux`; is `prefix` meant",
        ),
        ('{"pipeline": "p", "device": "", "root": ""}', r"pump\.json: device: .*control character"),
        ("pipeline: p", r"pump\.json: JSON is malformed.*`iot-stream device add NAME` writes it"),
        ("", r"pump\.json: is empty"),
        ('{"pipeline": "p', r"pump\.json: ends in the midst"),
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


# --- inputs


def test_readings_come_from_standard_input_if_nothing_else_is_said(tmp_path: Path) -> None:
    settings = DeviceSettings.load(write(tmp_path, **LEAST, channels=["x", "y"]))
    assert settings.input == Stdin()
    assert channels_of(settings) == ("x", "y")
    assert settings.publishes


def test_every_kind_of_input_is_loaded_and_written(tmp_path: Path) -> None:
    told = [
        {"from": "stdin", "columns": ["time", "x"]},
        {"from": "serial", "port": "/dev/ttyUSB0", "baud": 9600},
        {"from": "call", "function": "bme280:read", "every": "30 s"},
        {"from": "mqtt", "format": "zigbee2mqtt", "channels": {"t": "temperature"}, "lateness": "5 s"},
    ]
    kinds = [Stdin, Serial, Call, Mqtt]
    for each, kind in zip(told, kinds, strict=True):
        settings = DeviceSettings.load(write(tmp_path, **LEAST, input=each, state=str(tmp_path)))
        assert type(settings.input) is kind
        (tmp_path / "again.json").write_text(settings.dump())
        assert DeviceSettings.load(tmp_path / "again.json") == settings
    assert settings.input.lateness == 5 * 10**9
    assert channels_of(settings) == ("t",)
    assert not settings.publishes


def test_a_gateway_may_listen_elsewhere_and_publish_readings(tmp_path: Path) -> None:
    source = {"from": "mqtt", "topic": "t", "broker": "mqtt://attic"}
    settings = DeviceSettings.load(write(tmp_path, **LEAST, input=source, publish_readings=True))
    assert settings.publishes
    assert (settings.address.host, settings.input_address.host) == ("localhost", "attic")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": {"from": "serial"}}, r"json: input: `port` is missing"),
        ({"input": {"from": "usb"}}, r"input\.from: Invalid value 'usb'"),
        (
            {"input": {"from": "call", "function": "a:b", "every": "soon"}},
            r"input\.every: not a duration: 'soon'",
        ),
        ({"input": {"from": "stdin", "port": "x"}}, "input: unknown setting `port`; there are columns"),
        (
            {"input": {"from": "mqtt", "chanels": {}}},
            r"input: unknown setting `chanels`; is `channels` meant\?",
        ),
        ({"outbox": "much"}, r"outbox: not a size: 'much'"),
        ({"outbox": "1 kB"}, "outbox: at least 64 kB"),
    ],
)
def test_what_is_wrong_with_an_input_is_named(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        DeviceSettings.load(write(tmp_path, **LEAST, **settings))


def test_channels_must_be_named_somewhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="what does the device read"):
        channels_of(DeviceSettings.load(write(tmp_path, **LEAST)))


def test_an_input_that_can_never_work_is_said_before_anything_starts(tmp_path: Path) -> None:
    settings = DeviceSettings(**LEAST, input=Call(function="no:where"))
    with pytest.raises(ConfigError, match="input: no:where"):
        opened(settings, ("x",))


@pytest.mark.parametrize("name", ["hall/window", "hall%2Fwindow"])
def test_a_name_may_be_written_with_its_slash_or_without(tmp_path: Path, name: str) -> None:
    path = tmp_path / "window.json"
    path.write_text(f'{{"pipeline": "p", "device": "{name}", "root": ""}}')
    assert DeviceSettings.load(path).device == "hall%2Fwindow"

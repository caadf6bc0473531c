"""What is logged as JSON: an object a line, saying what it is about, and never a password."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from iot_stream import logs
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError
from iot_stream.service.broker import Broker
from tests.service.running import NAME, opened, service, write_config
from tests.waiting import wait_until


def line(message: str, *values: object, **more: Any) -> dict[str, Any]:
    record = logging.getLogger("iot_stream.test").makeRecord(
        "iot_stream.test", logging.WARNING, "f", 1, message, values, more.pop("exc_info", None), **more
    )
    text = logs.Lines().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_says_when_who_and_what() -> None:
    found = line("%s speaks again\nand again", "Gerät 1")
    assert found.pop("time").startswith("20")
    assert found == {
        "level": "warning",
        "logger": "iot_stream.test",
        "message": "Gerät 1 speaks again\nand again",
    }


def test_a_line_says_what_it_is_about_and_nothing_that_is_empty() -> None:
    extra = logs.about(pipeline="p", round="p-all-0001", version=3, device="", cohort=None)
    found = line("released", extra=extra)
    assert {key: found[key] for key in found.keys() - {"time", "level", "logger", "message"}} == {
        "pipeline": "p",
        "round": "p-all-0001",
        "version": 3,
    }


def test_what_a_process_is_about_stands_in_all_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_ALWAYS", {})
    logs.always(device="pump-01", pipeline="p")
    assert line("connection lost")["device"] == "pump-01"
    assert line("other", extra=logs.about(device="pump-02"))["device"] == "pump-02"


def test_an_exception_stands_in_its_line() -> None:
    error = ValueError("too\nlong")
    with pytest.raises(ValueError, match="too") as caught:
        raise error
    found = line("it failed", exc_info=(caught.type, error, caught.tb))
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: too\nlong")


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert line("x", extra=logs.about(path=Path("/a"), weight=float("inf")))["path"] == "/a"


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("way", ["option", "environment"])
def test_an_error_is_a_line_too(tmp_path: Path, way: str) -> None:
    option = ("--log", "json") if way == "option" else ()
    environment = {} if way == "option" else {logs.ENVIRONMENT: "json"}
    check = ("config", "check", "--config", str(tmp_path / "no"))
    ran = program("iot_stream.cli", *option, *check, **environment)
    assert ran.returncode == 2
    found = json.loads(ran.stderr)
    assert (found["level"], found["logger"]) == ("error", "iot-stream")
    assert "no" in found["message"]


def test_another_kind_is_refused() -> None:
    assert "'xml' is not one of 'text', 'json'" in program("iot_stream.cli", "--log", "xml", "demo").stderr
    assert "is not one of" in program("iot_stream.cli", "config", **{logs.ENVIRONMENT: "xml"}).stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(logs.ENVIRONMENT, "xml")
        with pytest.raises(ConfigError, match="IOT_STREAM_LOG: 'xml' is neither text nor json"):
            logs.configure(logging.INFO, "")


def test_what_nobody_expected_is_a_line_too() -> None:
    script = (
        "import logging, threading; from iot_stream import logs; logs.configure(logging.INFO, '', 'json')\n"
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join(); raise KeyError('x')"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    first, second = map(json.loads, ran.stderr.splitlines())
    assert "ZeroDivisionError" in first["exception"]
    assert "KeyError: 'x'" in second["exception"]
    assert first["level"] == second["level"] == "critical"


def test_a_device_says_who_it_is(tmp_path: Path) -> None:
    settings = DeviceSettings(
        pipeline="p", device="pump-01", root="{}", broker="mqtt://u:hush-hush@127.0.0.1:1", state="s",
        channels=("a",),
    )  # fmt: skip
    (tmp_path / "d.json").write_text(settings.dump())
    run = ("iot_stream.device", "run", "--config", str(tmp_path / "d.json"))
    ran = program(*run, "--log", "json")
    assert ran.returncode == 2  # its root is none
    found = json.loads(ran.stderr.splitlines()[-1])
    assert (found["level"], found["pipeline"], found["device"]) == ("error", "p", "pump-01")
    assert "hush-hush" not in ran.stderr
    assert "iot-device: " in program(*run).stderr


@pytest.mark.slow
def test_a_services_parts_log_what_rounds_are_about_and_no_password(
    tmp_path: Path, broker: Broker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(logs.ENVIRONMENT, "json")
    url = broker.url.replace("mqtt://", "mqtt://service:hush-hush@")
    path = write_config(tmp_path, url, prefix)
    with service(path, tmp_path / "log"), opened(path) as (_, store):
        wait_until(lambda: store.registry.release(NAME, "all", "stable") is not None, "a version", 60)
    text = (tmp_path / "log").read_text()
    lines = [json.loads(each) for each in text.splitlines()]
    assert "hush-hush" not in text
    (released,) = [each for each in lines if "version 1 released" in each["message"]]
    assert released["logger"] == "iot_stream.release.publisher"
    about = {key: released[key] for key in ("pipeline", "cohort", "round", "version")}
    assert about == {"pipeline": NAME, "cohort": "all", "round": f"{NAME}-all-0000", "version": 1}
    training = [each for each in lines if "teacher mlp on" in each["message"]]
    assert training[0]["round"] == f"{NAME}-all-0000"
    assert any("made keys in" in each["message"] for each in lines)


def test_the_page_shows_a_line_and_explains_each_field() -> None:
    page = (Path(__file__).parents[1] / "docs" / "logs.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("\n```")[0])
    extra = {"pipeline": 1, "cohort": 1, "round": 1, "version": 1, "device": 1}
    written = line("x", exc_info=(ValueError, ValueError("x"), None), extra=logs.about(**extra))
    table = [row.split(" | ")[0] for row in page.splitlines() if row.startswith("| `")]
    explained = {name for cell in table for name in cell.strip("| ").replace("`", "").split(", ")}
    assert explained == set(written)
    assert shown.keys() <= explained

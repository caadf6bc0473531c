"""The commands on a service that has run: models, windows, keys, device, config, monitor."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iot_stream.device.inputs.kinds import Mqtt, Stdin
from iot_stream.device.settings import DeviceSettings
from iot_stream.service.broker import Broker
from tests.service.running import NAME, fleet, opened, service, write_config, write_taught
from tests.waiting import wait_until
from tests.watch.stores import hear


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "iot_stream.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode == code, result.stderr
    return result


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Path]:
    """A configuration whose service is running and has made a second version."""
    folder = tmp_path_factory.mktemp("served")
    path = write_taught(folder, broker.url, f"cli-{folder.name}")
    with service(path, folder / "log"), opened(path) as (_, store):
        wait_until(lambda: store.registry.release(NAME, "all", "stable") is not None, "a first version", 150)
        with fleet(path, folder, "--devices", "8", "--seconds", "400"):
            wait_until(lambda: len(store.registry.versions(NAME)) >= 2, "a second version", 150)
            wait_until(lambda: sum(store.journal.readings(NAME).values()) > 400, "some readings", 80)
        yield path


@pytest.mark.slow
def test_a_device_is_pinned_and_let_go(served: Path) -> None:
    with opened(served) as (_, store):
        name = store.registry.devices(NAME)[0].device
    at = ("--config", str(served))
    assert f"{name} stays at version" in run("device", "pin", name, "--reason", "certified", *at).stdout
    listed = {line.split()[0]: line for line in run("device", "list", *at).stdout.splitlines()}
    assert [device for device, line in listed.items() if ", pinned, " in line] == [name]
    decided = run("rollout", *at).stdout
    assert re.search(rf"version \d+ {name} pinned +by \S+: certified", decided)
    again = run("device", "unpin", name, "--reason", "certified anew", *at).stdout
    assert again == f"{name} follows the releases of its cohort again\n"


@pytest.mark.slow
def test_models_list_and_show_tell_where_a_version_came_from(served: Path) -> None:
    lines = run("models", "list", "--config", str(served)).stdout.splitlines()
    assert lines[0].split()[:2] == ["version", "made"]
    assert lines[1].split()[0] == "1"
    shown = json.loads(run("models", "show", "2", "--config", str(served)).stdout)
    assert {"sample", "distillation", "fusion", "gate", "cost", "teacher", "settings"} <= shown[
        "provenance"
    ].keys()
    assert "no version 99" in run("models", "show", "99", "--config", str(served), code=2).stderr


@pytest.mark.slow
def test_explain_tells_why_the_student_changed(served: Path) -> None:
    with opened(served) as (_, store):
        released = store.registry.versions(NAME)[1].round
        assert store.registry.rounds(NAME)[1].report["cost"]["explain_seconds"] > 0
    said = " ".join(run("explain", released, "--config", str(served)).stdout.split())
    assert "released as version 2" in said
    why = json.loads(run("explain", released, "--json", "--config", str(served)).stdout)["why"]
    assert len(why["words"]) == 5
    assert [each for part in why["words"].values() for each in part if each not in said] == []
    assert why["learnt"]["judging"] > 0
    assert "why" not in json.loads(run("models", "show", "2", "--config", str(served)).stdout)["provenance"]


@pytest.mark.slow
def test_what_is_excluded_is_not_learnt_from(served: Path) -> None:
    at = ("--config", str(served))
    run("exclude", "add", *at, "--from", "2000-01-01", "--to", "2100-01-01", "--reason", "all of it")
    with opened(served) as (_, store):
        command = store.registry.command("test", "distil", NAME)
        wait_until(lambda: store.registry.outcome(command)[0] != "open", "a round", 60)
        report = store.registry.rounds(NAME)[-1].report
        assert report["excluded"] > 0
        assert report["sample"]["recent"] == 0
        assert report["gate"]["outcome"] == "held"
    (line,) = run("exclude", "list", *at).stdout.splitlines()
    run("exclude", "remove", line.split()[0], *at)


@pytest.mark.slow
def test_rollback_is_a_new_version_with_the_old_weights(served: Path) -> None:
    out = run("models", "rollback", "1", "--config", str(served)).stdout
    assert "carries the weights of version 1" in out
    with opened(served) as (_, store):
        versions = store.registry.versions(NAME)
        rolled = next(v for v in versions if v.provenance.get("rollback_of") == 1)
        assert rolled.weights == versions[0].weights
    assert "no version 99" in run("models", "rollback", "99", "--config", str(served), code=5).stderr


@pytest.mark.slow
def test_a_round_can_be_asked_for_and_is_in_the_list(served: Path) -> None:
    run("rounds", "start", "--config", str(served))
    lines = run("rounds", "list", "--config", str(served)).stdout.splitlines()
    assert lines[0].split()[:3] == ["round", "began", "trigger"]
    assert any("command" in line for line in lines[1:])
    assert any("released" in line and "version 2" in line for line in lines[1:])


@pytest.mark.slow
def test_windows_stats_and_export(served: Path, tmp_path: Path) -> None:
    assert "machine-00" in run("windows", "stats", "--config", str(served)).stdout
    run("windows", "export", "--config", str(served), "--to", str(tmp_path / "w.npz"))
    with np.load(tmp_path / "w.npz") as archive:
        assert archive["x"].shape[1:] == (4, 10)
        assert len(archive["label"]) == len(archive["x"]) > 20
        assert (archive["label"] >= 0).any()


@pytest.mark.slow
def test_distill_once_runs_a_round_and_ends(served: Path) -> None:
    with opened(served) as (_, store):
        before = len(store.registry.rounds(NAME))
        run("distill", "--once", "--config", str(served))
        assert len(store.registry.rounds(NAME)) > before


@pytest.mark.slow
def test_monitor_ends_when_nobody_reads_on(served: Path) -> None:
    """As with `| head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "iot_stream.cli", "monitor", "--json", "--config", str(served)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["kind"]
    process.stdout.close()
    assert process.wait(60) == 0
    with process.stderr as said:
        assert said.read() == ""


@pytest.mark.slow
def test_monitor_shows_what_is_retained_and_ends_at_once_on_ctrl_c(served: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "iot_stream.cli", "monitor", "--config", str(served)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen = ""
    while "bundle of" not in seen or "service  publisher: running" not in seen:
        line = process.stdout.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_keys_init_never_overwrites(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    assert "Move" in run("keys", "init", "--config", str(path)).stdout
    assert len(list((tmp_path / "store" / "keys" / "root").glob("*.pem"))) == 3
    assert "never overwritten" in run("keys", "init", "--config", str(path), code=2).stderr


@pytest.mark.parametrize("command", [["keys", "init"], ["serve"], ["windows", "stats"]])
def test_a_store_where_none_can_be_is_told_by_its_place(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    path = write_config(tmp_path, "mqtt://localhost:1", "p")
    path.write_text(path.read_text().replace(f"{tmp_path}/store", f"{tmp_path}/file/store"))
    said = run(*command, "--config", str(path), code=4 if command[0] == "windows" else 1).stderr
    assert f"{tmp_path}/file" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 2, said


def test_device_add_writes_a_file_that_a_device_reads(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://user:secret@broker.example", "p")
    run("keys", "init", "--config", str(path))
    text = run("device", "add", "pump-01", "--config", str(path)).stdout
    assert "secret" not in text
    (tmp_path / "pump-01.json").write_text(text)
    settings = DeviceSettings.load(tmp_path / "pump-01.json")
    assert (settings.device, settings.pipeline, settings.prefix) == ("pump-01", NAME, "p")
    assert (settings.channels, settings.input) == (tuple(f"f{i}" for i in range(10)), Stdin())
    assert "a device is needed" in run("device", "add", "", "--config", str(path), code=2).stderr


def test_device_add_floods_no_terminal(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    run("keys", "init", "--config", str(path))
    ours, screen = pty.openpty()
    command = [sys.executable, "-m", "iot_stream.cli", "device", "add", "pump-01", "--config", str(path)]

    def typed() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, cwd=tmp_path, stdout=screen, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )

    first, file = typed(), tmp_path / "pump-01.json"
    assert "pump-01.json is what pump-01 starts with: `iot-device run --config pump-01.json`" in first.stderr
    assert DeviceSettings.load(file).device == "pump-01"
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("{}")  # what somebody has written into it stays
    again = typed()
    assert again.returncode == 2
    assert "pump-01.json is there already; `--out pump-01.json` overwrites it" in again.stderr
    assert file.read_text() == "{}"
    os.close(screen)
    with pytest.raises(OSError), os.fdopen(ours, "rb", 0) as shown:  # noqa: PT011  EIO: nothing was printed
        shown.read(1)


def test_device_add_writes_a_gateway_where_the_service_reads_the_sensors_own_topic(tmp_path: Path) -> None:
    source = {"format": "zigbee2mqtt", "channels": {f"f{i}": f"$.f{i}" for i in range(10)}}
    path = write_config(tmp_path, "mqtt://localhost", "p", sources=[source])
    run("keys", "init", "--config", str(path))
    (tmp_path / "d.json").write_text(run("device", "add", "kitchen", "--config", str(path)).stdout)
    settings = DeviceSettings.load(tmp_path / "d.json")
    assert isinstance(settings.input, Mqtt)
    assert (settings.input.format, settings.input.topic) == ("zigbee2mqtt", "zigbee2mqtt/{device...}")
    assert settings.input.channels == source["channels"]
    assert settings.channels == tuple(source["channels"])


def test_device_add_says_of_a_gateway_whom_nobody_has_heard_of(tmp_path: Path) -> None:
    source = {"format": "zigbee2mqtt", "channels": {f"f{i}": f"$.f{i}" for i in range(10)}}
    path = write_config(tmp_path, "mqtt://localhost", "p", sources=[source])
    run("keys", "init", "--config", str(path))
    assert run("device", "add", "m4", "--config", str(path)).stderr == ""  # no store yet: nobody was heard
    with opened(path) as (_, store):
        hear(store, "m1", "m2", "m3")
    said = run("device", "add", "pump-99", "--config", str(path))
    assert said.stderr == "no reading of pump-99 yet; heard are m1, m2, m3\n"
    assert DeviceSettings.load(written(tmp_path / "d.json", said.stdout)).device == "pump-99"
    assert "heard are m1, m2, m3; is m1 meant?\n" in run("device", "add", "M1", "--config", str(path)).stderr
    assert run("device", "add", "m1", "--config", str(path)).stderr == ""


def test_device_add_refuses_what_only_teaches(tmp_path: Path) -> None:
    source = {"format": "zigbee2mqtt", "channels": {f"f{i}": f"$.f{i}" for i in range(10)}}
    devices = {"bed/presence": ["bed/climate"], "hall": "hall"}
    teacher = {
        "topic": "zigbee2mqtt/{device...}",
        "format": "zigbee2mqtt",
        "value": "presence",
        "devices": devices,
    }
    path = write_config(tmp_path, "mqtt://localhost", "p", sources=[source], teacher=teacher)
    run("keys", "init", "--config", str(path))
    refused = run("device", "add", "bed/presence", "--config", str(path), code=2).stderr
    assert "bed/presence teaches bed/climate (`devices` under `teacher`), and runs no student" in refused
    for name in ("bed/climate", "hall"):
        run("device", "add", name, "--config", str(path))


def test_a_round_that_nobody_is_there_to_run_is_said_at_once(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    path = write_config(tmp_path, broker.url, prefix)
    said = run("rounds", "start", "--wait", "0", "--config", str(path))
    assert "no distiller is at work; it is done when one starts\n" in said.stderr
    assert "asked for as command 1" in said.stdout


def test_config_check_says_where_labels_come_from_and_where_the_pages_are(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    assert (
        f"  labels   p/{NAME}/device/{{device}}/label\n"
        in run("config", "check", "--config", str(path)).stdout
    )
    labels = {"topic": "truth/{device}"}
    path = write_config(tmp_path, "mqtt://localhost", "p", labels=labels)
    path.write_text(path.read_text() + "\ndashboard: {port: 0}\nmetrics: {host: '::1'}\n")
    said = run("config", "check", "--config", str(path)).stdout
    assert "  labels   truth/{device}: $.value from $.time until $.until if told\n" in said
    assert "page     http://127.0.0.1:(any that is free)\nmetrics  http://[::1]:9464/metrics\n" in said


def test_a_device_may_be_written_with_its_slash_or_without(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    run("keys", "init", "--config", str(path))
    for spelling in ("living room/climate", "living room%2Fclimate"):
        (tmp_path / "d.json").write_text(run("device", "add", spelling, "--config", str(path)).stdout)
        assert DeviceSettings.load(tmp_path / "d.json").device == "living room%2Fclimate"


def test_what_is_empty_says_what_to_do(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    for command, remedy in (
        (("windows", "stats"), "iot-stream discover"),
        (("models", "list"), "no version yet"),
        (("device", "list"), "iot-stream device add NAME"),
    ):
        assert remedy in run(*command, "--config", str(path)).stderr
    assert "`iot-stream init` writes one" in run("serve", "--config", str(tmp_path / "no.yml"), code=2).stderr


def test_config_check_says_who_teaches(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(
        "pipelines:\n  room:\n    sources: [{format: zigbee2mqtt, channels: {t: temperature}}]\n"
        "    window: {length: 3}\n    task: {classify: [empty, present]}\n"
        "    teacher: {topic: 'camera/{device}', value: $.person}\n    student: {arch: mlp, hidden: [4]}\n"
    )
    out = run("config", "check", "--config", str(path)).stdout
    assert "  teacher  what camera/{device} says (json): $.person from when it came\n" in out
    whom = "value: $.person, devices: {hall: [a, b], porch: c}}"
    path.write_text(path.read_text().replace("value: $.person}", whom))
    out = run("config", "check", "--config", str(path)).stdout
    assert "says (json): $.person from when it came; hall teaches a, b; porch teaches c\n" in out
    assert "  student  mlp hidden=[4] on 3 × (t)\n" in out


def test_config_check_says_that_a_teacher_has_nothing_to_learn_from(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p", recordings=None)
    said = run("config", "check", "--config", str(path)).stdout
    assert "missing  recordings.bootstrap, which the teacher learns from" in said


def test_config_check_says_all_that_starts_and_judges_a_round(tmp_path: Path) -> None:
    triggers = {"every": "1 day", "labels": 20, "drift": "adwin"}
    gate = {"block": "30 min", "n_min": 40}
    path = write_config(tmp_path, "mqtt://localhost", "p", triggers=triggers, gate=gate)
    out = run("config", "check", "--config", str(path)).stdout
    assert "rounds   every 1 day or 20 labels or drift (adwin), once 80 new windows have come" in out
    assert "gate     one in 5 blocks of 30 min judges, 40 windows at least" in out


def test_config_check_says_what_a_file_means(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    out = run("config", "check", "--config", str(path)).stdout
    assert "teacher  mlp hidden=[32] on 4 × (f0, f1" in out
    assert "rounds   every 2 s, once 20 new windows have come (wall clock)" in out
    assert "gate     10 windows judge, at most half of the new ones: 20 a round" in out
    assert "missing" not in out
    path.write_text(re.sub("store: .*", "store: postgresql://me:secret@db/iot", path.read_text()))
    assert "store    postgresql://me@db/iot\n" in run("config", "check", "--config", str(path)).stdout
    assert (
        "no such file" in run("config", "check", "--config", str(tmp_path / "no.yml"), code=2).stderr.lower()
    )

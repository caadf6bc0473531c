import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iot_stream import topics
from iot_stream.address import Broker as BrokerSettings
from iot_stream.mqtt import Connection, Message
from iot_stream.service import broker as brokers
from iot_stream.service.broker import Broker, find_mosquitto
from tests.service.running import (
    NAME,
    fleet,
    kill_service,
    opened,
    service,
    start_service,
    write_config,
    write_taught,
)
from tests.waiting import wait_until

CHILD = "iot_stream.cli"
Said = dict[str, tuple[bool, str]]  # topic → whether it is there, and which instance


def _parts(parent: int) -> dict[str, int]:
    """Part → process id of a supervisor's children."""
    found = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                command = (each / "cmdline").read_bytes().decode().split("\0")
                ppid = int((each / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if ppid == parent and CHILD in command:
                found[command[command.index("--config") - 1]] = int(each.name)
    return found


def _ran(part: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """To its end."""
    command = [sys.executable, "-m", CHILD, part, "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def _presences(broker: Broker, prefix: str) -> Iterator[Callable[[], Said]]:
    said: Said = {}

    def hear(message: Message) -> None:
        each = topics.decode(topics.Service, message.payload)
        said[message.topic] = (each.online, each.instance)

    listener = Connection(BrokerSettings(url=broker.url).address(), f"{prefix}-listener", hear)
    listener.subscribe(topics.SERVICE.pattern(prefix=prefix))
    listener.start()
    try:
        yield lambda: dict(said)
    finally:
        listener.stop()


def _online(parts: Said) -> int:
    return sum(online for online, _ in parts.values())


def test_a_part_that_crashes_is_started_again_and_the_others_go_on(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    path = write_taught(tmp_path, broker.url, prefix)
    with service(path, tmp_path / "log") as serving:
        wait_until(lambda: len(_parts(serving.pid)) == 3, "three parts")
        before = _parts(serving.pid)
        os.kill(before["collect"], signal.SIGKILL)
        wait_until(
            lambda: _parts(serving.pid).get("collect", before["collect"]) != before["collect"],
            "a new collector",
        )
        after = _parts(serving.pid)
        assert (after["distill"], after["publish"]) == (before["distill"], before["publish"])


def test_parts_end_with_their_supervisor_even_if_it_is_killed(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    path = write_taught(tmp_path, broker.url, prefix)
    with service(path, tmp_path / "log") as serving:
        wait_until(lambda: len(_parts(serving.pid)) == 3, "three parts")
        parts = _parts(serving.pid)
        serving.kill()
        serving.wait(10)
        wait_until(lambda: not any(_alive(pid) for pid in parts.values()), "all parts gone", 30)


@pytest.mark.parametrize("quiet", [False, True])
def test_that_all_parts_have_ended_is_said_unless_quiet(
    tmp_path: Path, broker: Broker, prefix: str, quiet: bool
) -> None:
    path = write_taught(tmp_path, broker.url, prefix)
    log = tmp_path / "log"
    with service(path, log, *["--quiet"][:quiet]) as serving:
        wait_until(lambda: len(_parts(serving.pid)) == 3, "three parts")
        os.killpg(serving.pid, signal.SIGINT)  # Ctrl-C
        assert serving.wait(30) == 0
    ended = "INFO service: all parts have ended; what they know is in the store, where the next start goes on"
    assert log.read_text().splitlines()[-1].endswith(ended) is not quiet


def test_a_second_publisher_on_the_prefix_refuses_to_start(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    path = write_taught(tmp_path, broker.url, prefix)
    with service(path, tmp_path / "log"), opened(path) as (_, store):
        wait_until(lambda: store.registry.release(NAME, "all", "stable") is not None, "a first version", 60)
        second = _ran("publish", path)
    assert second.returncode == 3
    assert "a publisher is at work" in second.stderr


def test_a_second_service_on_the_prefix_refuses_and_leaves_the_first_as_it_was(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    path = write_taught(tmp_path, broker.url, prefix)
    with _presences(broker, prefix) as parts, service(path, tmp_path / "log"):
        wait_until(lambda: _online(parts()) == 3, "three parts", 60)
        before = parts()
        second = _ran("serve", path)
        assert second.returncode == 3
        assert "a publisher is at work on prefix" in second.stderr
        wait_until(lambda: parts() == before, "each part says again that it is there")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("embedded", marks=pytest.mark.long),
        pytest.param("mosquitto", marks=pytest.mark.skipif(find_mosquitto() is None, reason="none is here")),
    ],
)
def test_each_part_says_that_it_is_there_to_a_broker_that_comes_back(
    kind: brokers.Kind, tmp_path: Path, prefix: str
) -> None:
    with brokers.start(tmp_path / "broker", kind=kind) as broker:
        path = write_taught(tmp_path, broker.url, prefix)
        with service(path, tmp_path / "log"):
            with _presences(broker, prefix) as parts:
                wait_until(lambda: _online(parts()) == 3, "three parts", 60)
                before = parts()
            broker.restart()
            with _presences(broker, prefix) as parts:
                wait_until(lambda: parts() == before, "the same three", 60)


@pytest.mark.slow
def test_a_round_that_is_cut_off_is_written_down_as_interrupted(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    """When the service is stopped, at once; when it is killed, at the next start."""
    endless = {"first_steps": 200, "steps": 10_000_000}
    path = write_taught(tmp_path, broker.url, prefix, distill=endless)
    with opened(path) as (_, store), fleet(path, tmp_path, "--devices", "3", "--seconds", "600"):

        def under_way(number: int) -> None:
            wait_until(lambda: len(outcomes()) == number and outcomes()[-1] == "running", "a round", 60)

        def outcomes() -> list[str]:
            return [each.outcome for each in store.registry.rounds(NAME) if each.trigger != "bootstrap"]

        with service(path, tmp_path / "log"):
            under_way(1)
        assert outcomes() == ["interrupted"]
        assert store.registry.rounds(NAME)[-1].ended is not None
        serving = start_service(path, tmp_path / "log")
        under_way(2)
        kill_service(serving)
        assert outcomes() == ["interrupted", "running"]
        with service(path, tmp_path / "log"):
            wait_until(lambda: outcomes()[:2] == ["interrupted"] * 2, "that the next start says so", 60)


def test_a_wrong_configuration_ends_at_once_with_its_place(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    path.write_text(path.read_text().replace("length:", "lenght:"))
    result = _ran("serve", path)
    assert result.returncode == 2
    assert "is `length` meant?" in result.stderr
    assert f"{path}:" in result.stderr


def test_a_part_that_refuses_its_configuration_ends_the_service(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    recordings = {
        "files": "none/*.csv",
        "time": "t",
        "channels": {f"f{i}": f"f{i}" for i in range(10)},
        "bootstrap": {"teacher": {}, "student": {}},
    }
    path = write_config(tmp_path, broker.url, prefix, recordings=recordings)
    with service(path, tmp_path / "log") as serving:
        assert serving.wait(60) == 2
    assert "recordings.files: nothing at" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("part", ["collect", "distill", "publish"])
def test_no_broker_is_said_with_its_address(tmp_path: Path, part: str) -> None:
    path = write_config(tmp_path, "mqtt://127.0.0.1:1", "p")
    subprocess.run(
        [sys.executable, "-m", CHILD, "keys", "init", "--config", str(path)], check=True, capture_output=True
    )
    result = _ran(part, path)
    assert result.returncode == 3
    assert "127.0.0.1:1" in result.stderr

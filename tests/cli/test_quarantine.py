"""What could not be used: seen by a person, and taken again once the configuration is mended."""

from pathlib import Path

import numpy as np
import pytest

from iot_stream.config import load
from iot_stream.mqtt import Connection
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.windows import Windows
from tests.cli.test_commands import run
from tests.ingest.test_collector import collecting
from tests.waiting import wait_until

CONFIG = """\
broker: {url}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  heating:
    window: {{length: 1}}
    task: {{classify: [a, b]}}
    sources:
      - topic: {prefix}/raw/{{device}}
        format: json
        channels: {{mode: $.mode}}
        values: {{{words}}}
"""
MESSAGES = {"boiler": b'{"mode": "eco"}', "pump": b'{"mode": "turbo"}', "fan": b"\xff\x00"}


@pytest.fixture
def quarantined(broker: Broker, prefix: str, tmp_path: Path) -> Path:
    """A configuration under which three messages were refused."""
    path = tmp_path / "config.yml"
    write(path, broker, prefix, "")
    with collecting(path) as (config, store):
        speaker = Connection(config.address, f"{prefix}-speaker", lambda _: None)
        speaker.start()
        for device, payload in MESSAGES.items():
            speaker.publish_and_wait(f"{prefix}/raw/{device}", payload)
        wait_until(lambda: len(store.faults.quarantined("heating")) == 3, "three messages in quarantine")
        speaker.stop()
    return path


def write(path: Path, broker: Broker, prefix: str, words: str) -> None:
    path.write_text(CONFIG.format(url=broker.url, folder=path.parent / "store", prefix=prefix, words=words))


def ask(*arguments: str, path: Path, code: int = 0) -> str:
    result = run("quarantine", *arguments, "--config", str(path), code=code)
    return result.stderr if code else result.stdout


def test_list_and_show_tell_what_came_and_why_it_was_refused(quarantined: Path, prefix: str) -> None:
    lines = ask("list", path=quarantined).splitlines()
    assert [line.split()[2] for line in lines] == ["wrong_type", "wrong_type", "malformed"]
    assert f"{prefix}/raw/boiler: boiler: $.mode: 'eco' is no number, and no state that is known" in lines[0]
    assert ask("list", "--reason", "malformed", path=quarantined).splitlines() == lines[2:]
    assert ask("list", "--device", "pump", path=quarantined).splitlines() == lines[1:2]
    shown = ask("show", lines[1].split()[0], path=quarantined)
    assert "17 bytes" in shown
    assert '{"mode": "turbo"}' in shown
    assert "ff 00" in ask("show", lines[2].split()[0], path=quarantined)
    assert "has no message 99" in ask("show", "99", path=quarantined, code=2)


def test_replay_takes_what_the_mended_configuration_understands(
    quarantined: Path, broker: Broker, prefix: str
) -> None:
    write(quarantined, broker, prefix, "eco: 1, comfort: 2")
    with collecting(quarantined) as (_, store):
        assert "1 of 3 messages taken, 2 refused again" in ask("replay", "--all", path=quarantined)
        (entry,) = store.journal.after("heating", 0, 10)
        assert (entry.block.device, entry.block.values.tolist()) == ("boiler", [[1.0]])
        assert [row.device for row in store.faults.quarantined("heating")] == ["pump", "fan"]
        assert "1 messages dropped" in ask("drop", "--device", "fan", path=quarantined)
        assert [row.device for row in store.faults.quarantined("heating")] == ["pump"]


def test_what_is_kept_in_part_only_is_not_replayed(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    write(path, broker, prefix, "")
    store = Store(load(path).store_folder)
    with store.write() as tx:
        store.faults.quarantine(tx, 1, "heating", "d", f"{prefix}/raw/d", "too_large", "", b"x" * 100_000)
    store.close()
    with collecting(path) as (_, seen):
        said = ask("replay", "--all", path=path)
        assert "0 of 1 messages taken, 0 refused again; 1 are kept in part only, and stay" in said
        assert [row.size for row in seen.faults.quarantined("heating")] == [100_000]


def test_it_must_be_said_which(quarantined: Path) -> None:
    assert "say which" in ask("drop", path=quarantined, code=2)


def test_without_a_collector_the_wish_stands(quarantined: Path) -> None:
    said = ask("drop", "--all", "--wait", "0.1", path=quarantined)
    assert "no collector has answered yet" in said
    with collecting(quarantined) as (_, store):
        wait_until(lambda: not store.faults.quarantined("heating"), "the wish is granted")


def test_stats_send_to_the_quarantine_only_while_something_is_there(quarantined: Path) -> None:
    look = "`iot-stream quarantine list` says what was wrong with each"
    told = run("windows", "stats", "--config", str(quarantined))
    assert f"no reading yet; what came was refused: {look}" in told.stderr
    assert told.stdout.count(f"refused: {look}") == 3
    with collecting(quarantined):
        ask("drop", "--all", path=quarantined)
    told = run("windows", "stats", "--config", str(quarantined))
    assert "no reading yet; is `iot-stream serve` running?" in told.stderr
    assert told.stdout.count("refused; the messages are no longer in quarantine") == 3


def test_stats_tell_windows_of_former_settings_at_once(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    write(path, broker, prefix, "")
    store = Store(load(path).store_folder)
    for cut, start in (("a", 1), ("b", 3)):
        window = Windows(np.array([start]), np.array([start + 2]), np.zeros((1, 2, 1), np.float32))
        with store.write() as tx:
            store.journal.add_windows(tx, "heating", cut, [("pump", window, 0)])
    store.close()
    (line,) = (
        each
        for each in run("windows", "stats", "--config", str(path)).stdout.splitlines()
        if "former" in each
    )
    assert line.split()[:3] == ["pump", "former", "2"]
    assert line.endswith("student's or teacher's, cut by settings of before; not learnt from")

"""A node whose birth nobody heard is asked for it, and what it said then outlives a restart."""

from pathlib import Path
from queue import SimpleQueue

import pytest

from iot_stream.config import Config
from iot_stream.formats.sparkplug_payload import (
    Datatype,
    Metric,
    dbirth,
    ddata,
    ddeath,
    nbirth,
    ndata,
    ndeath,
    parse,
)
from iot_stream.ingest.deaths import Deaths
from iot_stream.mqtt import Connection, Message
from iot_stream.service.broker import Broker
from tests.cli.test_commands import run
from tests.ingest.test_collector import collecting
from tests.streams import START
from tests.waiting import wait_until

CONFIG = """\
broker: {url}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  press:
    clock: stream
    window: {{length: 1, lateness: 0 s}}
    task: {{classify: [a, b]}}
    sources:
      - {{topic: "{prefix}-b/{{group}}/{{type}}/{{node...}}", format: sparkplug, channels: {{p: Inputs/P}}}}
"""
TAUGHT = """\
    student: {{arch: mlp, channels: [p]}}
    teacher:
      topic: "{prefix}-b/{{group}}/{{type}}/{{node...}}"
      format: sparkplug
      value: Quality/Worn
"""
T = START // 10**6
P = Metric("Inputs/P", -12, Datatype.INT32, alias=7)
WORN = Metric("Quality/Worn", False, Datatype.BOOLEAN, alias=8)


@pytest.fixture
def path(broker: Broker, prefix: str, tmp_path: Path) -> Path:
    found = tmp_path / "config.yml"
    found.write_text(CONFIG.format(url=broker.url, folder=tmp_path / "store", prefix=prefix))
    return found


@pytest.fixture
def taught(path: Path, prefix: str) -> Path:
    """With a second source on the same topic."""
    path.write_text(path.read_text() + TAUGHT.format(prefix=prefix))
    return path


class Node:
    """An edge node of Sparkplug, and what it is told."""

    def __init__(self, config: Config) -> None:
        self._root = f"{config.prefix}-b/plant"
        self.told: SimpleQueue[Message] = SimpleQueue()
        self.connection = Connection(config.address, f"{config.prefix}-edge", self.told.put)
        self.connection.subscribe(f"{self._root}/NCMD/edge")
        self.connection.start()

    def says(self, kind: str, payload: bytes) -> None:
        device = "/press-1" if kind.startswith("D") else ""
        self.connection.publish_and_wait(f"{self._root}/{kind}/edge{device}", payload)


def is_rebirth(message: Message) -> bool:
    asked = parse(message.payload, "what it is told").metrics
    return [(metric.name, metric.value) for metric in asked] == [("Node Control/Rebirth", True)]


def test_a_missed_birth_is_asked_for_and_kept(path: Path) -> None:
    with collecting(path) as (config, store):
        node = Node(config)
        node.says("DDATA", ddata([P], T, 5))
        assert is_rebirth(node.told.get(timeout=60))
        name = "plant%2Fedge%2Fpress-1"
        wait_until(lambda: bool(store.faults.quarantined("press", reason="no_birth")), "it is counted")

        node.says("NBIRTH", nbirth([], T + 1000))
        node.says("DBIRTH", dbirth([P], T + 1000, 1))
        node.says("DDATA", ddata([P._replace(value=-13)], T + 2000, 2))
        node.says("DDATA", ddata([P._replace(value=-16)], T + 5000, 5))  # 3 and 4 got lost
        wait_until(lambda: store.journal.readings("press").get(name) == 3, "readings after the birth")
        wait_until(lambda: ("plant%2Fedge", "lost", 2) in store.faults.counters("press"), "the loss")
        assert is_rebirth(node.told.get(timeout=60))
    with collecting(path) as (_, store):
        node.says("DDATA", ddata([P._replace(value=-17)], T + 6000, 6))  # an alias alone
        wait_until(lambda: store.journal.readings("press")[name] == 4, "what the birth said is remembered")
        values = [entry.block.values[:, 0].tolist() for entry in store.journal.after("press", 0, 10)]
        assert [value for block in values for value in block] == [-12.0, -13.0, -16.0, -17.0]
        assert is_rebirth(node.told.get(timeout=60))  # what changed meanwhile, nobody has said
        node.connection.stop()


def test_what_two_sources_hear_is_lost_refused_and_asked_for_once(taught: Path) -> None:
    name = "plant%2Fedge%2Fpress-1"
    with collecting(taught) as (config, store):
        node = Node(config)
        node.says("NBIRTH", nbirth([], T))
        node.says("DBIRTH", dbirth([P, WORN], T, 1))
        node.says("DDATA", ddata([P], T + 4000, 4))  # 2 and 3 got lost
        node.says("DDATA", b"\xff")
        wait_until(lambda: bool(store.faults.quarantined("press")), "the refusal")
        assert set(store.faults.counters("press")) == {("plant%2Fedge", "lost", 2), (name, "malformed", 1)}
        assert [row.device for row in store.faults.quarantined("press")] == [name]
        assert is_rebirth(node.told.get(timeout=60))  # asked after the refusal was written down
        node.says("NCMD", b"the end")
        assert node.told.get(timeout=60).payload == b"the end"
        node.connection.stop()
    for device in ("plant/edge/press-1", name):
        told = run("quarantine", "list", "--device", device, "--config", str(taught)).stdout
        assert "/plant/DDATA/edge/press-1: DDATA of plant/edge/press-1: " in told


def test_a_node_whose_name_no_device_can_have_is_counted_too(path: Path) -> None:
    with collecting(path) as (config, store):
        node = Node(config)
        long = "e" * 200
        for seq in (1, 3):
            node.connection.publish_and_wait(f"{config.prefix}-b/plant/NDATA/{long}", ndata([], T + seq, seq))
        wait_until(lambda: store.faults.counters("press") == [(f"plant/{long}", "lost", 1)], "the loss")
        node.connection.stop()


def test_loss_above_the_bound_is_warned_of_once(taught: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every twentieth message of a node gets lost."""
    with collecting(taught) as (config, store):
        node = Node(config)
        node.says("NBIRTH", nbirth([], T))
        node.says("DBIRTH", dbirth([P], T, 1))
        sent = [i for i in range(2, 110) if i % 20]
        for i in sent:
            node.says("DDATA", ddata([P], T + 1000 * i, i))
        wait_until(
            lambda: store.journal.readings("press").get("plant%2Fedge%2Fpress-1") == 1 + len(sent), "all"
        )
        node.connection.stop()
    (said,) = [record.getMessage() for record in caplog.records if "loses" in record.getMessage()]
    assert said.startswith("press: plant%2Fedge loses ")
    assert "of its messages on the way, 1.0% are allowed: is the broker overloaded" in said


def test_what_is_taken_again_from_the_quarantine_has_a_birth_asked_for_too(path: Path) -> None:
    with collecting(path) as (config, store):
        node = Node(config)
        node.says("DDATA", ddata([P], T, 5))
        assert is_rebirth(node.told.get(timeout=60))
        wait_until(lambda: bool(store.faults.quarantined("press")), "it is refused")
    with collecting(path):  # which does not know that it was asked for
        assert "0 of 1 messages taken" in run("quarantine", "replay", "--all", "--config", str(path)).stdout
        assert is_rebirth(node.told.get(timeout=60))
        node.connection.stop()


def test_deaths_are_said_and_who_is_there_again(taught: Path, caplog: pytest.LogCaptureFixture) -> None:
    def said(words: str) -> int:
        return sum(record.getMessage() == f"press: {words}" for record in caplog.records)

    with collecting(taught) as (config, _):
        node = Node(config)
        node.says("NBIRTH", nbirth([], T))
        node.says("DBIRTH", dbirth([P], T, 1))
        node.says("DDEATH", ddeath(T + 1000, 2))
        wait_until(lambda: said("died: plant/edge/press-1") == 1, "a device's death")
        node.says("NDEATH", ndeath(0))
        wait_until(lambda: said("died: plant/edge") == 1, "a node's death")
        node.says("NBIRTH", nbirth([], T + 2000))
        node.says("DBIRTH", dbirth([P], T + 2000, 1))
        wait_until(lambda: said("there again: plant/edge, plant/edge/press-1") == 1, "both are there again")
        node.connection.stop()
    assert sum("died" in record.getMessage() for record in caplog.records) == 2


def test_deaths_of_many_are_one_line_and_those_of_a_moment_none() -> None:
    deaths = Deaths()
    deaths.add({f"plant/{n}": True for n in range(1000)})
    assert deaths.said() == ["died: plant/0, plant/1, plant/2 and 997 more"]
    deaths.add({"plant/7": True})  # with QoS 1 it may come twice
    assert deaths.said() == []
    deaths.add({"plant/7": False, "plant/1000": False})
    assert deaths.said() == ["there again: plant/7"]
    deaths.add({"plant/7": True})
    deaths.add({"plant/7": False})
    assert deaths.said() == []

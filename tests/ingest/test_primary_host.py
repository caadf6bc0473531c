"""Sparkplug's STATE on a real broker: online while the collector is there, offline when it goes or dies."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from iot_stream.clock import wall
from iot_stream.config import Config, load
from iot_stream.mqtt import Connection, Message
from iot_stream.service.broker import Broker
from tests.ingest.test_collector import collecting, presence, start_process
from tests.waiting import wait_until

CONFIG = """\
broker: {url}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  press:
    window: {{length: 1}}
    task: {{classify: [a, b]}}
    sources:
      - topic: "spBv1.0/{prefix}/{{type}}/{{node...}}"
        format: sparkplug
        host: {prefix}
        channels: {{p: Inputs/P}}
"""


@pytest.fixture
def path(broker: Broker, prefix: str, tmp_path: Path) -> Path:
    found = tmp_path / "config.yml"
    found.write_text(CONFIG.format(url=broker.url, folder=tmp_path / "store", prefix=prefix))
    return found


class Node:
    """An edge node that waits for its primary host."""

    def __init__(self, config: Config) -> None:
        self._told: SimpleQueue[Message] = SimpleQueue()
        self.topic = f"spBv1.0/STATE/{config.prefix}"
        self.connection = Connection(config.address, f"{config.prefix}-edge", self._told.put)
        self.connection.subscribe(self.topic)
        self.connection.start()

    def hears(self) -> tuple[bool, int]:
        """What its host says next: whether it is there, and since when (ms)."""
        said = json.loads(self._told.get(timeout=60).payload)
        assert said.keys() == {"online", "timestamp"}
        return said["online"], said["timestamp"]

    def hears_online(self) -> int:
        """Since when its host has been there, once it is."""
        while True:
            online, since = self.hears()
            if online:
                return since


@pytest.fixture
def node(path: Path) -> Iterator[Node]:
    made = Node(load(path))
    yield made
    made.connection.stop()


def test_a_host_comes_and_goes(path: Path, node: Node, prefix: str) -> None:
    before = wall() // 10**6
    with collecting(path) as (config, _):
        online, since = node.hears()
        assert online
        assert before <= since <= wall() // 10**6
        late = Connection(config.address, f"{prefix}-late", (told := SimpleQueue[Message]()).put)
        late.subscribe(node.topic)
        late.start()
        message = told.get(timeout=60)  # retained
        assert (message.retained, json.loads(message.payload)["timestamp"]) == (True, since)
        late.stop()
    online, until = node.hears()
    assert not online
    assert since <= until <= wall() // 10**6


def test_a_host_that_is_killed_leaves_a_will_of_the_same_time(path: Path, node: Node) -> None:
    process = start_process(path)
    try:
        online, since = node.hears()
        assert online
        wait_until(lambda: presence(load(path)) is True, "the collector is online")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    assert node.hears() == (False, since)
    with collecting(path):
        assert node.hears_online() > since


def test_the_will_of_a_former_connection_does_not_stand(path: Path, node: Node) -> None:
    with collecting(path):
        _, since = node.hears()
        for noise in (b"", b"OFFLINE", b'{"online":true,"timestamp":1}'):  # no reason to say it again
            node.connection.publish_and_wait(node.topic, noise)
            assert node._told.get(timeout=60).payload == noise
        node.connection.publish_and_wait(node.topic, b'{"online":false,"timestamp":1}', retain=True)
        assert node.hears() == (False, 1)
        assert node.hears() == (True, since)


def test_a_connection_that_comes_back_has_a_will_of_its_own_time(path: Path, node: Node, prefix: str) -> None:
    with collecting(path) as (config, _):
        _, first = node.hears()
        other = Connection(config.address, f"{prefix}-host-{prefix}", lambda _: None)
        other.start()  # a client of the same id takes its place, and goes
        other.stop()
        assert node.hears() == (False, first)
        second = node.hears_online()
        assert second > first

"""A collector whose store is PostgreSQL, from the wire to windows, while it and the server are killed."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from iot_stream import topics
from iot_stream.config import load
from iot_stream.formats.telemetry import encode
from iot_stream.service.broker import Broker, find_mosquitto
from iot_stream.store import Store
from tests.ingest.test_collector import (
    MS,
    Publisher,
    check_nothing_lost_or_doubled,
    presence,
    publisher,
    write_config,
)
from tests.postgres import Server
from tests.streams import START
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_mosquitto() is None, reason="an embedded broker keeps no session"),
]


@pytest.fixture
def config(broker: Broker, prefix: str, tmp_path: Path, postgres_server: Server) -> Iterator[Path]:
    path = write_config(broker, prefix, tmp_path)
    with postgres_server.database() as url:
        path.write_text(path.read_text().replace(f"sqlite:{tmp_path / 'store'}", url))
        yield path


@contextmanager
def collecting(config: Path, name: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A collector; with a name, one of several."""
    command = [sys.executable, "-m", "iot_stream.cli", "collect", "--config", str(config)]
    process = subprocess.Popen([*command, "--shared", name] if name else command)
    part = f"collector-{name}" if name else "collector"
    try:
        wait_until(lambda: process.poll() is not None or presence(load(config), part) is True, "it is online")
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


@contextmanager
def talking(device: Publisher, enough: int) -> Iterator[None]:
    """A device that goes on sending, at least so many messages."""
    stopping, sent = threading.Event(), threading.Event()

    def run() -> None:
        messages = 0
        while messages < enough or not stopping.is_set():
            device.telemetry()
            messages += 1
            if messages == enough:
                sent.set()

    thread = threading.Thread(target=run, name="device")
    thread.start()
    try:
        yield
        assert sent.wait(30)
    finally:
        stopping.set()
        thread.join(30)


def wrong(store: Store) -> set[str]:
    return {reason for _, reason, _ in store.faults.counters("p")}


def test_a_collector_that_is_killed_loses_and_doubles_nothing(config: Path) -> None:
    known = load(config)
    store = Store(known.store_place)
    with publisher(known) as device:
        with collecting(config) as process, talking(device, 300):
            wait_until(lambda: store.journal.readings("p").get("d", 0) > 100, "it collects")
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        assert store.journal.readings("p")["d"] < device.sent
        with collecting(config):
            check_nothing_lost_or_doubled(known, store, device)
    assert wrong(store) <= {"duplicate"}  # what was written and not yet acknowledged comes again
    store.close()


def test_two_collectors_share_a_database(config: Path, broker: Broker, prefix: str, tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text(config.read_text().replace(prefix, f"{prefix}-other").replace("  p:", "  q:"))
    theirs, store = load(other), Store(load(config).store_place)
    with publisher(config) as device, publisher(theirs) as talker, collecting(config), collecting(other):
        with talking(device, 100):
            topic = topics.TELEMETRY.of(prefix=theirs.prefix, pipeline="q", device="d")
            for i in range(100):
                times = START + np.arange(i * 5, i * 5 + 5) * 10 * MS
                payload = encode(("x", "y"), times, np.zeros((5, 2), np.float32), "boot", i * 5)
                talker.connection.publish_and_wait(topic, payload)
        check_nothing_lost_or_doubled(load(config), store, device)
        wait_until(lambda: store.journal.readings("q") == {"d": 500}, "the other's readings are stored")
        wait_until(lambda: {n for _, _, n, *_ in store.journal.window_stats("q")} == {249}, "and cut")
    assert store.faults.counters("p") == store.faults.counters("q") == []
    store.close()


def test_collectors_share_the_work_and_one_takes_over_from_another(config: Path) -> None:
    # What a collector has been given waits for it: windows wait for that no longer than the lateness.
    config.write_text(config.read_text().replace("lateness: 100 ms", "lateness: 1 h"))
    known = load(config)
    store = Store(known.store_place)
    with publisher(known) as device, collecting(config, "b") as other:
        with collecting(config, "a") as one:
            for process in (one, other):  # while one does nothing, the other does its half
                before = store.journal.readings("p").get("d", 0)
                os.kill(process.pid, signal.SIGSTOP)
                for _ in range(100):
                    device.telemetry()
                wait_until(lambda: store.journal.readings("p").get("d", 0) >= before + 250, "a half")  # noqa: B023
                assert store.journal.readings("p")["d"] < device.sent
                os.kill(process.pid, signal.SIGCONT)
                check_nothing_lost_or_doubled(known, store, device)
            with talking(device, 200):
                os.kill(one.pid, signal.SIGKILL)
                one.wait(10)
        with collecting(config, "a"):  # for what the broker had given it already
            check_nothing_lost_or_doubled(known, store, device)
            os.kill(other.pid, signal.SIGKILL)  # of the two the one that cut last
            other.wait(10)
            for _ in range(20):
                device.telemetry()
            with collecting(config, "b"):
                check_nothing_lost_or_doubled(known, store, device)
    assert wrong(store) <= {"duplicate"}
    store.close()


def test_while_the_server_restarts_messages_wait_and_none_is_lost(
    config: Path, postgres_server: Server
) -> None:
    known = load(config)
    store = Store(known.store_place)
    with publisher(known) as device, collecting(config) as process:
        with talking(device, 300):
            for _ in range(3):
                before = store.journal.readings("p").get("d", 0)
                wait_until(lambda: store.journal.readings("p").get("d", 0) > before, "it collects")  # noqa: B023
                postgres_server.stop()
                postgres_server.start()
        check_nothing_lost_or_doubled(known, store, device)
        assert process.poll() is None, "it went on in the same process"
    assert wrong(store) <= {"duplicate"}  # what was written and not yet acknowledged comes again
    store.close()

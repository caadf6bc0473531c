"""A device whose broker is away, for an hour or for weeks: it predicts, and loses nothing."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from iot_stream import topics
from iot_stream.clock import wall
from iot_stream.config import load
from iot_stream.device.client import DeviceClient
from iot_stream.device.inputs.kinds import Stdin
from iot_stream.device.settings import DeviceSettings
from iot_stream.device.spool import records
from iot_stream.ingest.collector import Collector
from iot_stream.mqtt import Connection, Message
from iot_stream.release.keys import Keys
from iot_stream.service.broker import Broker, find_mosquitto, start
from iot_stream.store import Store
from tests.device import tiny
from tests.device.site import EASY_GOING, Feeder, Site, runs
from tests.waiting import wait_until

CONFIG = """\
broker: {url}
store: sqlite:{folder}
prefix: {prefix}
pipelines:
  p:
    window: {{length: 4, hop: 2}}
    task: {{classify: [low, high]}}
    sources: [{{channels: {{x: x, y: y}}}}]
"""
YEAR = 365 * 24 * 3600 * 10**9


@contextmanager
def away(broker: Broker) -> Iterator[None]:
    """The broker is not there, and then there again, with what it had."""
    with broker._lock:
        broker._end()
        yield
        broker._launch()


@contextmanager
def collecting(broker: Broker, prefix: str, folder: Path) -> Iterator[Store]:
    path = folder / "config.yml"
    path.write_text(CONFIG.format(url=broker.url, folder=folder / "store", prefix=prefix))
    config, stopping = load(path), threading.Event()
    store, seen = Store(config.store_folder), Store(config.store_folder)
    thread = threading.Thread(target=Collector(config, store).run, args=(stopping,), name="collector")
    thread.start()
    heard: list[Message] = []
    listener = Connection(config.address, f"{prefix}-presence", heard.append)
    listener.subscribe(topics.SERVICE.of(prefix=prefix, part="collector"))
    listener.start()
    try:
        wait_until(lambda: heard != [], "the collector listens")
        listener.stop()
        yield seen
    finally:
        stopping.set()
        thread.join(30)
        seen.close()
        store.close()


def spooled(state: Path) -> list[tuple[str, bytes]]:
    """(topic, payload) of what is on disk, in order."""
    files = sorted((state / "outbox").glob("*.log"), key=lambda path: int(path.stem))
    parts = [record.partition(b"\0") for path in files for record in records(path)]
    return [(topic.decode(), payload) for topic, _, payload in parts]


def spooled_readings(state: Path) -> int:
    return sum(topics.TELEMETRY.levels(topic) is not None for topic, _ in spooled(state))


def kept_up_to(state: Path, number: int) -> bool:
    """The reading of that number is on disk, and what the model made of the window that it ends."""
    *_, (before, reading), (last, _) = [("", b""), ("", b""), *spooled(state)]
    if topics.TELEMETRY.levels(before) is None or topics.PREDICTION.levels(last) is None:
        return False
    return bool(topics.decode(topics.Telemetry, reading).channels["x"] == [number])


class Process:
    """`iot-device run`, fed with readings that are numbered by x."""

    def __init__(self, config: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "iot_stream.device", "run", "--config", str(config)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def feed(self, numbers: range) -> None:
        assert self._process.stdin is not None
        for number in numbers:
            self._process.stdin.write(b'{"x": %d, "y": 0.5}\n' % number)
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        assert self._process.stdin is not None
        self._process.stdin.close()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0


def stored(store: Store) -> Counter[int]:
    """How often each number is in the journal."""
    blocks = [entry.block for entry in store.journal.after("p", 0, 10**6)]
    return Counter(int(x) for block in blocks for x in block.values[:, block.channels.index("x")])


@pytest.mark.slow
@pytest.mark.skipif(find_mosquitto() is None, reason="only mosquitto remembers over a restart")
def test_killed_twice_while_the_broker_is_away_every_reading_arrives_once(
    keys: Keys, prefix: str, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with start(tmp_path / "broker") as broker, collecting(broker, prefix, tmp_path) as store:
        site = Site(broker, prefix, keys, tmp_path)
        config = tmp_path / "device.json"
        settings = msgspec.structs.replace(site.settings(), channels=tiny.CHANNELS, health=EASY_GOING)
        config.write_text(settings.dump())
        site.publisher.release(1)
        first = Process(config)
        wait_until(lambda: any(r.version == 1 for r in site.listener.reports("applied")), "a model")
        first.feed(range(20))
        wait_until(lambda: len(stored(store)) == 20, "what is read while all is well")
        with away(broker):
            first.feed(range(20, 50))
            wait_until(lambda: kept_up_to(state, 49), "30 readings on disk")
            first.kill()
            second = Process(config)
            second.feed(range(50, 60))
            wait_until(lambda: kept_up_to(state, 59), "40 readings on disk")
            second.kill()
            third = Process(config)
            third.feed(range(60, 70))
            wait_until(lambda: kept_up_to(state, 69), "50 readings on disk")
        third.feed(range(70, 80))
        wait_until(lambda: len(stored(store)) == 80, "everything", 60)
        wait_until(lambda: spooled(state) == [], "nothing is left on disk")
        third.end()
        site.close()
        assert stored(store) == Counter(range(80))
        # Windows of four, every two readings, anew in each process.
        windows = (50 - 2) // 2 + (10 - 2) // 2 + (20 - 2) // 2
        wait_until(lambda: len(store.journal.predictions("p")) == windows, "each window's prediction, once")


def test_a_device_with_a_model_predicts_and_keeps_for_weeks_without_any_broker(
    keys: Keys, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(tmp_path / "broker") as broker:
        site = Site(broker, prefix, keys, tmp_path)
        site.publisher.release(1)
        runs(site.device(), 1)
        site.close()
        url = broker.url
    settings = tiny.device_settings(url, prefix, keys, tmp_path / "state")
    for name in ("client", "following"):  # what it trusts has long expired
        monkeypatch.setattr(f"iot_stream.device.{name}.wall", lambda: wall() + YEAR)
    client = DeviceClient(msgspec.structs.replace(settings, health=EASY_GOING), tiny.CHANNELS)
    client.start()
    assert client.version == 1
    feeder = Feeder(client)
    for _ in range(10):
        feeder.feed(2)
    client.stop()
    kept = spooled(tmp_path / "state")
    assert spooled_readings(tmp_path / "state") == 10
    said = [topics.decode(topics.Prediction, p) for topic, p in kept if topics.PREDICTION.levels(topic)]
    assert {each.time for each in said} == set(feeder.windows())
    assert {each.version for each in said} == {1}


def test_readings_that_go_up_late_make_the_same_windows(keys: Keys, prefix: str, tmp_path: Path) -> None:
    with start(tmp_path / "broker") as broker, collecting(broker, prefix, tmp_path) as store:
        settings = tiny.device_settings(broker.url, prefix, keys, tmp_path / "state")
        client = DeviceClient(settings, tiny.CHANNELS)
        client.start()
        times = wall() - 3600 * 10**9 + np.arange(40) * 10**9  # of an hour ago
        values = np.arange(80, dtype=np.float32).reshape(40, 2)
        client.feed(times[:10], values[:10])
        with away(broker):
            wait_until(lambda: not client.connection.connected, "the device sees that it is gone")
            for i in range(10, 40, 5):
                client.feed(times[i : i + 5], values[i : i + 5])
        cut = next(iter(load(tmp_path / "config.yml").pipelines["p"].cuts))
        wait_until(
            lambda: len(store.journal.windows("p", cut.id, (4, 2))) == (40 - 2) // 2, "all windows", 60
        )
        client.stop()


def test_how_much_is_kept_is_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    settings = DeviceSettings(pipeline="p", device="d", root="{}", input=Stdin())
    path.write_text(settings.dump().replace('"64000000 B"', '"2 MB"'))
    assert DeviceSettings.load(path).outbox == 2_000_000

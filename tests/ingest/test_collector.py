"""The collector on a real broker: what it acknowledges it keeps, whatever happens to it or its store."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from iot_stream import topics
from iot_stream.config import Address, Config, load
from iot_stream.config import Broker as BrokerSettings
from iot_stream.errors import StoreError
from iot_stream.formats.telemetry import encode
from iot_stream.ingest import collector as collector_module
from iot_stream.ingest import intake as intake_module
from iot_stream.ingest.collector import Collector
from iot_stream.ingest.wire import WireReceiver
from iot_stream.mqtt import Connection
from iot_stream.readings import Label
from iot_stream.service.broker import Broker, find_mosquitto
from iot_stream.store import Store, Transaction
from iot_stream.windows import Windower
from tests.streams import START
from tests.waiting import wait_until

MS = 1_000_000
CONFIG = """\
broker: {url}
store: sqlite:{folder}
store_limit: {limit}
prefix: {prefix}
pipelines:
  p:
    window: {{length: 4, hop: 2, lateness: 100 ms, gap: 1 s}}
    task: {{classify: [a, b]}}
    sources: [{{channels: {{x: x, y: y}}}}]
    retention: {retention}
    clock: {clock}
"""


@pytest.fixture
def config(broker: Broker, prefix: str, tmp_path: Path) -> Path:
    return write_config(broker, prefix, tmp_path)


def write_config(
    broker: Broker,
    prefix: str,
    folder: Path,
    retention: str = "30 days",
    clock: str = "wall",
    limit: str = "20 GB",
) -> Path:
    path = folder / "config.yml"
    path.write_text(
        CONFIG.format(
            url=broker.url,
            folder=folder / "store",
            prefix=prefix,
            retention=retention,
            clock=clock,
            limit=limit,
        )
    )
    return path


@contextmanager
def collecting(
    path: Path, prepare: Callable[[Store], None] = lambda _: None
) -> Iterator[tuple[Config, Store]]:
    """A collector in a thread; what it does is seen through a second connection to its store."""
    config = load(path)
    store, stopping, failed = Store(config.store_folder), threading.Event(), []
    prepare(store)

    def run() -> None:
        try:
            Collector(config, store).run(stopping)
        except Exception as error:  # noqa: BLE001  shown by the assertion below
            failed.append(error)

    thread = threading.Thread(target=run, name="collector")
    thread.start()
    seen = Store(config.store_folder)
    try:
        wait_until(lambda: bool(failed) or presence(config) is True, "the collector is online")
        yield config, seen
    finally:
        stopping.set()
        thread.join(30)
        seen.close()
        store.close()
    assert not failed


def presence(config: Config, part: str = "collector") -> bool | None:
    """Whether the collector is online, by its retained presence."""
    found = service(config, part)
    return found.online if found else None


def service(config: Config, part: str = "collector") -> topics.Service | None:
    """What the collector's retained presence says."""
    said: list[bytes] = []
    watcher = Connection(
        config.address, f"{config.prefix}-watch", lambda message: said.append(message.payload)
    )
    watcher.subscribe(topics.SERVICE.of(prefix=config.prefix, part=part))
    echo = f"{config.prefix}/echo"
    watcher.subscribe(echo)
    watcher.start()
    watcher.publish(echo, b"")
    wait_until(lambda: b"" in said, "the echo")
    watcher.stop()
    found = [topics.decode(topics.Service, payload) for payload in said if payload]
    return found[0] if found else None


def fault(config: Config) -> str:
    """Why the collector holds its work back, by its presence; empty while it does not."""
    found = service(config)
    return found.fault if found else "not online"


class Publisher:
    """A device that numbers its readings and knows which of them the broker acknowledged."""

    def __init__(self, address: Address, prefix: str, device: str) -> None:
        self.connection = Connection(address, f"{prefix}-{device}", lambda _: None)
        self.connection.start()
        self._levels = {"prefix": prefix, "pipeline": "p", "device": device}
        self._seq = 0
        self._rng = np.random.default_rng(3)
        self.times: list[np.ndarray] = []
        self.values: list[np.ndarray] = []

    def telemetry(self, count: int = 5) -> None:
        times = START + (self._seq + np.arange(count)) * 10 * MS
        values = self._rng.normal(size=(count, 2)).astype(np.float32)
        self.times.append(times)
        self.values.append(values)
        payload = encode(("x", "y"), times, values, "boot", self._seq)
        self.connection.publish_and_wait(topics.TELEMETRY.of(**self._levels), payload)
        self._seq += count

    def say(self, topic: topics.Topic, payload: bytes) -> None:
        self.connection.publish_and_wait(topic.of(**self._levels), payload)

    @property
    def sent(self) -> int:
        return self._seq

    def windows(self, config: Config) -> dict[int, bytes]:
        """What a windower makes of all that was sent."""
        pipeline = config.pipelines["p"]
        found = Windower(pipeline.cut(pipeline.student)).push(
            np.concatenate(self.times), np.concatenate(self.values)
        )
        return {int(start): x.tobytes() for start, x in zip(found.starts, found.x, strict=True)}


@contextmanager
def publisher(config: Config | Path, device: str = "d") -> Iterator[Publisher]:
    known = load(config) if isinstance(config, Path) else config
    opened = Publisher(known.address, known.prefix, device)
    yield opened
    opened.connection.stop()


def stored_windows(config: Config, store: Store) -> dict[int, bytes]:
    cut = config.pipelines["p"].cut(config.pipelines["p"].student)
    found = store.journal.windows("p", cut.id, (cut.length, 2))
    assert len(set(found.starts.tolist())) == len(found), "a window is there twice"
    return {int(start): x.tobytes() for start, x in zip(found.starts, found.x, strict=True)}


def check_nothing_lost_or_doubled(config: Config, store: Store, device: Publisher) -> None:
    wait_until(lambda: store.journal.readings("p").get("d", 0) >= device.sent, "all readings are stored")
    assert store.journal.readings("p") == {"d": device.sent}
    expected = device.windows(config)
    wait_until(lambda: len(stored_windows(config, store)) >= len(expected), "all windows are cut")
    assert stored_windows(config, store) == expected


def test_readings_labels_and_predictions_are_stored(config: Path) -> None:
    with collecting(config) as (known, store), publisher(known) as device:
        for _ in range(20):
            device.telemetry()
        device.say(topics.LABEL, topics.encode(topics.LabelMessage(START, "b", START + 5)))
        device.say(topics.PREDICTION, topics.encode(topics.Prediction(START, "a", 0.5, 1)))
        device.say(topics.TELEMETRY, b"not telemetry")
        check_nothing_lost_or_doubled(known, store, device)
        wait_until(lambda: ("d", "malformed", 1) in store.faults.counters("p"), "the bad message is counted")
        assert store.journal.labels("p") == [Label("d", START, START + 5, 1)]
        assert [p.time for p in store.journal.predictions("p")] == [START]
        assert store.one("SELECT payload FROM quarantine") == b"not telemetry"


def test_it_says_on_which_topic_nothing_comes(
    config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(intake_module, "SILENT_S", 0.0)
    with collecting(config) as (known, _):
        told = f"p: nothing has come on {known.prefix}/p/device/+/telemetry in 0 s; is the topic right?"
        wait_until(lambda: told in caplog.text, "a word of it")


def test_what_comes_while_it_is_away_is_taken_up_later(broker: Broker, config: Path) -> None:
    if not broker.durable:
        pytest.skip("the embedded broker's sessions are not what is tested here")
    with collecting(config) as (known, store):
        pass
    assert presence(known) is False
    with publisher(known) as device:
        for _ in range(30):
            device.telemetry()
        with collecting(config) as (known, store):
            check_nothing_lost_or_doubled(known, store, device)


def break_store(monkeypatch: pytest.MonkeyPatch, when: Callable[[str], bool]) -> threading.Event:
    """From now on each transaction that `when` names fails at its commit, as on a full disk; until set."""
    mended, write = threading.Event(), Store.write

    @contextmanager
    def failing(self: Store) -> Iterator[Transaction]:
        caller = sys._getframe(2).f_code.co_name
        with write(self) as tx:
            yield tx
            if not mended.is_set() and when(caller):
                raise StoreError("store: database or disk is full")

    monkeypatch.setattr(Store, "write", failing)
    monkeypatch.setattr(collector_module, "RETRY_S", 0.05)
    return mended


def test_a_store_that_fails_is_not_acknowledged_and_tried_again(
    config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    acknowledged: list[bytes] = []
    acknowledge = WireReceiver.acknowledge
    monkeypatch.setattr(
        WireReceiver,
        "acknowledge",
        lambda self, batch: (acknowledged.extend(m.mid for m in batch if m.mid), acknowledge(self, batch)),
    )
    with collecting(config) as (known, store), publisher(known) as device:
        mended = break_store(monkeypatch, lambda caller: caller == "_collect")
        for _ in range(5):
            device.telemetry()
        wait_until(lambda: "not acknowledging" in fault(known), "it says so on the broker")
        assert acknowledged == []
        assert store.journal.readings("p") == {}
        mended.set()
        check_nothing_lost_or_doubled(known, store, device)
        wait_until(lambda: len(acknowledged) == 5, "all are acknowledged")
        wait_until(lambda: fault(known) == "", "it says that this is over")
    assert caplog.text.count("not acknowledging") == 1  # not once for every attempt
    assert "going on" in caplog.text


def test_on_a_full_disk_nothing_is_lost(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own "database or disk is full", by a bound on its pages."""
    monkeypatch.setattr(collector_module, "RETRY_S", 0.05)
    collectors: list[Store] = []
    with collecting(config, collectors.append) as (known, store), publisher(known) as device:
        device.telemetry()
        check_nothing_lost_or_doubled(known, store, device)
        collectors[0].read(f"PRAGMA max_page_count = {store.one('PRAGMA page_count') + 8}")
        full = False
        while not full:
            for _ in range(10):
                device.telemetry(100)
            full = "disk is full" in fault(known)
        stored = store.journal.readings("p")["d"]
        for _ in range(10):
            device.telemetry()
        assert store.journal.readings("p")["d"] == stored < device.sent
        collectors[0].read("PRAGMA max_page_count = 1000000")
        check_nothing_lost_or_doubled(known, store, device)
        wait_until(lambda: fault(known) == "", "it says that there is room again")


def test_windows_that_could_not_be_written_are_cut_again(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "SAVE_S", 0.01)
    with collecting(config) as (known, store), publisher(known) as device:
        device.telemetry()
        check_nothing_lost_or_doubled(known, store, device)
        mended = break_store(monkeypatch, lambda caller: caller in ("cut", "_save"))
        for _ in range(5):
            device.telemetry()
        wait_until(lambda: "windows have to wait" in fault(known), "it says so on the broker")
        assert len(stored_windows(known, store)) == 1
        mended.set()
        check_nothing_lost_or_doubled(known, store, device)


def test_after_a_broken_connection_it_says_online_again(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting(config) as (known, store), publisher(known) as device:
        thief = Connection(
            known.address, f"{known.prefix}-collector", lambda _: None, durable=True, manual_ack=True
        )
        thief.start()  # takes its client id, so that its connection ends and its Last Will is left
        thief.stop()
        wait_until(lambda: presence(known) is True, "the collector is online again")
        device.telemetry()
        check_nothing_lost_or_doubled(known, store, device)


def test_what_is_older_than_retention_goes(
    broker: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "RETAIN_S", 0.05)
    path = write_config(broker, prefix, tmp_path, retention="1 s", clock="stream")
    with collecting(path) as (known, store), publisher(known) as device:
        for i in range(1, 101):  # five seconds of stream time
            device.telemetry()
            newest = START + (device.sent - 1) * 10 * MS
            if i % 10 == 0:  # so that they lie in ten segments at least
                wait_until(lambda newest=newest: store.journal.now("p") == newest, "all have come")
        wait_until(
            lambda: store.journal.after("p", 0, 1)[0].arrived >= newest - 1000 * MS, "the old have gone"
        )
        assert 100 <= store.journal.readings("p")["d"] <= 160


def test_of_a_store_that_is_full_the_oldest_go(
    broker: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_module, "RETAIN_S", 0.05)
    monkeypatch.setattr(collector_module, "SAVE_S", 0.05)
    monkeypatch.setattr(collector_module, "PIECE", 1)
    path = write_config(broker, prefix, tmp_path, clock="stream", limit="450 KB")
    with collecting(path) as (known, store), publisher(known) as device:
        empty = store.used()
        for i in range(1, 601):
            device.telemetry(20)
            newest = START + (device.sent - 1) * 10 * MS
            if i % 20 == 0:
                wait_until(lambda newest=newest: store.journal.now("p") == newest, "all have come")
        wait_until(lambda: store.used() <= 450_000, "the store is within its limit")
        assert empty < 300_000
        assert 0 < store.journal.readings("p")["d"] < device.sent
        assert store.journal.after("p", 0, 1000)[-1].block.times[-1] == newest
        wait_until(
            lambda: max(last for *_, last in store.journal.window_stats("p")) >= newest - 40 * MS,
            "the last window is cut and stays",
        )


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
@pytest.mark.skipif(find_mosquitto() is None, reason="an embedded broker keeps no session")
def test_killed_in_mid_load_it_loses_nothing_acknowledged_and_doubles_no_window(
    config: Path, kills: int
) -> None:
    rng = random.Random(11)
    known = load(config)
    with publisher(known) as device, seen(known) as store:

        def stored() -> int:
            return store.journal.readings("p").get("d", 0)

        process = start_process(config)
        wait_until(lambda: presence(known) is True, "the collector is online")
        for _ in range(kills):
            before = stored()
            if rng.random() < 0.8:  # else it dies while it starts
                device.telemetry()
                wait_until(lambda: stored() > before, "it collects")  # noqa: B023  called at once
            for _ in range(rng.randint(20, 120)):
                device.telemetry(rng.randint(1, 6))
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
            device.telemetry()  # while nobody collects
            process = start_process(config)
        try:
            check_nothing_lost_or_doubled(known, store, device)
        finally:
            process.terminate()
            assert process.wait(30) == 0
        reopened = Store(known.store_folder)
        assert "lost" not in {reason for _, reason, _ in reopened.faults.counters("p")}
        reopened.close()


@contextmanager
def seen(config: Config) -> Iterator[Store]:
    store = Store(config.store_folder)
    yield store
    store.close()


def start_process(config: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parent.parent.parent
    return subprocess.Popen([sys.executable, "-m", "tests.ingest.collecting", str(config)], cwd=root)


def test_the_address_is_the_configurations(broker: Broker, config: Path) -> None:
    assert load(config).address == BrokerSettings(url=broker.url).address()


@pytest.mark.skipif(find_mosquitto() is None, reason="an embedded broker keeps no session")
@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(5_000, marks=pytest.mark.slow),
        pytest.param(100_000, marks=pytest.mark.long),
    ],
)
def test_what_came_while_it_was_down_is_there_once(config: Path, messages: int) -> None:
    with collecting(config) as (known, _):
        pass  # from now on the broker knows its session
    device = Connection(known.address, f"{known.prefix}-d", lambda _: None)
    device.start()
    topic = topics.TELEMETRY.of(prefix=known.prefix, pipeline="p", device="d")
    values = np.zeros((1, 2), np.float32)
    for begin in range(0, messages, 10_000):  # what is queued here is bounded
        sent = [
            device.publish(topic, encode(("x", "y"), np.array([START + i * 10 * MS]), values, "boot", i))
            for i in range(begin, min(begin + 10_000, messages))
        ]
        for each in sent:
            each.wait_for_publish(60)
    device.stop()
    with collecting(config) as (_, store):
        wait_until(lambda: store.journal.readings("p").get("d") == messages, "all have come", 300)
        assert store.faults.counters("p") == []
        numbers = [seq for *_, seq, _ in store.journal.numbers("p")]
    assert sorted(numbers) == list(range(messages))

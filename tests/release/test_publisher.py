"""The publisher on a real broker: what the registry has released is what the broker retains."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iot_stream import topics
from iot_stream.address import Broker as BrokerSettings
from iot_stream.artifact import encodings, trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import wall
from iot_stream.config import Config, Pipeline, Task, Window
from iot_stream.errors import BrokerError
from iot_stream.mqtt import Connection
from iot_stream.presence import Presence
from iot_stream.release import succession
from iot_stream.release.keys import Keys
from iot_stream.release.publisher import Publisher
from iot_stream.release.shelf import ROOM
from iot_stream.release.sign import Repository, Target
from iot_stream.service import broker as brokers
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.store.registry import Version
from tests.waiting import wait_until

GRAPH, SPEC = b"graph" * 100, b"spec" * 100


class Listener:
    """All that is retained under a prefix, as it changes."""

    def __init__(self, url: str, prefix: str) -> None:
        self.retained: dict[str, bytes] = {}
        self.connection = Connection(
            BrokerSettings(url=url).address(),
            f"{prefix}-listener",
            lambda message: self.retained.update({message.topic: message.payload}),
        )
        self.connection.subscribe(f"{prefix}/#")
        self.connection.start()

    def bundle(self, prefix: str) -> bytes:
        return self.retained.get(bundle_topic(prefix), b"")


def bundle_topic(prefix: str) -> str:
    return topics.BUNDLE.of(prefix=prefix, pipeline="p", cohort="all", slot="stable")


def config(url: str, prefix: str, folder: Path) -> Config:
    pipeline = Pipeline(window=Window(length=1), task=Task(classify=("a", "b")))
    return Config(broker=url, store=f"sqlite:{folder}", prefix=prefix, pipelines={"p": pipeline})


def make_version(
    store: Store, number: int, seed: int | None = None, size: int = 3, **provenance: Any
) -> Version:
    """Its artifacts are in the store, and it is not."""
    weights = np.random.default_rng(seed or number).normal(size=(size, size)).astype(np.float32)
    content = encodings.encode("int8", {"w": weights})
    put = store.registry.put_artifact
    with store.write() as tx:
        return Version(
            "p", "all", number, f"r{number}", wall(), put(tx, GRAPH), put(tx, SPEC), put(tx, content), "int8",
            put(tx, content), provenance,
        )  # fmt: skip


def add_version(store: Store, number: int, seed: int | None = None, size: int = 3, **provenance: Any) -> None:
    version = make_version(store, number, seed, size, **provenance)
    with store.write() as tx:
        store.registry.add_version(tx, version)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    Keys.create(tmp_path / "keys", 1, 1)
    yield opened
    opened.close()


@contextmanager
def publishing(settings: Config, store: Store, folder: Path) -> Iterator[None]:
    stopping = threading.Event()
    with ThreadPoolExecutor(1, "publisher") as pool:
        running = pool.submit(Publisher(settings, store, folder / "keys").run, stopping)
        try:
            yield
        finally:
            stopping.set()
        running.result(20)  # what it raised fails the test


@contextmanager
def listening(url: str, prefix: str) -> Iterator[Listener]:
    listener = Listener(url, prefix)
    try:
        yield listener
    finally:
        listener.connection.stop()


def released(listener: Listener, prefix: str) -> int:
    """The version that the retained bundle names; 0 for none."""
    payload = listener.bundle(prefix)
    if not payload:
        return 0
    targets = trust.parse(trust.unpack_bundle(payload)["targets.json"]).signed.targets
    return int(targets["weights.int8"].custom["version"])


def test_each_version_is_one_retained_message_and_its_blobs_stay(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        for number in range(1, 6):
            add_version(store, number)
            wait_until(lambda n=number: released(listener, prefix) == n, f"version {number}")
        blobs = [topic for topic, content in listener.retained.items() if "/blob/" in topic and content]
        assert len(blobs) == 2  # graph and spec; the weights are in the bundle
        assert len(listener.bundle(prefix)) < 2500


def test_what_the_broker_lost_or_somebody_changed_is_mended_at_the_next_start(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    add_version(store, 1)
    with listening(broker.url, prefix) as listener:
        with publishing(settings, store, tmp_path):
            wait_until(lambda: released(listener, prefix) == 1, "version 1")
        good = dict(listener.retained)
        topic = bundle_topic(prefix)
        blob = next(name for name in good if "/blob/" in name)
        listener.connection.publish_and_wait(topic, b"junk", retain=True)
        listener.connection.publish_and_wait(blob, b"", retain=True)
        wait_until(
            lambda: (listener.retained[topic], listener.retained[blob]) == (b"junk", b""), "the damage"
        )
        with publishing(settings, store, tmp_path):
            wait_until(lambda: listener.retained[topic] == good[topic], "the bundle as it was")
            wait_until(lambda: listener.retained[blob] == good[blob], "the blob as it was")


@pytest.mark.parametrize("kind", ["embedded"])
def test_a_broker_that_forgot_everything_is_told_again(
    kind: brokers.Kind, prefix: str, store: Store, tmp_path: Path
) -> None:
    add_version(store, 1)
    with brokers.start(tmp_path / "broker", kind=kind) as broker:
        settings = config(broker.url, prefix, tmp_path)
        with publishing(settings, store, tmp_path):
            with listening(broker.url, prefix) as before:
                wait_until(lambda: released(before, prefix) == 1, "version 1")
            broker.restart()
            with listening(broker.url, prefix) as after:
                wait_until(lambda: released(after, prefix) == 1, "version 1 again", 40)


def test_a_registry_from_a_backup_goes_on_above_what_the_broker_has(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    keys = Keys.load(tmp_path / "keys")
    newer = Repository(keys, Scope("p", "all"))
    for _ in range(5):  # signed five times by the registry that was lost
        content = encodings.encode("int8", {"w": np.ones((2, 3), np.float32)})
        targets = {"graph.onnx": Target(GRAPH), "spec.json": Target(SPEC), "weights.int8": Target(content)}
        entries = newer.release(newer.version + 1, targets, wall())
    settings = config(broker.url, prefix, tmp_path)
    with listening(broker.url, prefix) as listener:
        listener.connection.publish_and_wait(bundle_topic(prefix), trust.pack_bundle(entries), retain=True)
        add_version(store, 6)
        with publishing(settings, store, tmp_path):
            wait_until(lambda: released(listener, prefix) == 6, "version 6")
            signed = trust.parse(trust.unpack_bundle(listener.bundle(prefix))["timestamp.json"]).signed
            assert signed.version > newer.signings


def test_a_second_publisher_refuses(broker: Broker, prefix: str, store: Store, tmp_path: Path) -> None:
    settings = config(broker.url, prefix, tmp_path)
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        topic = topics.SERVICE.of(prefix=prefix, part="publisher")
        wait_until(lambda: topic in listener.retained, "the first publisher online")
        with pytest.raises(BrokerError, match="a publisher is at work on prefix"):
            Publisher(settings, store, tmp_path / "keys").run(threading.Event())


def test_one_that_died_with_the_broker_does_not_hinder_the_next(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    """Its Last Will was never sent, and what is retained says for ever that it is there."""
    topic = topics.SERVICE.of(prefix=prefix, part="publisher")
    dead = topics.encode(topics.Service(True, "dead", "here", wall()))
    with listening(broker.url, prefix) as listener:
        listener.connection.publish_and_wait(topic, dead, retain=True)
        assert Presence(prefix, "publisher").other(listener.connection.address) is None
        wait_until(lambda: not topics.decode(topics.Service, listener.retained[topic]).online, "said of it")
        listener.connection.publish_and_wait(topic, dead, retain=True)
        with publishing(config(broker.url, prefix, tmp_path), store, tmp_path):
            wait_until(lambda: listener.retained[topic] != dead, "the next one is at work", 30)
            # The Last Will of one whose connection hung comes late: who is at work says so again.
            late = topics.encode(topics.Service(False, "dead", "here", wall()))
            listener.connection.publish_and_wait(topic, late, retain=True)
            wait_until(lambda: topics.decode(topics.Service, listener.retained[topic]).online, "still there")


def test_what_devices_say_is_written_down(broker: Broker, prefix: str, store: Store, tmp_path: Path) -> None:
    settings = config(broker.url, prefix, tmp_path)
    levels = {"prefix": prefix, "pipeline": "p", "device": "d"}
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        wait_until(lambda: topics.SERVICE.of(prefix=prefix, part="publisher") in listener.retained, "online")
        listener.connection.publish(
            topics.STATUS.of(**levels), topics.encode(topics.Status(True, 3)), retain=True
        )
        listener.connection.publish(topics.REPORT.of(**levels), topics.encode(topics.Report("applied", 5, 3)))
        listener.connection.publish(topics.REPORT.of(**levels), b"{")
        wait_until(lambda: [d.version for d in store.registry.devices("p")] == [3], "the device")
        wait_until(lambda: [e[2] for e in store.registry.events("p")] == ["applied"], "the event")
        wait_until(lambda: topics.COHORT.of(**levels) in listener.retained, "its cohort, told to it")


def test_devices_are_told_their_cohort_and_told_again_when_it_changes(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)

    def told(device: str) -> str:
        topic = topics.COHORT.of(prefix=prefix, pipeline="p", device=device)
        payload = listener.retained.get(topic, b"")
        return topics.decode(topics.Cohort, payload).cohort if payload else ""

    def assign(**cohorts: str) -> None:
        with store.write() as tx:
            store.cohorts.assign(tx, "p", cohorts, "by line")

    assign(a="north", b="north")
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        wait_until(lambda: told("a") == told("b") == "north", "both are told")
        assign(b="south")
        wait_until(lambda: told("b") == "south", "the change")
        levels = {"prefix": prefix, "pipeline": "p", "device": "b"}
        listener.connection.publish(topics.STATUS.of(**levels), topics.encode(topics.Status(True, 3)))
        wait_until(lambda: bool(store.registry.devices("p")), "a device that has been away")
        assert (told("a"), told("b")) == ("north", "south")


def test_a_device_is_pinned_and_a_broker_that_forgot_is_told_again(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    topic = topics.COHORT.of(prefix=prefix, pipeline="p", device="d")

    def ask(device: str, *, pinned: bool) -> tuple[str, str]:
        arguments = {"device": device, "pinned": pinned, "person": "ann", "why": "it is certified"}
        command = store.registry.command("test", "pin", "p", **arguments)
        wait_until(lambda: store.registry.outcome(command)[0] != "open", "an answer")
        return store.registry.outcome(command)

    def told() -> topics.Cohort | None:
        payload = listener.retained.get(topic)
        return topics.decode(topics.Cohort, payload) if payload else None

    with listening(broker.url, prefix) as listener:
        with publishing(settings, store, tmp_path):
            say(listener, prefix, "d", topics.Status(True, 3))
            wait_until(lambda: told() == topics.Cohort("all"), "its cohort, told to it")
            assert ask("e", pinned=True) == ("failed", "no device e of p has connected yet")
            assert ask("d", pinned=False) == ("failed", "d is not pinned")
            assert ask("d", pinned=True) == ("done", "d stays at version 3")
            assert ask("d", pinned=True) == ("failed", "d is pinned already")
            wait_until(lambda: told() == topics.Cohort("all", pinned=True), "it is told")
            say(listener, prefix, "d", topics.Status(True, 3))  # which makes it no less pinned
        listener.connection.publish_and_wait(topic, b"", retain=True)
        with publishing(settings, store, tmp_path):
            wait_until(lambda: told() == topics.Cohort("all", pinned=True), "it is told again")
            assert ask("d", pinned=False) == ("done", "d follows the releases of its cohort again")
            wait_until(lambda: told() == topics.Cohort("all"), "it is told")
    decided = [(each.version, each.who, each.what, each.why) for each in store.rollouts.decisions("p")]
    assert decided == [
        (3, "ann", "d pinned", "it is certified"),
        (3, "ann", "d unpinned", "it is certified"),
    ]


def test_a_device_that_is_pinned_stays_so_when_the_registry_has_lost_it(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    topic = topics.COHORT.of(prefix=prefix, pipeline="p", device="d")
    with listening(broker.url, prefix) as listener:
        say(listener, prefix, "d", topics.Status(True, 12, pinned=True))
        with publishing(config(broker.url, prefix, tmp_path), store, tmp_path):
            wait_until(lambda: topic in listener.retained, "its cohort, told to it")
            assert topics.decode(topics.Cohort, listener.retained[topic]).pinned
            with store.write() as tx:  # and a person who decides is believed
                store.registry.pin(tx, "p", "d", pinned=False)
            say(listener, prefix, "d", topics.Status(True, 12, pinned=True))
            wait_until(
                lambda: not topics.decode(topics.Cohort, listener.retained[topic]).pinned, "it is told again"
            )
    decided = [(each.version, each.what, each.why) for each in store.rollouts.decisions("p")]
    assert decided == [(12, "d pinned", "it says so itself, and nothing here says otherwise")]


def test_a_release_leaves_the_blobs_of_other_cohorts(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    own = b"a graph of its own, " + GRAPH
    put = store.registry.put_artifact
    with store.write() as tx:
        weights = encodings.encode("int8", {"w": np.ones((2, 3), np.float32)})
        kept = put(tx, own)
        version = Version(
            "p", "north", 1, "r1", wall(), kept, put(tx, SPEC), put(tx, weights), "int8", put(tx, weights), {}
        )
        store.registry.add_version(tx, version)
    add_version(store, 1)
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        for number in (2, 3, 4):
            wait_until(lambda number=number: released(listener, prefix) == number - 1, "the one before")
            add_version(store, number)
        wait_until(lambda: released(listener, prefix) == 4, "the last")
        assert listener.retained[topics.BLOB.of(prefix=prefix, pipeline="p", sha256=kept, n="0")] == own


def retained_blobs(listener: Listener) -> list[str]:
    return [topic for topic, content in listener.retained.items() if "/blob/" in topic and content]


def say(listener: Listener, prefix: str, device: str, status: topics.Status) -> None:
    topic = topics.STATUS.of(prefix=prefix, pipeline="p", device=device)
    listener.connection.publish_and_wait(topic, topics.encode(status), retain=True)


@pytest.mark.slow
def test_a_hundred_releases_leave_nothing_behind(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        # A device that takes little: weights come apart, in pieces, with every release.
        say(listener, prefix, "small", topics.Status(True, max_packet=2500))
        for number in range(1, 101):
            add_version(store, number, size=60)
            wait_until(lambda n=number: released(listener, prefix) == n, f"version {number}")
    with listening(broker.url, prefix) as late:
        wait_until(lambda: released(late, prefix) == 100, "what is retained")
        pieces = -(-60 * 60 // (2500 - ROOM)) + 1
        assert 2 + pieces <= len(retained_blobs(late)) <= 2 + 2 * (pieces + 1)


def test_what_does_not_fit_the_smallest_device_goes_in_pieces(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    add_version(store, 1, size=100)  # 10 kB of weights
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        wait_until(lambda: released(listener, prefix) == 1, "version 1")
        assert len(retained_blobs(listener)) == 2
        before = listener.bundle(prefix)
        say(listener, prefix, "small", topics.Status(True, max_packet=3000))
        wait_until(lambda: listener.bundle(prefix) not in (b"", before), "the release, signed again")
        assert released(listener, prefix) == 1
        assert len(listener.bundle(prefix)) < 3000
        wait_until(lambda: len(retained_blobs(listener)) > 4, "its pieces")
        assert all(len(listener.retained[topic]) < 3000 for topic in retained_blobs(listener))


def test_what_is_mended_is_cut_as_it_was_signed(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    """The smallest device has left meanwhile: pieces of another size would not be what the metadata names."""
    settings = config(broker.url, prefix, tmp_path)
    add_version(store, 1, size=100)
    with listening(broker.url, prefix) as listener:
        say(listener, prefix, "small", topics.Status(True, max_packet=3000))
        with publishing(settings, store, tmp_path):
            wait_until(lambda: released(listener, prefix) == 1, "version 1")
        good = {topic: listener.retained[topic] for topic in retained_blobs(listener)}
        assert len(good) > 4
        status = topics.STATUS.of(prefix=prefix, pipeline="p", device="small")
        for topic in (*good, bundle_topic(prefix), status):
            listener.connection.publish_and_wait(topic, b"", retain=True)
        wait_until(lambda: not any(listener.retained[topic] for topic in good), "the loss")
        with publishing(settings, store, tmp_path):
            wait_until(lambda: released(listener, prefix) == 1, "version 1 again")
        assert {topic: listener.retained[topic] for topic in retained_blobs(listener)} == good


def test_devices_that_have_seen_more_signings_are_signed_for_again(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    """The broker lost what it retained, and the registry is older: devices alone know how far it had come."""
    settings = config(broker.url, prefix, tmp_path)
    add_version(store, 1)
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        wait_until(lambda: released(listener, prefix) == 1, "version 1")
        seen = {"stable": 17, "canary": 2**60}  # the latter by a liar
        say(listener, prefix, "d", topics.Status(True, 1, "all", signed=seen))
        wait_until(lambda: signings(listener.bundle(prefix)) > 17, "a signing that the device takes")
        assert signings(listener.bundle(prefix)) == 18


def signings(bundle: bytes) -> int:
    return trust.signings(trust.unpack_bundle(bundle))


def test_a_registry_whose_numbers_are_taken_asks_for_a_higher_one(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    keys = Keys.load(tmp_path / "keys")
    newer = Repository(keys, Scope("p", "all"))
    content = encodings.encode("int8", {"w": np.ones((2, 3), np.float32)})
    targets = {"graph.onnx": Target(GRAPH), "spec.json": Target(SPEC), "weights.int8": Target(content)}
    entries = newer.release(9, targets, wall())
    settings = config(broker.url, prefix, tmp_path)
    with listening(broker.url, prefix) as listener:
        listener.connection.publish_and_wait(bundle_topic(prefix), trust.pack_bundle(entries), retain=True)
        add_version(store, 6)
        with publishing(settings, store, tmp_path):
            wait_until(lambda: bool(store.registry.open_commands("rollback")), "the publisher asks")
            (command,) = store.registry.open_commands("rollback")
            assert command.arguments == {"version": 6, "cohort": "all", "above": 9}
            assert released(listener, prefix) == 9  # devices go on with what they have
            add_version(store, 10, seed=6)  # as the distiller carries it out
            store.registry.close_command(command.id, "done", "")
            wait_until(lambda: released(listener, prefix) == 10, "version 10")
            assert store.registry.open_commands("rollback") == []


def test_the_same_number_with_other_weights_is_taken_too(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    with listening(broker.url, prefix) as listener:
        entries = Repository(Keys.load(tmp_path / "keys"), Scope("p", "all")).release(
            6,
            {"graph.onnx": Target(GRAPH), "spec.json": Target(SPEC), "weights.int8": Target(b"others")},
            wall(),
        )
        listener.connection.publish_and_wait(bundle_topic(prefix), trust.pack_bundle(entries), retain=True)
        add_version(store, 6)
        with publishing(settings, store, tmp_path):
            wait_until(lambda: bool(store.registry.open_commands("rollback")), "the publisher asks")
            assert store.registry.open_commands("rollback")[0].arguments["above"] == 6


def test_changed_keys_are_taken_up_and_all_is_signed_again(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    add_version(store, 1)
    with listening(broker.url, prefix) as listener, publishing(settings, store, tmp_path):
        wait_until(lambda: released(listener, prefix) == 1, "version 1")
        succession.rotate(tmp_path / "keys")
        wait_until(lambda: "2.root.json" in trust.unpack_bundle(listener.bundle(prefix)), "the new root")
        entries = trust.unpack_bundle(listener.bundle(prefix))
        assert trust.signed_by(entries["2.root.json"], entries["targets.json"])
        assert released(listener, prefix) == 1
        add_version(store, 2)
        wait_until(lambda: released(listener, prefix) == 2, "version 2")


def test_a_publisher_gives_way_to_one_that_began_while_it_was_away(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    settings = config(broker.url, prefix, tmp_path)
    topic = topics.SERVICE.of(prefix=prefix, part="publisher")
    with listening(broker.url, prefix) as listener, ThreadPoolExecutor(1) as pool:
        running = pool.submit(Publisher(settings, store, tmp_path / "keys").run, threading.Event())
        wait_until(lambda: topic in listener.retained, "the first publisher online")
        other = topics.Service(True, "another", "elsewhere", wall())
        listener.connection.publish_and_wait(topic, topics.encode(other), retain=True)
        with pytest.raises(BrokerError, match="a publisher is at work on prefix"):
            running.result(20)

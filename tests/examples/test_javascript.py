"""The client in JavaScript, written from docs/protocol.md: it follows what the real publisher releases."""

import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iot_stream import topics
from iot_stream.artifact import encodings, trust
from iot_stream.artifact.blobs import address as address_of
from iot_stream.artifact.stages import Audience
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND, wall
from iot_stream.config import Config, Pipeline, Release, Task, Window
from iot_stream.release import succession
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, bundle, release_targets
from iot_stream.service import broker as brokers
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.store.registry import Version
from iot_stream.units import Duration, Percent
from tests.device import tiny
from tests.release.test_publisher import Listener, listening, publishing, store
from tests.waiting import wait_until

__all__ = ["store"]  # a fixture

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "javascript"
GRAPH, SPEC = tiny.graph(), tiny.spec()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client with what it depends on."""
    npm = shutil.which("npm")
    if not (npm and shutil.which("node")):
        pytest.skip("no Node.js is installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("javascript") / "client"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    install += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode and re.search("ECONN|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|network", done.stderr):
        pytest.skip("npm reaches no registry to install from")
    assert done.returncode == 0, done.stderr
    return folder / "client.mjs"


@dataclass
class Device:
    """`d`, which runs the client, and what is heard of it."""

    client: Path
    settings: Path
    listener: Listener
    reports: list[topics.Report]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.settings.with_suffix(".log").open("ab")
        with log:
            self.process = subprocess.Popen(["node", self.client, self.settings], stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(10)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)

    def status(self) -> topics.Status:
        payload = next(p for t, p in self.listener.retained.items() if topics.STATUS.levels(t))
        status: topics.Status = topics.decode(topics.Status, payload)
        return status

    def applies(self, version: int, previous: int) -> None:
        said = topics.Report("applied", 0, version, previous)
        self._reports(lambda r: (r.event, r.version, r.previous) == ("applied", version, previous), str(said))
        wait_until(lambda: self.status().version == version, "the status says it too")

    def rejects(self, reason: str) -> topics.Report:
        return self._reports(lambda r: (r.event, r.reason) == ("rejected", reason), f"rejected: {reason}")

    def _reports(self, fits: Any, what: str) -> topics.Report:
        found: list[topics.Report] = []

        def has() -> bool:
            assert self.process is None or self.process.poll() is None, self.log
            found[:] = [report for report in self.reports if fits(report)]
            return bool(found)

        try:
            wait_until(has, what, 30)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says:\n{self.log}") from error
        del self.reports[: self.reports.index(found[0]) + 1]
        assert abs(found[0].time - wall()) < 60e9
        return found[0]

    @property
    def log(self) -> str:
        return self.settings.with_suffix(".log").read_text()


@dataclass
class Site:
    broker: Broker
    prefix: str
    store: Store
    folder: Path
    client: Path
    stack: ExitStack

    @property
    def keys(self) -> Keys:
        return Keys.load(self.folder / "keys")

    def publishes(self, release: Release | None = None) -> Listener:
        pipeline = Pipeline(
            window=Window(length=1), task=Task(classify=("a", "b")), release=release or Release()
        )
        config = Config(
            broker=self.broker.url,
            store=f"sqlite:{self.folder}",
            prefix=self.prefix,
            pipelines={"p": pipeline},
        )
        listener = self.stack.enter_context(listening(self.broker.url, self.prefix))
        self.stack.enter_context(publishing(config, self.store, self.folder))
        return listener

    def device(self, listener: Listener, **changes: object) -> Device:
        root = self.keys.newest_root.decode()
        settings = {
            "pipeline": "p", "device": "d", "root": root, "broker": {"url": self.broker.url, "user": ""},
            "prefix": self.prefix, "cohort": "all", "state": "device-state",
        }  # fmt: skip
        path = self.folder / "d.json"
        path.write_text(json.dumps(settings | changes))
        reports: list[topics.Report] = []
        on_message = listener.connection._on_message

        def hear(message: Any) -> None:
            on_message(message)
            if topics.REPORT.levels(message.topic):
                reports.append(topics.decode(topics.Report, message.payload))

        listener.connection._on_message = hear
        device = Device(self.client, path, listener, reports)
        self.stack.callback(device.kill)
        device.start()
        return device

    def add(self, number: int, cohort: str = "all", spec: bytes = SPEC) -> None:
        weights = encodings.encode("int8", tiny.weights(number), np.zeros((3, 2), np.float32))
        put = self.store.registry.put_artifact
        with self.store.write() as tx:
            artifacts = put(tx, GRAPH), put(tx, spec), put(tx, weights)
            version = Version(
                "p", cohort, number, f"r{cohort}{number}", wall(), *artifacts, "int8", artifacts[2],
                {"teacher": "0123456789abcdef" * 4},
            )  # fmt: skip
            self.store.registry.add_version(tx, version)

    def signed(
        self, version: int, keys: Keys | None = None, cohort: str = "all", graph: bytes = GRAPH, age: int = 0
    ) -> bytes:
        """A bundle that did not come from the publisher, `age` days old."""
        content = encodings.encode("int8", tiny.weights(version))
        targets = release_targets(graph, SPEC, content, "int8", "r", "")
        repository = Repository(keys or self.keys, Scope("p", cohort))
        repository.count_above(1000)
        entries = repository.release(version, targets, wall() - age * 86_400 * SECOND)
        return bundle(entries, targets)[0]

    def puts(self, listener: Listener, payload: bytes) -> None:
        topic = topics.BUNDLE.of(prefix=self.prefix, pipeline="p", cohort="all", slot="stable")
        listener.connection.publish_and_wait(topic, payload)


@pytest.fixture
def site(broker: Broker, prefix: str, store: Store, tmp_path: Path, client: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(broker, prefix, store, tmp_path, client, stack)


def test_it_follows_releases_and_goes_on_after_a_restart_with_what_it_has(site: Site) -> None:
    site.add(1)
    listener = site.publishes()
    device = site.device(listener)
    device.applies(1, 0)
    site.add(2)
    device.applies(2, 1)
    assert device.status().signed == {"stable": 2}
    device.kill()
    wait_until(lambda: not device.status().online, "its Last Will")
    blobs = [topic for topic, content in listener.retained.items() if topics.BLOB.levels(topic) and content]
    assert len(blobs) == 2  # graph and spec
    for topic in blobs:  # unnoticed by the publisher: who asks for one waits in vain
        listener.connection.publish_and_wait(topic, b"", retain=True)
    site.add(3)
    device.start()
    device.applies(3, 2)
    device.stop()
    wait_until(lambda: not device.status().online, "it says that it goes")
    assert device.status().version == 3


def test_what_cannot_be_believed_is_refused_with_its_reason(site: Site, tmp_path: Path) -> None:
    site.add(1)
    site.add(2)
    listener = site.publishes()
    device = site.device(listener)
    device.applies(2, 0)
    before = state_of(tmp_path)
    payloads = {
        "unsigned": site.signed(3, Keys.create(tmp_path / "other keys", 1, 1)),
        "foreign": site.signed(3, cohort="north"),
        "older": site.signed(1),
        "expired": site.signed(3, age=31),
        "malformed": listener.bundle(site.prefix) + b"more",
        "too_large": zlib.compress(bytes(300_000)),
    }
    for reason, payload in payloads.items():
        site.puts(listener, payload)
        assert device.rejects(reason).version == 2
    entries = trust.unpack_bundle(site.signed(3))
    address = next(name for name in entries if name.startswith(trust.BLOB))
    site.puts(listener, trust.pack_bundle(entries | {address: b"other weights"}))
    assert device.rejects("altered").offered == 3
    graph = b"another graph"
    topic = topics.BLOB.of(prefix=site.prefix, pipeline="p", sha256=address_of(graph), n="0")
    listener.connection.publish_and_wait(topic, b"what is no graph", retain=True)
    site.puts(listener, site.signed(3, graph=graph))
    assert device.rejects("altered").version == 2
    assert state_of(tmp_path) == before
    listener.connection.publish_and_wait(topic, graph, retain=True)
    device.applies(3, 2)


def test_keys_that_change(site: Site) -> None:
    site.add(1)
    listener = site.publishes()
    device = site.device(listener)
    device.applies(1, 0)
    old = site.keys
    before = listener.bundle(site.prefix)
    succession.rotate(site.folder / "keys")
    wait_until(lambda: listener.bundle(site.prefix) != before, "it is signed with the new key")
    wait_until(lambda: device.status().signed == {"stable": 2}, "the device has the new key")
    assert device.reports == []
    site.puts(listener, site.signed(2, old))
    device.rejects("unsigned")
    site.add(2)
    device.applies(2, 1)


def state_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (folder / "device-state").rglob("*") if path.is_file()}


def test_it_takes_a_canary_that_is_meant_for_it_and_goes_back(site: Site) -> None:
    release = Release(stages=(Percent(1), Percent(100)), soak=Duration.parse("1 day"), first=("d",))
    site.add(1)
    listener = site.publishes(release)
    device = site.device(listener)
    device.applies(1, 0)
    site.add(2)
    device.applies(2, 1)
    levels = {"prefix": site.prefix, "pipeline": "p", "cohort": "all"}
    assert listener.retained[topics.BUNDLE.of(**levels, slot="canary")]
    abort = {"action": "abort", "cohort": "all", "person": "test", "why": "to see it go back"}
    site.store.registry.command("test", "rollout", "p", **abort)
    device.applies(1, 2)
    assert device.reports == []
    device.stop()
    shutil.rmtree(site.folder / "device-state")
    device.start()
    device.applies(1, 0)  # a new device, too, that hears of both slots at once


def test_a_release_in_pieces(site: Site) -> None:
    spec = SPEC + b" " * 30_000
    site.add(1, spec=spec)
    listener = site.publishes()
    wait_until(lambda: bool(listener.bundle(site.prefix)), "a release in whole messages")
    device = site.device(listener, max_packet=5_000)
    device.applies(1, 0)
    pieces = [levels for topic in listener.retained if (levels := topics.BLOB.levels(topic))]
    assert max(int(levels["n"]) for levels in pieces) > 4
    kept = {path.name for path in (site.folder / "device-state" / "blob").iterdir()}
    weights = encodings.encode("int8", tiny.weights(1), np.zeros((3, 2), np.float32))
    assert kept == {address_of(content) for content in (GRAPH, spec, weights)}  # and no piece any more


def test_it_follows_the_cohort_that_it_is_told(site: Site) -> None:
    site.add(1)
    site.add(1, "north")
    site.add(2, "north")
    device = site.device(site.publishes())
    device.applies(1, 0)
    with site.store.write() as tx:
        site.store.cohorts.assign(tx, "p", {"d": "north"}, "by line")
    device.applies(2, 1)
    assert device.status().cohort == "north"


def test_a_broker_that_was_away(prefix: str, store: Store, tmp_path: Path, client: Path) -> None:
    with brokers.start(tmp_path / "broker") as broker, ExitStack() as stack:
        site = Site(broker, prefix, store, tmp_path, client, stack)
        site.add(1)
        device = site.device(site.publishes())
        device.applies(1, 0)
        broker.restart()
        site.add(2)
        device.applies(2, 1)
        wait_until(lambda: device.status().online, "it is there again")
        assert device.reports == []


def evaluated(client: Path, module: str, name: str, arguments: list[Any]) -> Any:
    """What a function of the client gives for each list of arguments."""
    script = f"""
    import {{ {name} as tried }} from "./{module}.mjs";
    const revive = (key, value) => (value?.bytes ? Buffer.from(value.bytes, "hex") : value);
    let text = "";
    for await (const part of process.stdin) text += part;
    const found = JSON.parse(text, revive).map((each) => tried(...each));
    console.log(JSON.stringify(found, (key, value) => (value instanceof Float32Array ? [...value] : value)));
    """
    run = ["node", "--input-type=module", "-e", script]
    given = json.dumps(arguments).encode()
    done = subprocess.run(run, cwd=client.parent, input=given, capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_it_knows_as_python_does_whom_a_canary_is_for(client: Path) -> None:
    cases = [
        (f"pümp {i}", version, Audience(percent, first=("pümp 1",), never=("pümp 2",)))
        for i in range(40)
        for version in (1, 12)
        for percent in (0, 0.5, 30, 99.9, 100)
    ]
    arguments = [
        [
            device,
            {"version": version, "audience": {"percent": a.percent, "first": a.first, "never": a.never}},
        ]
        for device, version, a in cases
    ]
    expected = [audience.has(device, version) for device, version, audience in cases]
    assert evaluated(client, "trust", "meantFor", arguments) == expected


def test_it_reads_weights_as_python_does(client: Path) -> None:
    rng = np.random.default_rng(1)
    weights = {
        "conv": rng.normal(size=(3, 2, 5)),
        "bias": rng.normal(size=3),
        "dense": rng.normal(size=(2, 7)),
    }
    content = encodings.encode("int8", weights, rng.normal(size=(2, 4)).astype(np.float32))
    (found,) = evaluated(client, "weights", "tensorsOf", [[{"bytes": content.hex()}]])
    decoded = encodings.decode("int8", content)
    assert decoded.selftest is not None
    expected = decoded.tensors | {encodings.SELFTEST: decoded.selftest}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        got = np.array(found[name]["values"], np.float32).reshape(found[name]["shape"])
        np.testing.assert_array_equal(got, values)

"""How long a release takes to reach all subscribers, beside one bare retained message of its size."""

import resource
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iot_stream import topics
from iot_stream.address import Broker
from iot_stream.artifact import encodings, trust
from iot_stream.clock import wall
from iot_stream.evaluate.bench.process import Child
from iot_stream.mqtt import Connection
from iot_stream.release.keys import Keys
from iot_stream.release.shelf import Shelf
from iot_stream.service.broker import start
from iot_stream.store import Store
from iot_stream.store.registry import Version

HOLDER = "iot_stream.evaluate.bench.subscribers"
PREFIX, PIPELINE = "bench", "p"
PARAMETERS = (281, 24_000)  # of students whose weights travel in the bundle
PASSES = 3  # of which the median counts
COLUMNS = ("parameters", "subscribers", "kind", "bytes", "bare_ms", "ours_ms", "ratio", "publisher_messages")
GRAPH, SPEC = b"graph" * 1000, b"spec" * 1000

Row = dict[str, Any]


class _Counting(Connection):
    """The publisher's connection, which counts what it publishes."""

    messages = 0

    def publish_and_wait(self, topic: str, payload: bytes, retain: bool = False, timeout: float = 30) -> None:
        self.messages += 1
        super().publish_and_wait(topic, payload, retain, timeout)


@dataclass
class Site:
    """A mosquitto, a store and the publisher's shelf on it."""

    port: int
    connection: _Counting
    store: Store
    shelf: Shelf

    def version(self, cohort: str, parameters: int) -> Version:
        """Weights that nothing can compress, as trained ones."""
        rng = np.random.default_rng(zlib.crc32(cohort.encode()))
        side = max(1, round(parameters**0.5))
        trained = rng.normal(size=(side, parameters // side)).astype(np.float32)
        weights = encodings.encode("int8", {"w": trained})
        put = self.store.registry.put_artifact
        with self.store.write() as tx:
            version = Version(
                PIPELINE, cohort, 1, cohort, wall(), put(tx, GRAPH), put(tx, SPEC), put(tx, weights), "int8",
                put(tx, weights), {},
            )  # fmt: skip
            self.store.registry.add_version(tx, version)
        return version


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        broker = stack.enter_context(start(scratch / "broker", kind="mosquitto"))
        Keys.create(scratch / "keys", 1, 1)
        store = stack.enter_context(closing(Store(scratch / "store")))
        connection = _Counting(Broker(url=broker.url).address(), "bench-publisher", lambda _: None)
        connection.start()
        stack.callback(connection.stop)
        shelf = Shelf(PREFIX, store, scratch / "keys", connection)
        made = Site(broker.port, connection, store, shelf)
        shelf.put(made.version("first", 1), trust.STABLE)  # graph and spec are there from now on
        yield made


def rows(
    subscribers: Iterable[int], parameters: Iterable[int], folder: Path, passes: int = PASSES
) -> Iterator[Row]:
    """A row for each size, number of subscribers and kind: live ones that wait, late ones that come after."""
    counts, sizes = list(subscribers), list(parameters)
    with site(folder) as at:
        for size in sizes:
            for count in counts:
                yield from _rows(at, size, count, passes)


def _rows(at: Site, parameters: int, count: int, passes: int) -> Iterator[Row]:
    live: list[tuple[float, float]] = []
    late: list[tuple[float, float]] = []
    size = messages = 0
    for number in range(passes):
        run = f"{parameters}-{count}-{number}"
        version = at.version(run, parameters)
        topic = topics.BUNDLE.of(prefix=PREFIX, pipeline=PIPELINE, cohort=run, slot=trust.STABLE)
        before = at.connection.messages

        def ours(version: Version = version) -> None:
            at.shelf.put(version, trust.STABLE)

        ours_live = _live(at.port, topic, f"ours-{run}", count, 1, ours)
        messages = at.connection.messages - before
        size = len(at.shelf.retained(topic))
        bare_topic = f"{PREFIX}/bare/{run}"

        def bare(topic: str = bare_topic, size: int = size) -> None:
            at.connection.publish_and_wait(topic, bytes(size), retain=True)

        bare_live = _live(at.port, bare_topic, f"bare-{run}", count, size, bare)
        live.append((bare_live, ours_live))
        late.append(
            (
                _late(at.port, bare_topic, f"bare-late-{run}", count, size),
                _late(at.port, topic, f"ours-late-{run}", count, size),
            )
        )
    for kind, found in (("live", live), ("late", late)):
        bare_ms, ours_ms = (statistics.median(each) for each in zip(*found, strict=True))
        yield {
            "parameters": parameters,
            "subscribers": count,
            "kind": kind,
            "bytes": size,
            "bare_ms": round(bare_ms, 1),
            "ours_ms": round(ours_ms, 1),
            "ratio": round(ours_ms / bare_ms, 3),
            "publisher_messages": messages if kind == "live" else 0,
        }


def _live(port: int, topic: str, run: str, count: int, size: int, publish: Callable[[], None]) -> float:
    """ms from the beginning of `publish` to when the last subscriber has the message."""
    task = {"port": port, "topic": topic, "run": run, "subscribers": count, "size": size, "kind": "live"}
    with Child(HOLDER, task) as holder:
        holder.said()
        holder.go()
        began = time.monotonic_ns()
        publish()
        return float(holder.said()["last"] - began) / 1e6


def _late(port: int, topic: str, run: str, count: int, size: int) -> float:
    """ms from the first subscription to when the last subscriber has the retained message."""
    task = {"port": port, "topic": topic, "run": run, "subscribers": count, "size": size, "kind": "late"}
    with Child(HOLDER, task) as holder:
        holder.said()
        holder.go()
        told = holder.said()
        return float(told["last"] - told["began"]) / 1e6

"""A running service with a small fleet is asked as Prometheus asks it."""

import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from iot_stream import topics
from iot_stream.evaluate import scores
from iot_stream.evaluate.metrics import accuracy, balanced
from iot_stream.mqtt import Connection
from iot_stream.readings import Label
from iot_stream.service.broker import Broker
from iot_stream.watch import promise
from iot_stream.watch.metrics import TABLE
from tests.service.running import NAME, fleet, opened, service, write_config, write_taught
from tests.waiting import wait_until
from tests.watch.programs import promtool

pytestmark = pytest.mark.slow

Shown = dict[str, dict[frozenset[tuple[str, str]], float]]
MODELS = ("student", "static", "teacher")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Scraper:
    """The last answer; as one would ask from outside."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/metrics"
        self.text = ""
        self.shown: Shown = {}

    def again(self) -> Shown:
        """Empty while nobody answers."""
        try:
            with urllib.request.urlopen(self._address, timeout=10) as answer:
                self.text = answer.read().decode()
        except urllib.error.URLError:
            self.text = ""
        self.shown = {}
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                self.shown.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return self.shown

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels."""
        wanted = labels.items()
        series = self.again().get(f"iot_stream_{name}", {})
        return sum(value for have, value in series.items() if have >= wanted)


@pytest.fixture
def scraper(tmp_path: Path, broker: Broker, prefix: str) -> Iterator[tuple[Scraper, Path]]:
    """Of a service that has released its first version."""
    port = free_port()
    path = write_taught(tmp_path, broker.url, prefix)
    settings = yaml.safe_load(path.read_text()) | {"metrics": {"port": port}}
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    scraper = Scraper(port)
    with service(path, tmp_path / "log"):
        wait_until(lambda: scraper.value("released_version") == 1, "a first version", 90)
        yield scraper, path


def newest_labels(database: Path) -> list[Label]:
    """Those that came last, of which a slow machine has heard more than are looked at."""
    query = 'SELECT device, start, "end", value FROM labels ORDER BY arrived DESC LIMIT ?'
    with closing(sqlite3.connect(database)) as reader:
        return [Label(*row) for row in reader.execute(query, (promise.NEWEST,))]


def test_a_running_service_shows_every_metric(
    scraper: tuple[Scraper, Path], tmp_path: Path, prefix: str
) -> None:
    ask, path = scraper
    with opened(path) as (config, store):
        with fleet(path, tmp_path, "--devices", "4", "--seconds", "90"):
            wait_until(lambda: ask.value("rounds_total", outcome="released") >= 1, "a release", 90)
            staged = "iot_stream_rollout_stage_ratio"  # of versions that go out in stages, which these do not
            recovery = "iot_stream_recovery_seconds"  # of a version that is better
            known = {metric.full_name for metric in TABLE.values()} - {staged, recovery}
            wait_until(lambda: ask.again().keys() - {recovery} == known, "all metrics", 60)
            assert promtool("check", "metrics", given=ask.text) == ""
            for part in ("collector", "distiller", "publisher"):
                assert ask.value("part_online", part=part) == 1
            assert ask.value("devices_online", pipeline=NAME) == 4
            for model in MODELS:
                assert 0 < ask.value("accuracy_ratio", model=model) <= 1
            assert ask.value("rounds_total", outcome="released") >= 1
            speaker = Connection(config.address, f"{prefix}-speaker", lambda _: None)
            speaker.start()
            topic = topics.TELEMETRY.of(prefix=prefix, pipeline=NAME, device="machine-00")
            speaker.publish_and_wait(topic, b"no telemetry")
            speaker.stop()
            wait_until(
                lambda: ask.value("input_problems_total", device="machine-00", reason="malformed") == 1,
                "bad input, by reason and device",
            )
            assert ask.value("quarantined_messages") == 1
        wait_until(lambda: ask.value("devices_online") == 0, "the fleet's end")
        wait_until(lambda: ask.value("cutting_lag_seconds") == 0, "all windows cut")
        assert ask.value("readings_total") == sum(store.journal.readings(NAME).values()) > 0
        cut = config.pipelines[NAME].cut(config.pipelines[NAME].student).id
        assert ask.value("windows_total", model="student") == store.journal.window_count(NAME, cut)
        assert ask.value("device_events_total", event="applied") == sum(
            event[2] == "applied" for event in store.registry.events(NAME)
        )
        teacher = store.registry.versions(NAME)[0].provenance["teacher"]

        def agrees() -> bool:
            """While the last windows are still being scored, figures grow on both sides."""
            labels = newest_labels(tmp_path / "store" / "iot-stream.db")
            found = scores.collect(store, NAME, config.pipelines[NAME], labels, teacher)
            # Where a device had no model yet, nobody is judged.
            everyone = np.array([found.truth, *map(found.said.__getitem__, MODELS)])
            known = (everyone != scores.NOTHING).all(axis=0)
            for model in MODELS:
                if not known.any() or ask.value("judged_windows", model=model) != known.sum():
                    return False
                for name, measure in (("accuracy", accuracy), ("balanced_accuracy", balanced)):
                    right = measure(found.said[model][known], found.truth[known])
                    if ask.value(f"{name}_ratio", model=model) != pytest.approx(right):
                        return False
            return True

        wait_until(agrees, "figures are those of all windows")


def test_a_port_in_use_stops_metrics_alone_until_it_is_free(
    tmp_path: Path, broker: Broker, prefix: str
) -> None:
    path = write_config(tmp_path, broker.url, prefix)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = yaml.safe_load(path.read_text()) | {"metrics": {"port": port}}
        path.write_text(yaml.safe_dump(settings, sort_keys=False))
        log = tmp_path / "log"
        with service(path, log) as serving:
            wait_until(lambda: f"cannot listen on 127.0.0.1 port {port}" in log.read_text(), "a word", 60)
            taken.close()
            ask = Scraper(port)
            wait_until(lambda: ask.value("part_online") == 3, "metrics of all three parts", 60)
            assert serving.poll() is None

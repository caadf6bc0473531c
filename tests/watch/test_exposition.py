"""Metrics over HTTP: two paths and nothing else, one reading of the store for all who ask at once."""

import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from iot_stream.config import Config, Metrics
from iot_stream.errors import IotStreamError, StoreError
from iot_stream.store import Store
from iot_stream.store.rollouts import RUNNING, Rollout
from iot_stream.watch import exposition, metrics
from iot_stream.watch.exposition import Exposition, Server, families
from iot_stream.watch.figures import Figures
from iot_stream.watch.metrics import Sample
from iot_stream.watch.parts import Parts
from tests.service.running import NAME, write_config
from tests.streams import START
from tests.waiting import wait_until
from tests.watch.programs import promtool
from tests.watch.stores import configured, end_round, hear, join, release, speak


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()


@contextmanager
def served(config: Config, store: Store) -> Iterator[str]:
    """Address of a server on a free port; it has ended afterwards."""
    config = msgspec.structs.replace(config, metrics=Metrics(port=0))
    server, stopping = Server(config, store), threading.Event()
    running = threading.Thread(target=server.run, args=(stopping,))
    running.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        stopping.set()
        running.join(10)
    assert not running.is_alive()


def get(address: str, method: str = "GET", accept: str = "") -> tuple[int, str]:
    request = urllib.request.Request(address, method=method, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


# --- HTTP


def test_metrics_are_served_and_nothing_else(tmp_path: Path, store: Store) -> None:
    hear(store, "a")
    with served(configured(tmp_path), store) as address:
        status, text = get(f"{address}/metrics")
        assert status == 200
        assert f'iot_stream_readings_total{{device="a",pipeline="{NAME}"}} 2.0' in text
        assert text.count("\niot_stream_store_up 1.0\n") == 1
        assert "iot_stream_broker_connected 0.0" in text
        assert get(address) == (200, "iot-stream: metrics are at /metrics\n")
        assert get(f"{address}/metrics?name=x")[0] == 200
        assert [get(f"{address}{path}")[0] for path in ("/metrics/", "/x", "/favicon.ico")] == [404] * 3
        assert [get(f"{address}/metrics", method)[0] for method in ("POST", "PUT", "DELETE")] == [501] * 3
        openmetrics = get(f"{address}/metrics", accept="application/openmetrics-text; version=1.0.0")[1]
        assert openmetrics.endswith("# EOF\n")
    with pytest.raises(urllib.error.URLError):
        get(f"{address}/metrics")


def test_a_client_that_says_nothing_holds_nobody_up(tmp_path: Path, store: Store) -> None:
    with served(configured(tmp_path), store) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)):
            assert get(f"{address}/metrics")[0] == 200


def test_a_client_that_has_gone_is_a_line_in_the_log(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def asked_by(error: Exception) -> str:
        caplog.clear()
        with pytest.MonkeyPatch.context() as patch, served(configured(tmp_path), store) as address:
            patch.setattr(exposition, "choose_encoder", _raising(error))
            with suppress(OSError):
                get(f"{address}/metrics")
            wait_until(lambda: "was not answered" in caplog.text, "a line")
        return caplog.text

    assert "Traceback" not in asked_by(BrokenPipeError("gone"))
    assert "Traceback" in asked_by(ValueError("a mistake of ours"))
    assert capfd.readouterr().err == ""


def _raising(error: Exception) -> Callable[[str], None]:
    def raises(_: str) -> None:
        raise error

    return raises


def test_a_port_in_use_is_said_with_its_number(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "iot_stream.cli",
            "metrics",
            "--config",
            str(path),
            "--port",
            str(port),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_address_of_another_machine_is_refused(tmp_path: Path, store: Store) -> None:
    config = msgspec.structs.replace(configured(tmp_path), metrics=Metrics(host="192.0.2.1", port=0))
    with pytest.raises(IotStreamError, match=r"192\.0\.2\.1 port 0"):
        Server(config, store)


# --- what is shown


class _Counting(Figures):
    """How often the store is read."""

    readings = 0
    trouble = ""

    def samples(self) -> Iterator[Sample]:
        self.readings += 1
        if self.trouble:
            raise StoreError(self.trouble)
        return super().samples()


def values(shown: Exposition) -> dict[str, float]:
    return {each.name: each.value for family in shown.collect() for each in family.samples}


def test_who_asks_within_a_second_costs_no_reading(tmp_path: Path, store: Store) -> None:
    config, now = configured(tmp_path), [0.0]
    figures = _Counting(config, store)
    shown = Exposition(figures, Parts(config), lambda: now[0])
    assert figures.readings == 0
    for moment, readings in ((0.0, 1), (0.9, 1), (1.0, 2), (1.5, 2)):
        now[0] = moment
        assert values(shown)["iot_stream_store_up"] == 1
        assert figures.readings == readings


def test_a_store_that_cannot_be_read_is_shown_and_said_once(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    config, now = configured(tmp_path), [0.0]
    figures = _Counting(config, store)
    shown = Exposition(figures, Parts(config), lambda: now[0])
    figures.trouble = "store s: disk I/O error"
    for now[0] in (0.0, 2.0):
        found = values(shown)
        assert found["iot_stream_store_up"] == 0
        assert "iot_stream_readings_total" not in found
        assert found["iot_stream_broker_connected"] == 0
    assert caplog.messages == ["store s: disk I/O error"]
    figures.trouble, now[0] = "", 4.0
    assert values(shown)["iot_stream_store_up"] == 1


class _Speaking(Parts):
    """A collector that is there and well."""

    def samples(self) -> Iterator[Sample]:
        yield from super().samples()
        yield from (Sample("part_online", 1, ("collector",)), Sample("part_fault", 0, ("collector",)))


def whole(tmp_path: Path, store: Store) -> str:
    """Every metric, as Prometheus reads it."""
    hear(store, 'nasty"\\\n', "é")
    join(store, "é", 1)
    release(store, 1)
    end_round(
        store,
        1,
        "released",
        START,
        START + 5,
        version=1,
        gate={"windows": 9, "candidate": 0.5, "running": 0.25, "lower": 0.125},
    )
    store.registry.add_event(NAME, "é", "applied", 1, 0, "{}")
    speak(store, "é", START, 1, student=1, static=0, teacher=1)
    config = configured(tmp_path)
    cut = config.pipelines[NAME].cut(config.pipelines[NAME].student).id
    with store.write() as tx:
        store.rollouts.save(tx, NAME, Rollout("all", 1, RUNNING, 0, START, START), "c", "began", "")
        tx.execute(
            'INSERT INTO windows (pipeline, cut, device, start, "end", arrived, x) VALUES (?,?,?,?,?,?,?)',
            (NAME, cut, "é", START, START + 1, START, b""),
        )
    registry = CollectorRegistry()
    registry.register(Exposition(Figures(config, store), _Speaking(config)))
    return generate_latest(registry).decode()


def test_every_metric_of_the_table_is_shown_with_its_labels(tmp_path: Path, store: Store) -> None:
    found = {
        sample.name: sample.labels
        for family in text_string_to_metric_families(whole(tmp_path, store))
        for sample in family.samples
    }
    assert found.keys() == {metric.full_name for metric in metrics.TABLE.values()}
    for metric in metrics.TABLE.values():
        assert found[metric.full_name].keys() == set(metric.labels), metric.full_name


def test_promtool_finds_nothing_wrong_with_them(tmp_path: Path, store: Store) -> None:
    checked = promtool("check", "metrics", given=whole(tmp_path, store))
    assert checked == ""


def test_names_say_what_they_are() -> None:
    assert len(metrics.TABLE) == sum(len(group.metrics) for group in metrics.GROUPS) > 40
    for metric in metrics.TABLE.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help
    with pytest.raises(KeyError):
        families([Sample("made_up", 1)])

"""Metrics over HTTP, as Prometheus scrapes them."""

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from iot_stream.config import Config, Metrics
from iot_stream.errors import IotStreamError, StoreError
from iot_stream.store import Store
from iot_stream.watch import metrics
from iot_stream.watch.figures import Figures
from iot_stream.watch.metrics import Sample
from iot_stream.watch.parts import Parts

log = logging.getLogger(__name__)

FRESH_S = 1.0  # several who scrape at once cost one reading
PATIENCE_S = 10  # with a client that asks for nothing
POINTER = "iot-stream: metrics are at /metrics\n"


class Exposition(Collector):
    """All samples as families; read anew when they are older than a second."""

    def __init__(
        self, figures: Figures, parts: Parts, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._figures, self._parts, self._monotonic = figures, parts, monotonic
        self._lock = threading.Lock()
        self._fresh_until = 0.0
        self._found: list[Metric] = []
        self._trouble = ""

    def describe(self) -> Iterable[Metric]:
        """Nothing: to be registered must not read the store."""
        return ()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if self._monotonic() >= self._fresh_until:
                self._found = families(self._samples())
                self._fresh_until = self._monotonic() + FRESH_S
            return self._found

    def _samples(self) -> list[Sample]:
        began = self._monotonic()
        found = [Sample("build_info", 1, (version("iot-stream"),)), *self._parts.samples()]
        try:
            found += list(self._figures.samples())
        except StoreError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("%s", error)
            return [*found, Sample("store_up", 0)]
        self._trouble = ""
        return [*found, Sample("store_up", 1), Sample("store_read_seconds", self._monotonic() - began)]


def families(samples: Iterable[Sample]) -> list[Metric]:
    found: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for sample in samples:
        metric = metrics.TABLE[sample.name]
        family = found.get(sample.name)
        if family is None:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = found[sample.name] = kind(metric.full_name, metric.help, labels=metric.labels)
        family.add_metric(sample.labels, float(sample.value))
    return list(found.values())


class _Handler(BaseHTTPRequestHandler):
    """GET of two paths, and nothing else."""

    timeout = PATIENCE_S

    def __init__(self, registry: CollectorRegistry, *arguments: object) -> None:
        self._registry = registry
        super().__init__(*arguments)  # type: ignore[arg-type]  # request, address and server, as they come

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self._registry), kind)
        elif path == "/":
            self._answer(HTTPStatus.OK, POINTER.encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, POINTER.encode())

    def _answer(self, status: HTTPStatus, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        log.debug(format, *arguments)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, settings: Metrics, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        super().__init__((settings.host, settings.port), handler)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """A client that has gone is none of ours."""
        error = sys.exception()
        ours = None if isinstance(error, ConnectionError) else error
        log.warning("%s was not answered", client_address, exc_info=ours)


class Server:
    """The part of the service that is asked for metrics."""

    def __init__(self, config: Config, store: Store) -> None:
        """Listens from now on; raises IotStreamError if it cannot."""
        settings = config.metrics or Metrics()
        self._parts = Parts(config)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Exposition(Figures(config, store), self._parts))
        try:
            self._listener = _Listener(settings, partial(_Handler, registry))
        except (OSError, OverflowError) as error:
            raise IotStreamError(
                f"metrics: cannot listen on {settings.host} port {settings.port}: {error}; is another "
                "`iot-stream metrics` running, is the host one of this machine?"
            ) from error

    @property
    def port(self) -> int:
        return int(self._listener.server_address[1])

    def run(self, stopping: threading.Event) -> None:
        """Until `stopping`."""
        serving = threading.Thread(target=self._listener.serve_forever, name="metrics", daemon=True)
        self._parts.start()
        serving.start()
        log.info("metrics are at http://%s:%d/metrics", *self._listener.server_address[:2])
        try:
            stopping.wait()
        finally:
            self._listener.shutdown()
            self._listener.server_close()
            self._parts.stop()

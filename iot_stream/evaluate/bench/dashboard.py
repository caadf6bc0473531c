"""What the dashboard costs while a fleet speaks: its process alone, with nobody looking and with several."""

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from iot_stream.errors import IotStreamError
from iot_stream.evaluate.bench.fleet import PIPELINE, configuration, name
from iot_stream.evaluate.bench.process import Child
from iot_stream.service.broker import free_port, start

FLEET = "iot_stream.evaluate.bench.fleet"
PAST_S = 120  # of the fleet's past that is there already
SETTLE_S = 10.0  # until the past has been read
DEVICE = f"device?device={name(1)}"
VIEWS = ("promise", "fleet", DEVICE, "rounds", "topics")
GOES_ON = {"fleet": ("since", "revision"), DEVICE: ("after", "segment"), "topics": ("after", "newest")}
"""View → how it asks for what is new, and what in its last answer it names."""
COLUMNS = ("devices", "viewers", "cpu_share", "rss_mb", "requests_per_s", "kb_per_s", "answer_ms")

Row = dict[str, Any]


def rows(devices: int, viewers: int, seconds: float, folder: Path) -> Iterator[Row]:
    """One row with nobody looking, one with so many viewers."""
    with _running(devices, folder) as (process, url):
        for count in (0, viewers):
            with _looking(url, count) as lookers:
                time.sleep(SETTLE_S)
                for looker in lookers:
                    looker.forget()
                began, used = time.monotonic(), _cpu_s(process.pid)
                time.sleep(seconds)
                took = time.monotonic() - began
                used = _cpu_s(process.pid) - used
                answers = [each for looker in lookers for each in looker.answers]
            yield {
                "devices": devices,
                "viewers": count,
                "cpu_share": round(used / took, 4),
                "rss_mb": round(_rss_mb(process.pid), 1),
                "requests_per_s": round(len(answers) / took, 2),
                "kb_per_s": round(sum(size for size, _ in answers) / took / 1000, 1),
                "answer_ms": round(1000 * statistics.median(s for _, s in answers), 1) if answers else None,
            }


def page(folder: Path) -> Row:
    """Bytes of all that a browser fetches to show the page, and the time to its first paint and to its
    first figures, in Chromium; None where there is no Chromium to ask."""
    with _running(100, folder) as (_, url):
        time.sleep(SETTLE_S)
        return {"page_bytes": page_bytes(url), **_paint(url)}


@contextmanager
def _running(devices: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as made, start(Path(made) / "broker") as broker:
        path, port = configuration(Path(made), broker.url), free_port()
        task = {"config": str(path), "devices": devices, "past": PAST_S}
        with Child(FLEET, task) as fleet:
            fleet.said()
            fleet.go()
            command = [sys.executable, "-m", "iot_stream.cli", "dashboard", "--config", str(path)]
            process = subprocess.Popen([*command, "--port", str(port), "--read-only"])
            try:
                url = f"http://127.0.0.1:{port}"
                _wait(url, process)
                yield process, url
            finally:
                process.terminate()
                process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{url}/api/about", timeout=5).read()  # noqa: S310  http
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise IotStreamError("the dashboard did not answer, see above")


class _Looker:
    """One viewer, as the page is: it asks for its view when it hears that it has changed."""

    def __init__(self, url: str, view: str) -> None:
        self._place = urlsplit(url).netloc
        self._view = view
        self.answers: list[tuple[int, float]] = []
        self._stopping = False
        self._stream = http.client.HTTPConnection(self._place, timeout=60)
        self._thread = threading.Thread(target=self._look, name=view, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def forget(self) -> None:
        """What was asked until now."""
        self.answers = []

    def stop(self) -> None:
        self._stopping = True
        if self._stream.sock:
            self._stream.sock.shutdown(2)  # which ends the reading of it
        self._thread.join()

    def _look(self) -> None:
        since = self._ask(None)
        self._stream.request("GET", f"/api/events?pipeline={PIPELINE}")
        answer = self._stream.getresponse()
        try:
            while line := answer.readline():
                if line.startswith(b"data: {"):
                    views = json.loads(line[6:])["views"]
                    if views is None or self._view.partition("?")[0] in views:
                        since = self._ask(since)
        except OSError:
            if not self._stopping:
                raise
        finally:
            self._stream.close()

    def _ask(self, since: int | None) -> int | None:
        name, place = GOES_ON.get(self._view, ("", ""))
        glue = "&" if "?" in self._view else "?"
        query = f"{glue}{name}={since}" if name and since is not None else ""
        asking = http.client.HTTPConnection(self._place, timeout=60)
        began = time.monotonic()
        asking.request("GET", f"/api/{PIPELINE}/{self._view}{query}")
        answer = asking.getresponse()
        content = answer.read()
        asking.close()
        self.answers.append((len(content), time.monotonic() - began))
        if answer.status != 200:
            raise IotStreamError(f"{self._view}: {content.decode()[:300]}")
        return json.loads(content)[place] if place else None


@contextmanager
def _looking(url: str, count: int) -> Iterator[list[_Looker]]:
    lookers = [_Looker(url, VIEWS[i % len(VIEWS)]) for i in range(count)]
    for looker in lookers:
        looker.start()
    try:
        yield lookers
    finally:
        for looker in lookers:
            looker.stop()


def _cpu_s(pid: int) -> float:
    """User and system time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def page_bytes(url: str) -> int:
    """The page and all files that it and its modules name, as they are sent."""
    wanted, seen, size = ["/"], set[str](), 0
    while wanted:
        path = wanted.pop()
        if path in seen:
            continue
        seen.add(path)
        content = urllib.request.urlopen(url + path, timeout=10).read()  # noqa: S310  http
        size += len(content)
        if not path.endswith((".css", ".svg", ".iife.min.js")):
            wanted += _named(path, content.decode())
    return size


def _named(path: str, text: str) -> list[str]:
    links = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    modules = re.findall(r'from "(\.[^"]+)"', text)
    base = path.rpartition("/")[0]
    return links + [os.path.normpath(f"{base}/{each}") for each in modules]


def _paint(url: str) -> Row:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return {"first_paint_ms": None, "first_figures_ms": None}
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        except Error:
            return {"first_paint_ms": None, "first_figures_ms": None}
        found: dict[str, list[float]] = {"first_paint_ms": [], "first_figures_ms": []}
        for _ in range(5):
            tab = browser.new_context().new_page()
            tab.goto(url)
            tab.wait_for_selector(".tiles dd", timeout=60_000)
            found["first_figures_ms"].append(tab.evaluate("performance.now()"))
            paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found["first_paint_ms"].append(tab.evaluate(paint))
            tab.context.close()
        browser.close()
    return {name: round(statistics.median(values)) for name, values in found.items()}

"""A service with a dashboard and a fleet, as processes, and a browser that looks at it."""

import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from iot_stream.service.broker import free_port
from iot_stream.store import Store
from tests.service.running import NAME, fleet, opened, start_service, write_taught
from tests.waiting import wait_until

TOKEN = "shown-once"
DEVICES = 4
PATIENCE_MS = 60_000  # a busy machine takes long, and how long is not what is tested
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCENARIO = {
    "world": "features",
    "seconds": 1800,
    "labels": {"fraction": 0.5, "delay": "1 s"},
    "schedule": [{"at": "15 s", "regime": "heavy"}],
}


@dataclass
class Site:
    """`url` of the dashboard. `log` is what the service said of itself."""

    config: Path
    url: str
    store: Store
    log: Path
    service: subprocess.Popen[bytes]

    def restart(self) -> None:
        """The service ends in good order and starts again on the same port."""
        self.stop()
        self.service = start_service(self.config, self.log)

    def stop(self) -> None:
        if self.service.poll() is None:
            self.service.send_signal(signal.SIGTERM)
            self.service.wait(30)

    def answers(self) -> bool:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            return bool(urllib.request.urlopen(f"{self.url}/api/about", timeout=5).status == 200)
        return False


@contextmanager
def site(
    folder: Path, broker: str, prefix: str, *, devices: int = DEVICES, **changes: object
) -> Iterator[Site]:
    """All that a person would see in the first minute: devices that predict, labels, a round that ended."""
    path = write_taught(folder, broker, prefix, **changes)
    port = free_port()
    settings = yaml.safe_load(path.read_text()) | {"dashboard": {"port": port, "token": TOKEN}}
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    scenario = folder / "scenario.yml"
    scenario.write_text(yaml.safe_dump(SCENARIO | {"devices": devices}))
    log = folder / "service.log"
    with opened(path) as (_, store):
        running = Site(path, f"http://127.0.0.1:{port}", store, log, start_service(path, log))
        try:
            wait_until(lambda: store.registry.release(NAME, "all", "stable") is not None, "a version", 90)
            with fleet(path, folder, "--scenario", str(scenario)):
                wait_until(running.answers, "the dashboard", 60)
                wait_until(lambda: _whole(store, devices), "predictions, labels and a round", 200)
                yield running
        finally:
            running.stop()


def _whole(store: Store, devices: int) -> bool:
    rounds = [each for each in store.registry.rounds(NAME) if each.ended and each.trigger != "bootstrap"]
    judged = store.overview.predictions_under(NAME, 50)
    return bool(rounds) and len(judged) > 20 and len(store.registry.devices(NAME)) == devices


@contextmanager
def chromium() -> Iterator[Browser]:
    assert CHROMIUM
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Looking:
    """A page of a browser, and what went wrong on it: to be empty at the end, but for what a test expects."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> "Looking":
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        return self

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def show(self, path: str) -> Page:
        """A view, whole: `fleet`, `device/machine-01`."""
        self.page.goto(f"{self.url}/#/{NAME}/{path}")
        self.page.wait_for_selector("main:not([aria-busy]) h1", timeout=20_000)
        return self.page

    def give_token(self) -> None:
        """In the dialog that asks for it."""
        self.page.fill("dialog #token", TOKEN)
        self.page.click("dialog button[type=submit]")

    def findings(self) -> list[str]:
        """Of axe, that are serious or critical: rule, and where."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {[node['target'] for node in each['nodes']][:3]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]

    def too_wide(self) -> bool:
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return wide

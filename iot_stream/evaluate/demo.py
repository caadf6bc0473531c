"""The demo: broker, service and simulator as processes of their own, watched live, judged at the end."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from iot_stream.clock import SECOND, wall
from iot_stream.config import Config, load
from iot_stream.errors import BrokerError, ConfigError, ModelError
from iot_stream.evaluate import live, live_report
from iot_stream.evaluate.live_view import LiveView
from iot_stream.service import broker as brokers
from iot_stream.store import Store
from iot_stream.watch.monitor import Monitor
from simulator.ledger import Ledger

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FIRST_VERSION_S = 90.0
SETTLE_S = 20.0
VIEW_S = 5.0


@dataclass(frozen=True)
class Show:
    """A demo: which example, how the simulator plays it, and what must come out."""

    name: str
    title: str
    subtitle: str
    example: str
    simulator: tuple[str, ...]
    expect: Callable[[dict[str, Any]], list[str]]


def _nothing_amiss(summary: dict[str, Any]) -> list[str]:
    """What went wrong: empty if nothing was lost, doubled or missed, and all devices are up to date."""
    wrong = [
        f"{key} = {summary[key]}"
        for key in (
            "readings_lost",
            "windows_duplicated",
            "readings_missed_in_swaps",
            "unacknowledged_messages",
        )
        if summary[key]
    ]
    if summary["released"] < 2:
        wrong.append(f"released = {summary['released']}, at least 2 are expected")
    running = set(summary["versions_running"].values())
    if running != {summary["newest_version"]}:
        wrong.append(f"devices run versions {sorted(running)}, the newest is {summary['newest_version']}")
    return wrong


def _recovered(summary: dict[str, Any]) -> list[str]:
    wrong = _nothing_amiss(summary)
    after = summary["accuracy_after_recovery"]
    if after is None:
        return [*wrong, "not every device got a version trained on drifted windows"]
    if after["student"] < after["static"] + 0.10:
        wrong.append(f"after recovery student {after['student']} is not static {after['static']} + 0.10")
    if after["student"] < after["teacher"] - 0.05:
        wrong.append(f"after recovery student {after['student']} is not teacher {after['teacher']} − 0.05")
    if summary["recovery_s"] > 30:
        wrong.append(f"recovery_s = {summary['recovery_s']:.1f}, 30 are allowed")
    return wrong


def _better_than_static(summary: dict[str, Any]) -> list[str]:
    wrong = _nothing_amiss(summary)
    for key in ("accuracy_stream", "balanced_stream"):
        if summary[key]["student"] < summary[key]["static"] + 0.07:
            wrong.append(
                f"{key}: student {summary[key]['student']} is not static {summary[key]['static']} + 0.07"
            )
    return wrong


MACHINES = Show(
    "demo",
    "Twelve machines whose load and speed change",
    "A large teacher in the service keeps the small student on each machine right, over a real broker.",
    "bearing",
    ("--scenario", str(EXAMPLES / "bearing" / "scenario.yml")),
    _recovered,
)
OFFICE = Show(
    "office",
    "Is the office occupied? Eight days without a label",
    "A light sensor, read out once a day, teaches a student that has only temperature, humidity and CO₂.",
    "occupancy",
    ("--recordings", "--scenario", str(EXAMPLES / "occupancy" / "scenario.yml")),
    _better_than_static,
)


def run(
    show: Show, target: Path, kind: brokers.Kind, say: Callable[[str], None], stopping: threading.Event
) -> int:
    """Runs the show with its files under `target`; returns the exit code, 0 if all that it promises holds."""
    if not (EXAMPLES / show.example / "config.yml").exists():
        raise ConfigError(
            f"no example {show.example} at {EXAMPLES}; the demo runs from a clone of the repository"
        )
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    began = time.monotonic()
    with brokers.start(target / "broker", kind=kind) as broker:
        say(f"broker   {broker.name} at {broker.url}")
        if broker.limits:
            say(f"         {broker.limits}")
        config_path = _own_config(show, target, broker.url)
        config = load(config_path)
        name, pipeline = next(iter(config.pipelines.items()))
        monitor = Monitor(config, say)
        monitor.start()
        service = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "iot_stream.cli",
                "--quiet",
                "serve",
                "--quiet",
                "--config",
                str(config_path),
            ],
            stdin=subprocess.DEVNULL,
        )
        try:
            store = _first_version(config, name, service, stopping)
            ledger_path = target / "ledger.json"
            with _simulator(show, config_path, ledger_path) as simulator:
                ledger = _watch(simulator, ledger_path, LiveView(store, name, pipeline, say), stopping)
                say("demo     the stream is over; waiting for what is under way")
                _settle(store, name, ledger, stopping)
                result = live.read(store, name, pipeline, ledger, broker.name)
        finally:
            _end(service)
            monitor.stop()
    summary = live.summary(result)
    summary["newest_version"] = result.versions[-1].version
    wrong = show.expect(summary)
    summary["seconds"] = round(time.monotonic() - began, 1)
    (target / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    live_report.write(target / "report.html", show.title, show.subtitle, result, summary)
    _conclude(summary, wrong, target, say)
    return 1 if wrong else 0


def _own_config(show: Show, target: Path, url: str) -> Path:
    """The example's configuration with this run's broker and store, and its recordings where they are."""
    folder = EXAMPLES / show.example
    data = yaml.safe_load((folder / "config.yml").read_text())
    data |= {"broker": url, "store": f"sqlite:{target.resolve() / 'store'}"}
    for pipeline in data["pipelines"].values():
        if files := pipeline["recordings"].get("files"):
            pipeline["recordings"]["files"] = str(folder / files)
    path = target / "config.yml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return path


def _first_version(
    config: Config, name: str, service: subprocess.Popen[bytes], stopping: threading.Event
) -> Store:
    """Waits until the first student is on the broker."""
    store = Store(config.store_place)
    deadline = time.monotonic() + FIRST_VERSION_S
    while store.registry.release(name, "all", "stable") is None:
        if service.poll() is not None or time.monotonic() > deadline:
            raise ModelError("the service brought no first version; its messages above say why")
        if stopping.wait(0.1):
            raise KeyboardInterrupt
    return store


@contextmanager
def _simulator(show: Show, config: Path, ledger: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The fleet; its devices stay connected after the stream, until the block ends."""
    command = [sys.executable, "-m", "simulator", "--config", str(config), *show.simulator]
    command += ["--ledger", str(ledger), "--linger", str(2 * SETTLE_S)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        _end(process)


def _watch(
    simulator: subprocess.Popen[bytes], ledger: Path, view: LiveView, stopping: threading.Event
) -> Ledger:
    """Shows how it goes, to the end of the stream."""
    shown = time.monotonic()
    while not ledger.exists():
        if stopping.wait(0.2):
            raise KeyboardInterrupt
        if simulator.poll() is not None:
            raise BrokerError(
                f"the simulator ended with code {simulator.returncode}; its messages above say why"
            )
        if time.monotonic() - shown >= VIEW_S:
            shown = time.monotonic()
            view.show()
    return Ledger.read(ledger)


def _settle(store: Store, name: str, ledger: Ledger, stopping: threading.Event) -> None:
    """Until what was acknowledged is stored, rivals have spoken on all windows, devices are up to date."""
    expected = sum(block.n for block in ledger.blocks)
    deadline = wall() + int(SETTLE_S * SECOND)
    before = (-1, -1)
    while wall() < deadline and not stopping.wait(0.5):
        now = (sum(store.journal.readings(name).values()), store.registry.output_total(name))
        if now[0] >= expected and now == before and _up_to_date(store, name):
            return
        before = now


def _up_to_date(store: Store, name: str) -> bool:
    newest = store.registry.newest(name, "all")
    return newest is not None and {d.version for d in store.registry.devices(name)} == {newest.version}


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _conclude(summary: dict[str, Any], wrong: list[str], target: Path, say: Callable[[str], None]) -> None:
    def line(key: str) -> str:
        values = summary[key] or {}
        return "  ".join(f"{rival} {value:.3f}" for rival, value in values.items() if value is not None)

    say("")
    say(f"readings    {summary['readings_published']} published, {summary['readings_lost']} lost")
    say(f"windows     {summary['windows']}, {summary['windows_duplicated']} doubled")
    outcomes = f"{summary['released'] - 1} released, {summary['rejected']} rejected, {summary['held']} held"
    say(f"rounds      {summary['rounds']}: {outcomes}")
    say(f"swaps       {summary['swaps']}, {summary['readings_missed_in_swaps']} readings missed")
    for key, what in (
        ("accuracy_before_drift", "before"),
        ("accuracy_after_recovery", "after"),
        ("accuracy_stream", "stream"),
        ("balanced_stream", "balanced"),
    ):
        if summary[key]:
            say(f"{what:11} {line(key)}")
    if summary["recovery_s"] is not None:
        say(f"recovered   {summary['recovery_s']:.1f} s after the first drifted reading")
    say(f"bytes       {summary['bytes_up']} up, {summary['bytes_down_per_device']} down to each device")
    say(f"report      {target / 'report.html'}")
    for what in wrong:
        say(f"FAILED      {what}")

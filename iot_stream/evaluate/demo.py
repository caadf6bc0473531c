"""The demo: broker, service and simulator as processes of their own, watched live, judged at the end."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from iot_stream import topics
from iot_stream.clock import SECOND, wall
from iot_stream.config import Config, load
from iot_stream.errors import BrokerError, ConfigError, ModelError
from iot_stream.evaluate import live, live_report, live_world
from iot_stream.evaluate.live_fleet import LiveFleet
from iot_stream.evaluate.live_view import LiveView
from iot_stream.evaluate.live_world import LiveWorld
from iot_stream.evaluate.sabotage import Sabotage
from iot_stream.mqtt import Message
from iot_stream.service import broker as brokers
from iot_stream.service.broker import free_port
from iot_stream.store import Store
from iot_stream.watch.monitor import Monitor, Seen
from simulator.ledger import Ledger

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
READY_S = 600.0  # a small computer trains the teacher for minutes
SETTLE_S = 60.0
VIEW_S = 5.0
STEP = "· distillation · step "  # of a round, which takes a few seconds and says how it ended


@dataclass(frozen=True)
class Show:
    """A demo: which example, how the simulator plays it, and what must come out. `changes`: what is said
    when the world does as `scenario` has it."""

    name: str
    title: str
    subtitle: str
    example: str
    scenario: str
    expect: Callable[[dict[str, Any]], list[str]]
    config: str = "config.yml"
    options: tuple[str, ...] = ()
    """Of the simulator."""
    changes: str = ""
    meanwhile: Callable[[Store, str], Callable[[Callable[[str], None]], None]] | None = None
    """Made of store and pipeline, and called again and again while the stream runs."""

    @property
    def script(self) -> Path:
        return EXAMPLES / self.example / self.scenario


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
    running = set(summary["versions_running"].values())
    if running != {summary["newest_version"]}:
        wrong.append(f"devices run versions {sorted(running)}, the newest is {summary['newest_version']}")
    return wrong


def _went_on(summary: dict[str, Any]) -> list[str]:
    wrong = _nothing_amiss(summary)
    if not summary["released"]:
        wrong.append("no round released a version")
    return wrong


def _recovered(summary: dict[str, Any]) -> list[str]:
    wrong = _went_on(summary)
    after = summary["accuracy_after_recovery"]
    if after is None:
        return [*wrong, "not every device got a version trained on drifted windows"]
    if None in after.values():
        return [
            *wrong,
            "the stream ended before all had recovered: is this machine busy otherwise?",
        ]
    if after["student"] < after["static"] + 0.10:
        wrong.append(f"after recovery student {after['student']} is not static {after['static']} + 0.10")
    if after["student"] < after["teacher"] - 0.05:
        wrong.append(f"after recovery student {after['student']} is not teacher {after['teacher']} − 0.05")
    if summary["recovery_s"] > 30:
        wrong.append(f"recovery_s = {summary['recovery_s']:.1f}, 30 are allowed")
    return wrong


def _better_than_static(summary: dict[str, Any]) -> list[str]:
    wrong = _went_on(summary)
    for key in ("accuracy_stream", "balanced_stream"):
        if summary[key]["student"] < summary[key]["static"] + 0.07:
            wrong.append(
                f"{key}: student {summary[key]['student']} is not static {summary[key]['static']} + 0.07"
            )
    return wrong


def _taken_back(summary: dict[str, Any]) -> list[str]:
    wrong = _nothing_amiss(summary)
    if list(summary["called_off"]) != [str(summary["newest_version"] + 1)]:
        return [*wrong, f"called off: {summary['called_off'] or 'nothing'}; version 2 is expected"]
    (bad,) = summary["called_off"].values()
    if not 0 < len(bad["ran_on"]) <= summary["devices"] / 2:
        wrong.append(f"the bad version ran on {len(bad['ran_on'])} of {summary['devices']} devices")
    return wrong


MACHINES = Show(
    "demo",
    "Twelve machines whose load and speed change",
    "A large teacher in the service keeps the small student on each machine right, over a real broker.",
    "bearing",
    "scenario.yml",
    _recovered,
    changes="the machines change load and speed; the student does not know this yet",
)
OFFICE = Show(
    "office",
    "Is the office occupied? Eight days without a label",
    "A light sensor, read out once a day, teaches a student that has only temperature, humidity and CO₂.",
    "occupancy",
    "scenario.yml",
    _better_than_static,
    options=("--recordings",),
)


ROLLBACK = Show(
    "rollback",
    "A bad version gets past the gate: it is stopped at the first stage",
    "A quarter of the machines try each version first. One that fails in the field is taken back by itself.",
    "bearing",
    "rollback_scenario.yml",
    _taken_back,
    "rollback.yml",
    meanwhile=Sabotage,
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
        config_path = _own_config(show, target, broker.url, say)
        config = load(config_path)
        name, pipeline = next(iter(config.pipelines.items()))
        ready = threading.Event()
        fleet = LiveFleet(say)

        def show_seen(message: Message, seen: Seen) -> None:
            gathered = seen.kind != "unclear" and fleet.take(message.topic, message.payload)
            if not (gathered or STEP in seen.words):
                say(str(seen))
            if topics.READY in seen.words:
                ready.set()

        monitor = Monitor(config, show_seen)
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
            store = _ready(config, ready, service, stopping)
            ledger_path = target / "ledger.json"
            with _simulator(show, config_path, ledger_path) as simulator:
                view = LiveView(store, name, pipeline, say)
                world = LiveWorld(store, name, live_world.moments(show.script), show.changes, say)
                meanwhile = [fleet.look, world.look]
                if show.meanwhile:
                    meanwhile.append(partial(show.meanwhile(store, name), say))
                ledger = _watch(simulator, ledger_path, view, meanwhile, stopping)
                say("demo     the stream is over; waiting for what is under way")
                with _no_more_rounds(store, name):
                    _settle(store, name, ledger, stopping)
                    result = live.read(store, name, pipeline, ledger, broker.name)
                    _end(service)
        finally:
            _end(service)
            monitor.stop()
    summary = live.summary(result)
    wrong = show.expect(summary)
    summary["seconds"] = round(time.monotonic() - began, 1)
    (target / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    live_report.write(target / "report.html", show.title, show.subtitle, result, summary)
    _conclude(summary, wrong, target, say)
    return 1 if wrong else 0


def _own_config(show: Show, target: Path, url: str, say: Callable[[str], None]) -> Path:
    """The example's configuration with this run's broker and store, and its recordings where they are; with
    a dashboard, where that is installed."""
    folder = EXAMPLES / show.example
    data = yaml.safe_load((folder / show.config).read_text())
    data |= {"broker": url, "store": f"sqlite:{target.resolve() / 'store'}"}
    if find_spec("starlette") and find_spec("uvicorn") and find_spec("sse_starlette"):
        data["dashboard"] = {"port": free_port()}
        say(f"page     http://127.0.0.1:{data['dashboard']['port']} shows it in a browser")
    else:
        say("page     none: pip install 'iot-stream[dashboard]' shows all this in a browser")
    if base := data.get("base"):
        data["base"] = str(folder / base)
    for pipeline in data["pipelines"].values():
        if files := pipeline.get("recordings", {}).get("files"):
            pipeline["recordings"]["files"] = str(folder / files)
    path = target / "config.yml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    return path


def _ready(
    config: Config, ready: threading.Event, service: subprocess.Popen[bytes], stopping: threading.Event
) -> Store:
    """Waits until the first student is on the broker, and its rivals are trained: only then rounds begin."""
    store = Store(config.store_place)
    deadline = time.monotonic() + READY_S
    while not ready.wait(0.1):
        if service.poll() is not None:
            raise ModelError("the service came to no first version; its messages above say why")
        if time.monotonic() > deadline:
            raise ModelError(f"no first version in {READY_S / 60:.0f} min; is this machine busy otherwise?")
        if stopping.is_set():
            raise KeyboardInterrupt
    return store


@contextmanager
def _simulator(show: Show, config: Path, ledger: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The fleet; its devices stay connected after the stream, until the block ends."""
    command = [sys.executable, "-m", "simulator", "--config", str(config), *show.options]
    command += ["--scenario", str(show.script), "--ledger", str(ledger), "--linger", str(2 * SETTLE_S)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        _end(process)


def _watch(
    simulator: subprocess.Popen[bytes],
    ledger: Path,
    view: LiveView,
    meanwhile: Sequence[Callable[[], None]],
    stopping: threading.Event,
) -> Ledger:
    """Shows how it goes, to the end of the stream."""
    shown = time.monotonic()
    while not ledger.exists():
        for each in meanwhile:
            each()
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


@contextmanager
def _no_more_rounds(store: Store, name: str) -> Iterator[None]:
    """What is told of the end would be untrue with the next."""
    store.scope.hold("demo", name, "", wall(), "the demo's stream is over")
    try:
        yield
    finally:
        store.scope.resume(name, "", wall())


def _settle(store: Store, name: str, ledger: Ledger, stopping: threading.Event) -> None:
    """Until what was acknowledged is stored, rivals have spoken on all windows, the last round has ended and
    devices are up to date."""
    expected = sum(block.n for block in ledger.blocks)
    deadline = wall() + int(SETTLE_S * SECOND)
    before = (-1, -1)
    while wall() < deadline and not stopping.wait(0.5):
        now = (sum(store.journal.readings(name).values()), store.registry.output_total(name))
        ended = all(each.ended for each in store.registry.rounds(name))
        if now[0] >= expected and now == before and ended and _up_to_date(store, name):
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
    outcomes = f"{summary['released']} released, {summary['rejected']} rejected, {summary['held']} held"
    say(f"rounds      {summary['rounds']}: {outcomes}")
    say(f"swaps       {summary['swaps']}, {summary['readings_missed_in_swaps']} readings missed")
    for key, what in (
        ("accuracy_before_drift", "before"),
        ("accuracy_after_recovery", "after"),
        ("accuracy_stream", "stream"),
        ("balanced_stream", "balanced"),
    ):
        if values := line(key):
            say(f"{what:11} {values}")
    for version, bad in summary["called_off"].items():
        say(f"called off  version {version}, it ran on {', '.join(bad['ran_on'])}: {bad['why']}")
    if summary["recovery_s"] is not None:
        say(f"recovered   {summary['recovery_s']:.1f} s after the first drifted reading")
    say(f"bytes       {summary['bytes_up']} up, {summary['bytes_down_per_device']} down to each device")
    say(f"report      {target / 'report.html'}")
    for what in wrong:
        say(f"FAILED      {what}")

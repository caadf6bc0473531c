"""The page in the terminal: what it says of a store, and that it runs in a real terminal."""

import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from fcntl import ioctl
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from iot_stream import topics
from iot_stream.clock import wall
from iot_stream.config import Config
from iot_stream.cut import Cut
from iot_stream.mqtt import Connection
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.watch.dashboard.progress import Step
from iot_stream.watch.dashboard.views.marks import Recovery
from iot_stream.watch.dashboard.views.promise import Curve
from iot_stream.watch.monitor import Seen, describe
from iot_stream.watch.terminal.page import done_of, lowest, page, spark
from iot_stream.watch.terminal.shown import Looker, Shown
from iot_stream.windows import Windows
from tests.service.running import NAME, opened, write_config
from tests.streams import START
from tests.waiting import wait_until
from tests.watch.stores import SECOND, end_round, hear, join, release, speak

NOW = datetime(2026, 5, 1, 12)


def drawn(config: Config, store: Store, *, width: int = 120, height: int = 40, paused: bool = False) -> str:
    """The page as text."""
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    looker = Looker(config, store)
    with console.file:
        console.print(page(looker.look(0), width, height, paused=paused, now=NOW), height=height)
        text = console.export_text()
    lines = text.splitlines()
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    return text


def printed(shown: Shown) -> str:
    console = Console(width=120, height=40, record=True, file=io.StringIO())
    console.print(page(shown, 120, 40, paused=False, now=NOW), height=40)
    return console.export_text()


def window(store: Store, cut: Cut, device: str, end: int) -> None:
    times = np.array([end])
    windows = Windows(times - 1, times, np.zeros((1, cut.length, len(cut.inputs)), np.float32))
    with store.write() as tx:
        store.journal.add_windows(tx, NAME, cut.id, [(device, windows, end)])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_config(tmp_path, "mqtt://127.0.0.1:1", "p")


def test_an_empty_store_says_what_to_do_next(place: Path) -> None:
    with opened(place) as (config, store):
        text = drawn(config, store)
    for words in ("no device yet", "`iot-stream device add NAME`", "no round yet", "the broker is not there"):
        assert words in text


def test_the_page_says_what_the_store_says(place: Path) -> None:
    with opened(place) as (config, store):
        cut = config.pipelines[NAME].cut(config.pipelines[NAME].student)
        release(store, 3)
        for i in range(40):
            window(store, cut, f"d-{i % 2}", START + i * SECOND)
            speak(store, f"d-{i % 2}", START + i * SECOND, 1, student=int(i > 9), static=0, teacher=1)
        hear(store, "d-0", "d-1")
        join(store, "d-0", 3)
        join(store, "d-1", 2)
        end_round(store, 1, "released", START, START + SECOND, version=3, gate={"reason": "+0.250 on 40"})
        end_round(store, 2, "rejected", START + 2 * SECOND, START + 3 * SECOND, gate={"reason": "no better"})
        store.scope.hold("test", NAME, "d-0", START, "left its cohort")
        text = drawn(config, store, paused=True)
    for name, share in (("student", "75.0%"), ("static", "0.0%"), ("teacher", "100.0%")):
        assert re.search(rf"{name} +{share} balanced +{share} [▁█]{{40}}", text), text
    assert "Fleet: 2 of 2 online, 1 behind, 1 held" in text
    assert text.index("d-0 held") < text.index("d-1")
    assert "released version 3 +0.250 on 40 (period)" in text
    assert "rejected no better" in text
    assert "paused, p goes on" in text


def test_a_device_that_meets_no_window_and_a_round_that_was_held_say_so(place: Path) -> None:
    with opened(place) as (config, store):
        cut = config.pipelines[NAME].cut(config.pipelines[NAME].student)
        release(store, 1)
        join(store, "d-0", 1)
        for i in range(20):
            window(store, cut, "d-0", START + i * SECOND)
            speak(store, "d-0", START + i * SECOND + 3_000_000, None, student=1)
        end_round(store, 1, "held", START, START + SECOND, gate={"reason": "too few windows"})
        text = drawn(config, store)
    assert "d-0 meets no window" in text
    assert "last: r1: held: too few windows (period)" in text


def test_labels_that_join_no_window_are_counted(place: Path) -> None:
    with opened(place) as (config, store):
        shown = Looker(config, store).look(0)
    shown.promise.by = "teacher"
    assert "for there are no labels" in printed(shown)
    shown.promise.strayed = 1200
    assert "for of 1,200 labels none joined a window" in printed(shown)


@pytest.mark.parametrize(
    ("readings", "numbered", "words"),
    [
        (10, 10, "lost 0 of 10 readings"),
        (10, 4, "lost 0 of 4 numbered readings"),
        (10, 0, "10 readings, not numbered: loss cannot be told"),
    ],
)
def test_loss_is_of_numbered_readings(place: Path, readings: int, numbered: int, words: str) -> None:
    with opened(place) as (config, store):
        shown = Looker(config, store).look(0)
    shown.promise.readings, shown.promise.numbered = readings, numbered
    assert words in printed(shown)


@pytest.mark.parametrize(
    ("recovery", "words"),
    [
        (Recovery("r1", "drift", 8.42, 7, "version 7 on all 2 devices"), "recovered in 8.4 s (all devices)"),
        (
            Recovery("r1", "drift", None, 7, "version 7 is better, and runs on 1 of 2"),
            "7 is better, and runs on 1",
        ),
        (
            Recovery("r1", "drift", None, 0, "version 6 has come since, and was no better"),
            "no better version yet",
        ),
    ],
)
def test_recovered_is_who_runs_a_better_version(place: Path, recovery: Recovery, words: str) -> None:
    with opened(place) as (config, store):
        shown = Looker(config, store).look(0)
    shown.promise.recovery = recovery
    assert words in printed(shown)


@pytest.mark.parametrize(("width", "height"), [(40, 12), (60, 20), (80, 24), (200, 60)])
def test_it_fits_into_every_terminal(place: Path, width: int, height: int) -> None:
    with opened(place) as (config, store):
        join(store, "a device with a name that is long enough to be cut off somewhere in the middle", 3)
        assert "q quit" in drawn(config, store, width=width, height=height)


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [
        ([0.5, 0.75, 1.0], 3, "▁▅█"),
        ([0.5, 0.5, 1.0, 1.0], 2, "▁█"),
        ([0.5, None, 1.0], 3, "▁ █"),
        ([0.2], 5, "▁"),
        ([], 5, ""),
        ([None, None], 1, " "),
    ],
)
def test_a_spark_has_a_block_a_column(values: list[float | None], width: int, shown: str) -> None:
    assert spark(values, width, 0.5) == shown


def test_curves_begin_a_little_under_the_lowest() -> None:
    assert lowest([Curve([0.83, None], [], []), Curve([0.71], [], [])]) == 0.7
    assert lowest([]) == 0.0


@pytest.mark.parametrize(("share", "block"), [(1.0, "█"), (0.6, "▅"), (0.0, "▁")])
def test_flat_curves_stand_at_their_height(share: float, block: str) -> None:
    flat = [share, None, share]
    assert spark(flat, 3, lowest([Curve(flat, [], [])])) == f"{block} {block}"


def test_what_is_left_is_told_by_steps_else_by_the_usual_time() -> None:
    steps = [
        Step(float(at), "progress", "training", f"step {at * 10} of 200, about 9 s left") for at in (1, 5)
    ]
    assert done_of(steps, 0.0, None) == (0.25, pytest.approx(15.0))
    later = [*steps, Step(6.0, "progress", "distillation", "150 steps: soft 0.1")]
    assert done_of(later, 3.0, 12.0) == (0.25, 9.0)
    assert done_of(later, 15.0, 12.0) == (1.0, 0.0)
    assert done_of(later, 3.0, None) is None
    assert done_of([], 0.0, 12.0) is None


# --- as a program ---------------------------------------------------------------------------


class Terminal:
    """A program in a terminal of 40 lines, 120 wide; what it writes."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        command = [sys.executable, "-m", "iot_stream.cli", *arguments]
        # Of the terminal alone it is to learn how large that is.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        environment["TERM"] = "xterm-256color"
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        self.text = ""

    def shows(self, words: str) -> bool:
        while select.select([self._ours], [], [], 0)[0]:
            try:
                self.text += os.read(self._ours, 65536).decode(errors="replace")
            except OSError:  # the program has ended
                break
        return words in self.text

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._ours)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    it = Terminal(*arguments)
    try:
        yield it
    finally:
        it.close()


@pytest.mark.slow
def test_it_lives_in_a_terminal_and_obeys_its_keys(tmp_path: Path, broker: Broker, prefix: str) -> None:
    path = write_config(tmp_path, broker.url, prefix)
    with opened(path) as (config, store), terminal("monitor", "--config", str(path)) as seen:
        wait_until(lambda: seen.shows("Fleet: 0 of 0 online"), "the page", 60)
        join(store, "d-1", 3)
        wait_until(lambda: seen.shows("Fleet: 1 of 1 online"), "the device")
        connection = Connection(config.address, f"{prefix}-test", lambda _: None)
        connection.start()
        event = topics.RoundEvent("progress", "r1", wall(), stage="training", detail="step 20 of 200")
        topic = topics.ROUND.of(prefix=prefix, pipeline=NAME, round="r1")
        connection.publish_and_wait(topic, topics.encode(event))
        connection.stop()
        wait_until(lambda: seen.shows("step 20 of 200"), "what was heard")
        seen.press("p")
        wait_until(lambda: seen.shows("paused, p goes on"), "the pause")
        seen.press("q")
        wait_until(lambda: not seen.shows("\0") and seen.process.poll() is not None, "the end")
        assert seen.process.returncode == 0


@pytest.mark.slow
def test_what_goes_wrong_stands_below_the_page(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://127.0.0.1:1", "p")
    with opened(path), terminal("monitor", "--config", str(path)) as seen:
        wait_until(lambda: seen.shows("Fleet: 0 of 0 online"), "the page", 60)
        wait_until(lambda: seen.shows("127.0.0.1:1 is not there; trying again"), "the trouble")
        begin = seen.text.index("\033[?1049h")  # of the page, before which nothing is said
        assert "is not there" not in seen.text[:begin]


@pytest.mark.slow
def test_without_a_store_there_are_lines(tmp_path: Path, broker: Broker, prefix: str) -> None:
    path = write_config(tmp_path, broker.url, prefix)
    with terminal("monitor", "--config", str(path)) as seen:
        wait_until(lambda: seen.shows("there is no store at"), "why there are lines", 60)
        assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_through_a_pipe_each_message_is_an_object(tmp_path: Path, broker: Broker, prefix: str) -> None:
    path = write_config(tmp_path, broker.url, prefix)
    with opened(path) as (config, _):
        connection = Connection(config.address, f"{prefix}-test", lambda _: None)
    connection.start()
    levels = {"prefix": prefix, "pipeline": NAME, "device": "d-1", "cohort": "all", "slot": "stable"}
    status = topics.encode(topics.Status(online=True, version=4))
    connection.publish_and_wait(topics.STATUS.of(**levels), status, retain=True)
    connection.publish_and_wait(topics.BUNDLE.of(**levels), b"\xff" * 70, retain=True)
    connection.publish_and_wait(topics.REPORT.of(**levels), b"{", retain=True)
    connection.stop()
    process = subprocess.Popen(
        [sys.executable, "-m", "iot_stream.cli", "monitor", "--json", "--config", str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = {}
    while len(found) < 3:
        event = json.loads(process.stdout.readline())
        assert event.pop("time")
        found[event["kind"]] = event
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert found["device"] == {
        "kind": "device",
        "about": "d-1",
        "words": "online, version 4",
        "topic": topics.STATUS.of(**levels),
        "retained": True,
        "payload": {"online": True, "version": 4},
    }
    assert found["model"]["bytes"] == 70
    assert found["unclear"]["bytes"] == 1


def test_the_page_of_the_docs_shows_such_an_object() -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("\n```")[0])
    assert shown.keys() == {"time", *Seen._fields, "topic", "retained", "payload"}
    seen = describe(shown["topic"], json.dumps(shown["payload"]).encode())
    assert seen == Seen(shown["kind"], shown["about"], shown["words"])


@pytest.mark.parametrize(
    ("topic", "message", "words"),
    [
        (topics.STATUS, topics.Status(True), "online, no version yet"),
        (
            topics.REPORT,
            topics.Report("applied", 1, 1, swap_us=20.4),
            "version 1 as its first, swapped in 20 µs",
        ),
        (topics.REPORT, topics.Report("applied", 1, 2, 1, swap_us=20.4), "version 2 for 1, swapped in 20 µs"),
    ],
)
def test_what_a_device_says_of_its_version(topic: topics.Topic, message: msgspec.Struct, words: str) -> None:
    seen = describe(topic.of(prefix="iot", pipeline="p", device="pump"), topics.encode(message))
    assert seen == Seen("device", "pump", words)

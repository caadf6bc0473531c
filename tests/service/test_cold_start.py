"""A first student without recordings, once enough was taught; a teacher that is away for a while."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import yaml

from iot_stream.config import Config, Network, Pipeline, load
from iot_stream.errors import ConfigError, NotTaughtYet
from iot_stream.ingest.cutter import Cutter
from iot_stream.ingest.intake import Intake
from iot_stream.service import bootstrap, learning
from iot_stream.service.bootstrap import Bootstrap
from iot_stream.service.broker import Broker
from iot_stream.service.distiller import Distiller
from iot_stream.service.rounds import Rounds
from iot_stream.store import Store
from tests.waiting import wait_until

NAME = "office"
FACTORY = """
import pathlib
import numpy as np

def build(length, channels, classes, seed, *, path):
    def speak(x):
        if pathlib.Path(path).exists():
            raise TimeoutError("asked in vain")
        high = x.mean(axis=(1, 2)) > 0
        said = np.stack([1.0 - 2 * high, 2.0 * high - 1], axis=1)
        said[x.mean(axis=(1, 2)) == -1.015625] = np.nan
        return said
    return speak
"""


def write_config(folder: Path, url: str = "mqtt://localhost", prefix: str = "p") -> Path:
    (folder / "away_at_times.py").write_text(FACTORY)
    pipeline = {
        "sources": [
            {"topic": f"{prefix}/{{device}}", "format": "json", "time": "$.at", "channels": {"t": "$.t"}}
        ],
        "window": {"length": 1, "lateness": "1 ms"},
        "clock": "stream",
        "task": {"classify": ["low", "high"]},
        "teacher": {"factory": "away_at_times:build", "channels": ["t"], "path": str(folder / "away")},
        "student": {"arch": "mlp", "channels": ["t"]},
        "distill": {"first_steps": 50, "steps": 10},
        "triggers": {"every": "1 day"},
    }
    config = {"broker": url, "prefix": prefix, "store": f"sqlite:{folder / 'store'}"}
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config | {"pipelines": {NAME: pipeline}}))
    return path


@pytest.fixture
def path(broker: Broker, prefix: str, tmp_path: Path) -> Path:
    return write_config(tmp_path, broker.url, prefix)


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(load(path).store_place)
    yield opened
    opened.close()


def windows(number: int, high: int) -> Bootstrap:
    """The first `high` of them high."""
    rng = np.random.default_rng(number)
    t = np.where(np.arange(number) < high, 1, -1) + 0.1 * rng.standard_normal(number)
    x = t[:, None, None].astype(np.float32)
    times = np.arange(number, dtype=np.int64)
    return Bootstrap(np.full(number, "d"), times, times, x, x, np.full(number, -1))


def prepared(store: Store, pipeline: Pipeline, folder: Path, heard: Bootstrap) -> learning.Prepared:
    return learning.prepare(store.registry, NAME, pipeline, folder, lambda *_: None, lambda: heard)


@pytest.mark.slow
def test_the_first_student_learns_from_the_first_that_was_taught_and_stays(store: Store, path: Path) -> None:
    pipeline, folder = load(path).pipelines[NAME], path.parent
    for number, high, so_far in [
        (0, 0, "0 low, 0 high"),
        (59, 30, "29 low, 30 high"),
        (900, 2, "898 low, 2 high"),
    ]:
        with pytest.raises(
            NotTaughtYet, match=f"60 windows of at least two classes are needed, so far {so_far}"
        ):
            prepared(store, pipeline, folder, windows(number, high))
    first = prepared(store, pipeline, folder, windows(80, 40))
    assert (
        first.first.model().logits(windows(80, 40).student_x).argmax(axis=1) == np.repeat([1, 0], 40)
    ).mean() > 0.95
    later = prepared(store, pipeline, folder, windows(500, 250))
    assert later.first == first.first
    np.testing.assert_array_equal(later.learner.bootstrap.x, first.learner.bootstrap.x)
    assert later.learner.bootstrap.devices.tolist() == ["d"] * 80


def test_a_topic_that_has_said_nothing_of_the_windows_is_named(store: Store, path: Path) -> None:
    teacher = Network.parse({"topic": "hall/{device}", "value": "$.seen"})
    pipeline = msgspec.structs.replace(load(path).pipelines[NAME], teacher=teacher)
    heard = windows(70, 30)
    unheard = replace(heard, teacher_x=np.full((70, 1, 2), np.nan, np.float32))
    told = r"so far 0 low, 0 high; 70 windows have come, none that a word on hall/\{device\} belongs to"
    with pytest.raises(NotTaughtYet, match=told):
        prepared(store, pipeline, path.parent, unheard)


def test_replay_says_that_a_recording_is_needed(store: Store, path: Path) -> None:
    with pytest.raises(ConfigError, match=r"office\.recordings\.bootstrap: nothing to learn from"):
        learning.prepare(store.registry, NAME, load(path).pipelines[NAME], path.parent, lambda *_: None)


def listening(path: Path, store: Store) -> Callable[..., None]:
    """A collector by hand, that is told a device's readings from one number to another, a second apart."""
    config = load(path)
    intake = Intake(config, store)
    cutters = [
        Cutter(store, NAME, config.pipelines[NAME], *each) for each in config.pipelines[NAME].cuts.items()
    ]
    begin = 1_767_225_600_000_000_000

    def hear(first: int, last: int, device: str = "d", otherwise: float = -1) -> None:
        with store.write() as tx:
            for k in range(first, last):
                at = begin + k * 10**9
                intake.clocks[NAME].advance(at)
                said = json.dumps(
                    {"t": 1 if k % 7 < 3 else -1 if k % 7 < 5 else otherwise, "at": at}
                ).encode()
                intake.take(tx, f"{config.prefix}/{device}", said)
            intake.conclude(tx)
        for cutter in cutters:
            with store.write() as tx:
                cutter.advance(tx)

    return hear


@pytest.mark.slow
def test_what_taught_the_first_student_is_no_reason_for_a_round(store: Store, path: Path) -> None:
    config, hear = load(path), listening(path, store)

    def look(rounds: Rounds) -> list[str]:
        look_once(rounds)
        return [each.trigger for each in store.registry.rounds(NAME)]

    hear(0, 200)
    rounds = rounds_of(config, store, path)
    assert look(rounds) == look(rounds) == ["bootstrap"]
    hear(200, 300)
    assert look(rounds) == ["bootstrap"]  # 120 more are needed: twice `gate.n_min`
    assert look(rounds_of(config, store, path)) == ["bootstrap"]
    hear(300, 330)
    assert look(rounds_of(config, store, path)) == ["bootstrap", "period"]


@pytest.mark.slow
def test_windows_without_a_word_are_no_reason_for_a_round(store: Store, path: Path) -> None:
    path.write_text(path.read_text().replace("every: 1 day", "windows: 120"))
    config, hear = load(path), listening(path, store)
    hear(0, 200)
    rounds = rounds_of(config, store, path)
    look_once(rounds)
    hear(200, 265)
    hear(200, 265, "e", otherwise=-1.015625)  # the teacher says nothing of two sevenths of them
    for each in (rounds, rounds_of(config, store, path)):
        look_once(each)
        assert [each.trigger for each in store.registry.rounds(NAME)] == ["bootstrap"]
    hear(265, 300)
    look_once(rounds_of(config, store, path))
    (ended,) = [each for each in store.registry.rounds(NAME) if each.trigger == "windows"]
    assert ended.report["gate"]["windows"] >= 60


@pytest.mark.slow
def test_what_a_device_says_late_is_new_to_a_round_that_others_are_ahead_of(store: Store, path: Path) -> None:
    path.write_text(path.read_text().replace("every: 1 day", "windows: 120"))
    config, hear = load(path), listening(path, store)
    rounds = rounds_of(config, store, path)
    hear(0, 200)
    look_once(rounds)
    for ahead, behind in (((200, 272), (200, 250)), ((272, 322), (250, 322))):
        hear(*ahead)
        hear(*behind, "e")
        look_once(rounds)
    ended = [each for each in store.registry.rounds(NAME) if each.trigger == "windows"]
    assert [each.report["gate"]["windows"] for each in ended] == [60, 61]  # half of what is new
    hear(322, 384)
    hear(322, 384, "e")
    look_once(rounds_of(config, store, path))  # the process was started again: no round is known by heart
    assert store.registry.rounds(NAME)[-1].report["gate"]["windows"] == 60


def rounds_of(config: Config, store: Store, path: Path) -> Rounds:
    nobody = SimpleNamespace(publish=lambda *_: None)
    return Rounds(config, store, NAME, config.pipelines[NAME], path.parent, nobody)


def look_once(rounds: Rounds) -> None:
    assert rounds.ready()
    rounds.score()
    rounds.step()


@pytest.mark.slow
def test_windows_wait_for_a_teacher_that_is_away(store: Store, path: Path) -> None:
    config, hear = load(path), listening(path, store)

    def spoken() -> int:
        versions = store.registry.versions(NAME)
        return (
            store.registry.output_count(NAME, f"teacher:{versions[0].provenance['teacher'][:16]}")
            if versions
            else 0
        )

    hear(0, 200)
    stopping = threading.Event()
    distiller = Distiller(config, store, path.parent)
    running = threading.Thread(target=distiller.run, args=(stopping,), name="distiller")
    running.start()
    try:
        wait_until(lambda: spoken() > 150, "the teacher has spoken", 60)
        before = spoken()
        (path.parent / "away").touch()
        hear(200, 400)
        wait_until(lambda: store.registry.output_count(NAME, _static(store)) > before + 150, "static has", 60)
        assert spoken() == before
        (path.parent / "away").unlink()
        wait_until(lambda: spoken() > before + 150, "nothing was lost", 60)
    finally:
        stopping.set()
        running.join(60)


def _static(store: Store) -> str:
    return f"static:{store.registry.versions(NAME)[0].provenance['teacher'][:16]}"


def test_windows_of_both_sides_are_put_together_by_device_and_start(store: Store, path: Path) -> None:
    nothing = bootstrap.nothing(load(path).pipelines[NAME])
    assert nothing.student_x.shape == nothing.teacher_x.shape == (0, 1, 1)

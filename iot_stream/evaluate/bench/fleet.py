"""`python -m iot_stream.evaluate.bench.fleet TASK`: writes into a store what a service would for a fleet, a
second's worth every second: readings, windows, what devices and the teacher said of them, late labels."""

import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from iot_stream.clock import SECOND, wall
from iot_stream.columns import Columns
from iot_stream.config import Config, Pipeline, load
from iot_stream.evaluate.bench.process import Task, main, say, wait_for_go
from iot_stream.readings import Block, Label
from iot_stream.store import Store
from iot_stream.store.journal import Prediction
from iot_stream.store.registry import Device, Version
from iot_stream.windows import Windows

PIPELINE = "bench"
TEACHER = "t" * 64
EVERY_S = 10  # a window of each device
LABELLED = 0.1  # of the windows, when they are as old as this many seconds
LATE_S = 5
RIGHT = {"student": 0.95, "static": 0.7, "teacher": 0.97}


def name(device: int) -> str:
    return f"machine-{device:05d}"


def configuration(folder: Path, broker: str) -> Path:
    path = folder / "config.yml"
    path.write_text(
        f"broker: {broker}\nstore: sqlite:{folder / 'store'}\nprefix: bench\npipelines:\n  {PIPELINE}:\n"
        "    sources:\n      - channels: {x: x, y: y}\n    window: {length: 10, hop: 10, gap: 5 s}\n"
        "    task: {classify: [good, worn]}\n    teacher: {arch: mlp}\n    student: {arch: mlp}\n"
    )
    return path


class Writer:
    """A reading a second and a window every ten of each device; each device has its own second of ten."""

    def __init__(self, config: Config, store: Store, devices: int) -> None:
        pipeline: Pipeline = config.pipelines[PIPELINE]
        self._store, self._devices = store, devices
        self._cut = pipeline.cut(pipeline.student)
        self._rng = np.random.default_rng(0)
        self._due: list[tuple[int, Label]] = []

    def begin(self) -> None:
        """A version that all devices run."""
        with self._store.write() as tx:
            self._store.registry.add_version(
                tx,
                Version(PIPELINE, "all", 1, "r0", wall(), "g", "s", "w", "int8", "f", {"teacher": TEACHER}),
            )
        self._store.registry.set_teacher(PIPELINE, TEACHER)
        for device in range(self._devices):
            self._store.registry.save_device(PIPELINE, Device(name(device), "all", True, 1, wall()), "{}")

    def second(self, at: int) -> None:
        """What came in the second that ends `at` (ns)."""
        readings = np.zeros((1, 2), np.float32)
        blocks = [
            Block(name(device), ("x", "y"), np.array([at], np.int64), readings, "boot", at // SECOND)
            for device in range(self._devices)
        ]
        speaking = range(at // SECOND % EVERY_S, self._devices, EVERY_S)
        truth = self._rng.integers(0, 2, len(speaking))
        start, x = at - 9 * SECOND, np.zeros((1, 10, 2), np.float32)
        with self._store.write() as tx:
            journal = self._store.journal
            journal.append(tx, PIPELINE, Columns.of(blocks), at)
            window = Windows(np.array([start], np.int64), np.array([at], np.int64), x)
            found = [(name(device), window, at) for device in speaking]
            journal.add_windows(tx, PIPELINE, self._cut.id, found)
            said = self._said("student", truth)
            predictions = [
                Prediction(name(d), at, 1, int(c), 0.9) for d, c in zip(speaking, said, strict=True)
            ]
            journal.add_predictions(tx, PIPELINE, predictions, at)
            for model in ("static", "teacher"):
                logits = np.eye(2, dtype=np.float32)[self._said(model, truth)]
                rows = [
                    (PIPELINE, f"{model}:{TEACHER[:16]}", name(d), at, start, at, row.tobytes())
                    for d, row in zip(speaking, logits, strict=True)
                ]
                self._store.registry.add_outputs(tx, rows)
            chosen = self._rng.random(len(speaking)) < LABELLED
            self._due += [
                (at + LATE_S * SECOND, Label(name(d), at, at, int(t)))
                for d, t, c in zip(speaking, truth, chosen, strict=True)
                if c
            ]
            for _, label in [each for each in self._due if each[0] <= at]:
                journal.add_label(tx, PIPELINE, label, at)
            self._due = [each for each in self._due if each[0] > at]
            if at // SECOND % EVERY_S == 0:
                journal.save_known(tx, PIPELINE)

    def _said(self, model: str, truth: np.ndarray) -> np.ndarray:
        wrong = self._rng.random(len(truth)) > RIGHT[model]
        return np.where(wrong, 1 - truth, truth)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def work(task: Task) -> None:
    config = load(Path(task["config"]))
    store = Store(config.store_place)
    writer = Writer(config, store, task["devices"])
    writer.begin()
    at = wall() // SECOND * SECOND - task["past"] * SECOND
    for _ in range(task["past"]):
        at += SECOND
        writer.second(at)
    say(ready=True)
    wait_for_go()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        at += SECOND
        time.sleep(max(0.0, (at - wall()) / SECOND))
        writer.second(at)


if __name__ == "__main__":
    main(work)

"""A store as a service would leave it, filled by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from iot_stream.columns import Columns
from iot_stream.config import Config, load
from iot_stream.readings import Block, Label
from iot_stream.store import Store
from iot_stream.store.journal import Prediction
from iot_stream.store.registry import Device, Round, Version
from iot_stream.watch.figures import Figures
from iot_stream.watch.metrics import Sample
from tests.service.running import NAME, write_config
from tests.streams import START

SECOND = 10**9
KEY = "k" * 64


def configured(folder: Path, **metrics: int) -> Config:
    path = write_config(folder, "mqtt://localhost", "p")
    if metrics:
        path.write_text(path.read_text() + f"metrics: {json.dumps(metrics)}\n")
    return load(path)


def hear(store: Store, *devices: str, count: int = 2, arrived: int = START) -> None:
    """So many readings of each."""
    times = START + np.arange(count) * SECOND
    blocks = [Block(name, ("a",), times, np.zeros((count, 1), np.float32)) for name in devices]
    with store.write() as tx:
        store.journal.append(tx, NAME, Columns.of(blocks), arrived)


def join(store: Store, device: str, version: int, *, online: bool = True, cohort: str = "all") -> None:
    store.registry.save_device(NAME, Device(device, cohort, online, version, START), "{}")


def end_round(store: Store, number: int, outcome: str, started: int, ended: int, **report: Any) -> None:
    row = Round(f"r{number}", NAME, report.pop("cohort", "all"), "period", started, ended, 0, outcome, report)
    with store.write() as tx:
        store.registry.save_round(tx, row)


def release(store: Store, version: int, cohort: str = "all", bundle: bytes = b"x" * 10) -> None:
    with store.write() as tx:
        store.registry.add_version(
            tx,
            Version(NAME, cohort, version, "r", START, "g", "s", "w", "int8", "f", {"teacher": KEY}),
        )
    store.registry.save_release(NAME, cohort, "stable", version, bundle)
    store.registry.set_teacher(NAME, KEY)


def speak(store: Store, device: str, end: int, truth: int | None, **said: int | None) -> None:
    """One window: its label, and the class that each model names of two; a model of None says nothing."""
    with store.write() as tx:
        if truth is not None:
            store.journal.add_label(tx, NAME, Label(device, end, end, truth), end)
        if (student := said.pop("student", None)) is not None:
            store.journal.add_predictions(tx, NAME, [Prediction(device, end, 1, student, 0.9)], end)
        for model, named in said.items():
            logits = np.full(2, np.nan) if named is None else np.eye(2)[named]
            row = (
                NAME,
                f"{model}:{KEY[:16]}",
                device,
                end,
                end - 1,
                end,
                logits.astype(np.float32).tobytes(),
            )
            store.registry.add_outputs(tx, [row])


def shown(figures: Figures, name: str) -> dict[tuple[str, ...], float]:
    """Labels after the pipeline → value, of one metric."""
    found: list[Sample] = [each for each in figures.samples() if each.name == name]
    return {each.labels[1:]: each.value for each in found}

from pathlib import Path

import numpy as np
import pytest

from iot_stream.config import Network, Pipeline, Source, Task, Window
from iot_stream.evaluate.scores import collect
from iot_stream.readings import Label
from iot_stream.store import Store
from iot_stream.store.journal import Prediction
from iot_stream.windows import Windows

PIPELINE = Pipeline(
    window=Window(length=1),
    task=Task(classify=("a", "b")),
    sources=(Source(channels={"x": "x"}),),
    student=Network("mlp", ("x",)),
)


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path)
    yield store
    store.close()


def _windows(store: Store, ends: list[int], arrived: list[int]) -> None:
    cut = PIPELINE.cut(PIPELINE.student)
    with store.write() as tx:
        for end, came in zip(ends, arrived, strict=True):
            times = np.array([end], np.int64)
            windows = Windows(times, times, np.zeros((1, 1, 1), np.float32))
            store.journal.add_windows(tx, "p", cut.id, [("d", windows, came)])


def _word(model: str, end: int, arrived: int, value: int) -> tuple:
    return ("p", f"{model}:key", "d", end, end, arrived, np.eye(2, dtype=np.float32)[value].tobytes())


def test_collect_joins_everyone_by_device_and_end(store):
    _windows(store, [10, 20], [10, 20])
    with store.write() as tx:
        store.registry.add_outputs(tx, [_word("teacher", 10, 10, 1), _word("static", 20, 20, 1)])
        store.journal.add_predictions(tx, "p", [Prediction("d", 20, 3, 0, 0.9)], 20)
    scores = collect(store, "p", PIPELINE, [Label("d", 0, 15, 1)], "key")
    assert scores.truth.tolist() == [1, -1]
    assert scores.said["teacher"].tolist() == [1, -1]
    assert scores.said["static"].tolist() == [-1, 1]
    assert scores.said["student"].tolist() == [-1, 0]
    assert scores.versions.tolist() == [0, 3]


def test_persistence_repeats_the_newest_word_that_has_arrived(store):
    # The teacher's words on 10 and 20 come in one batch at 25: before it persistence says nothing.
    _windows(store, [10, 20, 30, 40], [10, 20, 30, 40])
    with store.write() as tx:
        store.registry.add_outputs(tx, [_word("teacher", 10, 25, 0), _word("teacher", 20, 25, 1)])
    assert collect(store, "p", PIPELINE, [], "key").said["persistence"].tolist() == [-1, -1, 1, 1]


def test_persistence_never_hears_the_word_on_the_window_itself(store):
    _windows(store, [10, 20], [10, 20])
    with store.write() as tx:
        store.registry.add_outputs(tx, [_word("teacher", 10, 10, 1), _word("teacher", 20, 20, 0)])
    assert collect(store, "p", PIPELINE, [], "key").said["persistence"].tolist() == [-1, 1]

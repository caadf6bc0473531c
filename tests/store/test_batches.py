"""Windows in batches, with all that is known of them, on both engines."""

from pathlib import Path

import numpy as np

from iot_stream.config import Pipeline, load
from iot_stream.readings import Label
from iot_stream.store import Store
from iot_stream.store.batches import Batch, batches
from iot_stream.store.journal import Prediction
from iot_stream.windows import Windows
from tests.service.running import NAME, write_config
from tests.streams import START
from tests.watch.stores import KEY, SECOND, release


def pipeline(folder: Path) -> Pipeline:
    return load(write_config(folder, "mqtt://localhost", "p")).pipelines[NAME]


def fill(store: Store, settings: Pipeline, count: int) -> None:
    """Windows of two devices in turn, an end a second; the teacher names class 1 of every third, the device
    of every fourth; labels hold for ten seconds each."""
    cut = settings.cut(settings.student)
    ends = START + np.arange(count) * SECOND
    x = np.arange(count * cut.length * len(cut.inputs), dtype=np.float32)
    x = x.reshape(count, cut.length, len(cut.inputs))
    release(store, 1)
    with store.write() as tx:
        for i, end in enumerate(ends.tolist()):
            device = f"d-{i % 2}"
            windows = Windows(np.array([end - SECOND]), np.array([end]), x[i : i + 1])
            store.journal.add_windows(tx, NAME, cut.id, [(device, windows, end)])
            if i % 3 == 0:
                row = (NAME, f"teacher:{KEY[:16]}", device, end, end - SECOND, end)
                store.registry.add_outputs(tx, [(*row, np.array([0, 1], np.float32).tobytes())])
            if i % 4 == 0:
                store.journal.add_predictions(tx, NAME, [Prediction(device, end, 7, 1, 0.75)], end)
        for i in range(0, count, 20):
            begin = int(ends[0]) + i * SECOND
            store.journal.add_label(tx, NAME, Label("d-0", begin, begin + 9 * SECOND, i // 20 % 2), begin)


def test_each_window_has_what_is_known_of_it(store: Store, tmp_path: Path) -> None:
    settings = pipeline(tmp_path)
    fill(store, settings, 50)
    parts = list(batches(store, NAME, settings, settings.student, size=16))
    assert [len(each) for each in parts] == [16, 16, 16, 2]
    found = Batch.together(parts)
    rows = np.arange(50)
    np.testing.assert_array_equal(found.ends, START + rows * SECOND)
    np.testing.assert_array_equal(found.x[:, 0, 0], 40.0 * rows)
    assert found.devices.tolist() == [f"d-{i % 2}" for i in rows]
    np.testing.assert_array_equal(found.teacher, np.where(rows % 3 == 0, 1, -1))
    np.testing.assert_array_equal(found.said, np.where(rows % 4 == 0, 1, -1))
    np.testing.assert_array_equal(found.versions, np.where(rows % 4 == 0, 7, 0))
    np.testing.assert_array_equal(found.p, np.where(rows % 4 == 0, 0.75, np.nan).astype(np.float32))
    labelled = (rows % 2 == 0) & (rows % 20 < 10)
    np.testing.assert_array_equal(found.labels, np.where(labelled, rows // 20 % 2, -1))


def test_the_newest_are_the_last_and_a_full_last_batch_is_not_followed_by_an_empty_one(
    store: Store, tmp_path: Path
) -> None:
    settings = pipeline(tmp_path)
    fill(store, settings, 32)
    assert [len(each) for each in batches(store, NAME, settings, settings.student, size=16)] == [16, 16]
    (newest,) = batches(store, NAME, settings, settings.student, newest=5)
    np.testing.assert_array_equal(newest.ends, START + np.arange(27, 32) * SECOND)


def test_where_nothing_is_stored_there_is_one_batch_of_none(store: Store, tmp_path: Path) -> None:
    settings = pipeline(tmp_path)
    (nothing,) = batches(store, NAME, settings, settings.student)
    assert nothing.x.shape == (0, 4, 10)

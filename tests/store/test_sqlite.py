"""The file itself: durable, bounded by its disk, opened by all parts at once."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from iot_stream.errors import StoreError
from iot_stream.store import Store
from iot_stream.store import sqlite as engine
from iot_stream.store.migrations import STEPS

SPAWN = multiprocessing.get_context("spawn")


def test_a_new_store_has_the_newest_schema_and_is_durable(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "store")
    assert store.one("PRAGMA user_version") == len(STEPS)
    assert store.one("PRAGMA journal_mode") == "wal"
    assert store.one("PRAGMA synchronous") == 2  # FULL
    store.close()


def test_a_folder_that_cannot_be_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/store.*is the folder writable"):
        Store(tmp_path / "file" / "store")


def test_a_full_disk_is_a_store_error_and_then_over(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.read(f"PRAGMA max_page_count = {store.one('PRAGMA page_count')}")
    with pytest.raises(StoreError, match="full"), store.write() as tx:
        store.registry.put_artifact(tx, b"x" * 1_000_000)
    store.read("PRAGMA max_page_count = 1000000")
    with store.write() as tx:
        store.registry.put_artifact(tx, b"x" * 1_000_000)
    store.close()


def test_a_lock_held_too_long_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_MS", 50)
    store = Store(tmp_path)
    other = sqlite3.connect(store.place, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"), store.write():
        pass
    other.execute("ROLLBACK")
    other.close()
    with store.write() as tx:
        store.faults.count(tx, "p", "d", "late")
    store.close()


def _open(folder: str) -> str:
    try:
        Store(Path(folder)).close()
    except StoreError as error:
        return str(error)
    return "opened"


def test_all_parts_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    with SPAWN.Pool(4) as pool:
        for i in range(10):
            assert pool.map(_open, [str(tmp_path / str(i))] * 4) == ["opened"] * 4


def test_retention_does_not_read_what_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for table, columns in (
        ("journal", "id"),
        ("windows", "id"),
        ("labels", "id"),
        ("predictions", "time"),
    ):
        plan = store.read(
            f"EXPLAIN QUERY PLAN SELECT {columns} FROM {table} WHERE pipeline = 'p' AND arrived < 5"
        )
        assert f"USING COVERING INDEX {table}_by_age (pipeline=? AND arrived<?)" in str(plan)
    store.close()

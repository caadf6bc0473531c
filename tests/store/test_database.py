"""The file itself: migrations, transactions, several processes."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from iot_stream.errors import StoreError
from iot_stream.readings import Label
from iot_stream.store import Store, database
from iot_stream.store.migrations import STEPS

SPAWN = multiprocessing.get_context("spawn")


def schema(store: Store) -> int:
    return int(store.one("PRAGMA user_version"))


def test_a_new_store_has_the_newest_schema_and_is_durable(tmp_path: Path) -> None:
    store = Store(tmp_path / "a" / "store")
    assert schema(store) == len(STEPS)
    assert store.one("PRAGMA journal_mode") == "wal"
    assert store.one("PRAGMA synchronous") == 2  # FULL
    store.close()


def test_a_store_is_opened_again_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    number = store.registry.command("ann", "distill", "office")
    store.close()
    again = Store(tmp_path)
    assert again.registry.outcome(number) == ("open", "")
    again.close()


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.write() as tx:
        tx.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    store.close()
    with pytest.raises(StoreError, match="from a newer iot-stream"):
        Store(tmp_path)


def test_a_step_that_fails_leaves_the_former_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).close()
    monkeypatch.setattr(database, "STEPS", [*STEPS, "CREATE TABLE extra (x); CREATE TABLE journal (x)"])
    with pytest.raises(StoreError, match="table journal already exists"):
        Store(tmp_path)
    monkeypatch.setattr(database, "STEPS", [*STEPS, "CREATE TABLE extra (x)"])
    store = Store(tmp_path)
    assert schema(store) == len(STEPS) + 1
    store.close()


def test_a_folder_that_cannot_be_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/store.*is the folder writable"):
        Store(tmp_path / "file" / "store")


def test_write_is_all_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyError), store.write() as tx:  # noqa: PT012  the transaction is what is tested
        store.journal.count(tx, "p", "d", "late", 3)
        raise KeyError
    assert store.journal.counters("p") == []
    with store.write() as tx:
        store.journal.count(tx, "p", "d", "late", 3)
    assert store.journal.counters("p") == [("d", "late", 3)]
    store.close()


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
    monkeypatch.setattr(database, "BUSY_MS", 50)
    store = Store(tmp_path)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"), store.write():
        pass
    other.execute("ROLLBACK")
    other.close()
    with store.write() as tx:
        store.journal.count(tx, "p", "d", "late")
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


def _write_labels(folder: str, count: int) -> None:
    store = Store(Path(folder))
    for i in range(count):
        with store.write() as tx:
            store.journal.add_label(tx, "p", Label.at("d", i, 0), i)
    store.close()


def _write_events(folder: str, count: int) -> None:
    store = Store(Path(folder))
    for i in range(count):
        store.registry.add_event("p", "d", "applied", i, i, "{}")
    store.close()


def test_two_processes_write_different_tables_at_once(tmp_path: Path) -> None:
    count = 150
    writers = [
        SPAWN.Process(target=kind, args=(str(tmp_path), count)) for kind in (_write_labels, _write_events)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    store = Store(tmp_path)
    assert len(store.journal.labels("p")) == count
    assert [version for _, _, _, version, _, _ in store.registry.events("p")] == list(range(count))
    store.close()

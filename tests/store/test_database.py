"""What both engines promise: migrations, transactions, several processes."""

import multiprocessing
from pathlib import Path

import pytest

from iot_stream.errors import StoreError
from iot_stream.readings import Label
from iot_stream.store import Store, migrations
from tests.store.conftest import opened

SPAWN = multiprocessing.get_context("spawn")
NEWER = [*migrations.STEPS, "CREATE TABLE extra (x INTEGER)"]
BROKEN = [*migrations.STEPS, "CREATE TABLE extra (x INTEGER); CREATE TABLE journal (x INTEGER)"]


def test_a_store_is_opened_again_as_it_was(place: Path | str) -> None:
    with opened(place) as store:
        number = store.registry.command("ann", "distill", "office")
    with opened(place) as again:
        assert again.registry.outcome(number) == ("open", "")


def test_a_store_of_a_newer_version_is_left_alone(place: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer, opened(place):
        newer.setattr(migrations, "STEPS", NEWER)
        Store(place).close()
    with pytest.raises(StoreError, match="from a newer iot-stream"):
        Store(place)


def test_a_step_that_fails_leaves_the_former_schema(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(place).close()
    monkeypatch.setattr(migrations, "STEPS", BROKEN)
    with pytest.raises(StoreError, match=r'"?journal"? already exists'):
        Store(place)
    monkeypatch.setattr(migrations, "STEPS", NEWER)
    with opened(place) as store:
        assert store.read("SELECT * FROM extra") == []


def test_write_is_all_or_nothing(store: Store) -> None:
    with pytest.raises(KeyError), store.write() as tx:  # noqa: PT012  the transaction is what is tested
        store.faults.count(tx, "p", "d", "late", 3)
        raise KeyError
    assert store.faults.counters("p") == []
    with store.write() as tx:
        store.faults.count(tx, "p", "d", "late", 3)
        store.faults.count(tx, "p", "d", "late", 4)
        assert store.faults.counters("p") == [("d", "late", 7)]  # who writes sees it
    assert store.faults.counters("p") == [("d", "late", 7)]


def test_what_is_read_wrongly_is_a_store_error_with_its_place(store: Store) -> None:
    with pytest.raises(StoreError, match=r"store .*nowhere") as raised:
        store.read("SELECT * FROM nowhere")
    assert store.place in str(raised.value)
    assert "s3cret" not in str(raised.value)


def _write_labels(place: Path | str, count: int) -> None:
    with opened(place) as store:
        for i in range(count):
            with store.write() as tx:
                store.journal.add_label(tx, "p", Label.at("d", i, 0), i)


def _write_events(place: Path | str, count: int) -> None:
    with opened(place) as store:
        for i in range(count):
            store.registry.add_event("p", "d", "applied", i, i, "{}")


def test_two_processes_open_a_new_store_and_write_different_tables_at_once(place: Path | str) -> None:
    count = 150
    writers = [SPAWN.Process(target=kind, args=(place, count)) for kind in (_write_labels, _write_events)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    with opened(place) as store:
        assert len(store.journal.labels("p")) == count
        assert [version for _, _, _, version, _, _ in store.registry.events("p")] == list(range(count))


def _count_up(place: Path | str, count: int) -> None:
    with opened(place) as store:
        for _ in range(count):
            # More than one in a transaction: between its first id and its commit others might write.
            with store.write() as tx:
                for _ in range(5):
                    tx.execute(
                        "INSERT INTO events (at, pipeline, device, event, version, stream, report)"
                        " VALUES (0, 'p', 'd', 'applied', 0, 0, '{}')"
                    )


def test_who_reads_on_from_the_last_id_misses_nothing_of_several_writers(place: Path | str) -> None:
    writers = [SPAWN.Process(target=_count_up, args=(place, 100)) for _ in range(3)]
    with opened(place) as store:
        for writer in writers:
            writer.start()
        seen, last, writing = 0, 0, True
        while writing:
            writing = any(writer.is_alive() for writer in writers)
            ids = [row[0] for row in store.read("SELECT id FROM events WHERE id > ? ORDER BY id", last)]
            seen, last = seen + len(ids), max([last, *ids])
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert seen == 3 * 100 * 5

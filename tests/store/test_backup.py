"""The registry out of one store and into another, of either engine."""

from pathlib import Path

import pytest

from iot_stream.clock import wall
from iot_stream.errors import StoreError
from iot_stream.store import Store, backup
from iot_stream.store.registry import Device, Round, Version
from iot_stream.store.rollouts import DONE, Rollout
from tests.store.conftest import opened


def filled(store: Store) -> None:
    registry, put = store.registry, store.registry.put_artifact
    for number in range(1, 4):
        with store.write() as tx:
            round_ = Round(f"r{number}", "p", "all", "drift", wall(), wall(), 5, "released", {"n": number})
            registry.save_round(tx, round_)
            weights = put(tx, bytes(range(number, 200)) * 50)
            version = Version(
                "p", "all", number, f"r{number}", wall(), put(tx, b"graph"), put(tx, b"spec"), weights,
                "int8", weights, {"gate": {"reason": "better"}},
            )  # fmt: skip
            registry.add_version(tx, version)
            store.rollouts.save(tx, "p", Rollout("all", number, DONE, 0, 1, 2), "somebody", "to all", "good")
            store.cohorts.tag(tx, "p", "pump", {"line": str(number)}, "cli")
            store.cohorts.assign(tx, "p", {"pump": f"line-{number}"}, "by line")
        registry.save_release("p", "all", "stable", number, b"bundle" * number)
        registry.command("cli", "rollback", "p", version=number)
    registry.save_device("p", Device("pump", "all", True, 3, wall()), "{}")
    registry.add_event("p", "pump", "applied", 3, 7, "{}")
    registry.put_model("teacher", "network", b"weights of a teacher", {"accuracy": 0.9})
    store.scope.exclude("cli", "p", "pump", 1, 2, "window open")


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    return {
        table: sorted((tuple(row) for row in store.read(f"SELECT * FROM {table}")), key=repr)
        for table in backup.TABLES
    }


def test_what_is_saved_comes_back_whole(store: Store, place: Path | str, tmp_path: Path) -> None:
    filled(store)
    counts = backup.save(store, tmp_path / "saved.db")
    before = content(store)
    assert counts == {table: len(rows) for table, rows in before.items()}
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []
    with opened(tmp_path / "other") as other:
        assert backup.restore(tmp_path / "saved.db", other) == counts
        assert content(other) == before
        assert other.registry.artifact(other.registry.versions("p")[0].weights)[:3] == bytes((1, 2, 3))


def test_it_comes_back_into_the_other_engine_and_numbers_go_on(store: Store, tmp_path: Path) -> None:
    """From SQLite into each engine."""
    with opened(tmp_path / "first") as first:
        filled(first)
        backup.save(first, tmp_path / "saved.db")
        before = content(first)
    backup.restore(tmp_path / "saved.db", store)
    assert content(store) == before
    highest = max(int(str(row[0])) for row in before["commands"])
    assert store.registry.command("cli", "distil", "p") > highest
    assert store.scope.exclude("cli", "p", "pump", 3, 4, "again") > 1


def test_a_store_with_a_registry_is_left_as_it_is(store: Store, tmp_path: Path) -> None:
    filled(store)
    backup.save(store, tmp_path / "saved.db")
    before = content(store)
    with pytest.raises(StoreError, match="restore into an empty one"):
        backup.restore(tmp_path / "saved.db", store)
    assert content(store) == before


def test_a_file_that_is_none_of_ours_changes_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "junk.db").write_bytes(b"junk" * 1000)
    with pytest.raises(StoreError):
        backup.restore(tmp_path / "junk.db", store)
    assert not any(content(store).values())


def test_all_tables_are_either_in_it_or_meant_to_stay(store: Store) -> None:
    """Whoever adds a table decides."""
    stays = {
        "journal", "windows", "cutters", "positions", "labels", "predictions", "counters", "quarantine",
        "outputs", "conversations", "known", "teachers", "known_until", "checkpoints", "summaries", "totals",
    }  # fmt: skip
    if store.place.endswith(".db"):
        tables = {str(row[0]) for row in store.read("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables - {"sqlite_sequence"} == stays | set(backup.TABLES)

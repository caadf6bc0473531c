"""Models, versions, releases, devices, commands: what was written is what is read."""

import pytest

from iot_stream.errors import StoreError
from iot_stream.store import Store
from iot_stream.store.registry import Command, Device, Registry, Round, Version


@pytest.fixture
def registry(store: Store) -> Registry:
    return store.registry


def version(number: int, cohort: str = "all", pipeline: str = "p") -> Version:
    return Version(
        pipeline, cohort, number, f"r{number}", 5, "g", "s", "w", "int8", "u", {"gate": {"reason": "better"}}
    )


def test_an_artifact_is_kept_once_under_its_hash(store: Store, registry: Registry) -> None:
    with store.write() as tx:
        digests = {registry.put_artifact(tx, b"graph") for _ in range(2)}
    (digest,) = digests
    assert registry.artifact(digest) == b"graph"
    with pytest.raises(StoreError, match="no artifact nothing"):
        registry.artifact("nothing")


def test_a_model_is_found_by_what_made_it(registry: Registry) -> None:
    assert registry.model("key") is None
    registry.put_model("key", "teacher", b"weights", {"accuracy": 0.9})
    assert registry.model("key") == (b"weights", {"accuracy": 0.9})


def test_versions_come_in_order_of_number_by_cohort(store: Store, registry: Registry) -> None:
    with store.write() as tx:
        for each in (version(2), version(1), version(10), version(1, "one"), version(1, pipeline="q")):
            registry.add_version(tx, each)
    assert [v.version for v in registry.versions("p", "all")] == [1, 2, 10]
    assert registry.newest("p", "all") == version(10)
    assert registry.newest("p", "none") is None
    assert sorted(registry.cohorts("p")) == ["all", "one"]


def test_a_version_is_written_once(store: Store, registry: Registry) -> None:
    with pytest.raises(StoreError, match=r"(?i)unique"), store.write() as tx:  # noqa: PT012
        registry.add_version(tx, version(1))
        registry.add_version(tx, version(1))
    assert registry.versions("p") == []


def test_a_round_is_updated_in_place(store: Store, registry: Registry) -> None:
    running = Round("r1", "p", "all", "every", 5, None, 7, "running", {})
    with store.write() as tx:
        registry.save_round(tx, running)
    with store.write() as tx:
        registry.save_round(tx, running._replace(ended=9, outcome="released", report={"windows": 3}))
    assert registry.rounds("p") == [running._replace(ended=9, outcome="released", report={"windows": 3})]


def test_the_newest_release_of_a_slot_is_what_it_carries(registry: Registry) -> None:
    assert registry.release("p", "all", "stable") is None
    for number, bundle in ((1, b"one"), (2, b"two"), (2, b"two renewed")):
        registry.save_release("p", "all", "stable", number, bundle)
    assert registry.release("p", "all", "stable") == (2, b"two renewed")


def test_a_device_is_what_it_last_said(registry: Registry) -> None:
    for online in (True, False):
        registry.save_device("p", Device("d", "all", online, 3, 7), "{}")
    assert registry.devices("p") == [Device("d", "all", False, 3, 7)]


def test_a_command_is_open_until_its_owner_closes_it(registry: Registry) -> None:
    first = registry.command("ann", "distill", "p", cohort="all")
    second = registry.command("bob", "rollback", "p", version=3)
    assert registry.open_commands("distill", "pause") == [Command(first, "distill", "p", {"cohort": "all"})]
    registry.close_command(first, "done", "version 4")
    assert registry.open_commands("distill", "rollback") == [Command(second, "rollback", "p", {"version": 3})]
    assert registry.outcome(first) == ("done", "version 4")
    assert registry.outcome(second) == ("open", "")
    assert registry.outcome(99) == ("failed", "no such command")


def test_whose_word_is_taken_now_is_the_last_that_was_said(registry: Registry) -> None:
    assert registry.teacher("p") == ""
    for key in ("one", "other", "one"):
        registry.set_teacher("p", key)
    assert (registry.teacher("p"), registry.teacher("q")) == ("one", "")


def test_outputs_of_a_model_are_kept_once(store: Store, registry: Registry) -> None:
    rows = [("p", "teacher", "d", end, end - 1, 5, b"1234") for end in (10, 20)]
    with store.write() as tx:
        registry.add_outputs(tx, rows)
        registry.add_outputs(tx, rows)
    assert registry.outputs("p", "teacher", since=15) == [("d", 20, 19, 5, b"1234")]
    assert registry.output_count("p", "teacher") == 2

"""Cohorts live: who is tagged gets a student of its own, learnt from its own windows, on its own devices."""

from pathlib import Path

import pytest

from iot_stream.service.broker import Broker
from iot_stream.store import Store
from tests.service.running import NAME, fleet, opened, service, write_taught
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

NORTH = {"machine-00", "machine-01"}


def learnt_from(store: Store, cohort: str) -> list[set[str]]:
    """Devices of the recent windows of each round that ended."""
    rounds = [r for r in store.registry.rounds(NAME, cohort) if r.report.get("sample")]
    return [set(r.report["sample"]["devices"]) for r in rounds]


def test_who_is_tagged_gets_a_student_of_its_own(broker: Broker, prefix: str, tmp_path: Path) -> None:
    path = write_taught(tmp_path, broker.url, prefix, cohorts={"by": "hall"})
    stream = ("--devices", "4", "--seconds", "120", "--linger", "60")
    with opened(path) as (_, store), service(path, tmp_path / "service.log") as serving:
        wait_until(lambda: store.registry.release(NAME, "all", "stable") is not None, "a first version", 90)
        with fleet(path, tmp_path, *stream) as running:
            wait_until(lambda: len(store.journal.readings(NAME)) == 4, "readings of all", 60)
            with store.write() as tx:
                for device in NORTH:
                    store.cohorts.tag(tx, NAME, device, {"hall": "north"}, "cli")

            def followed() -> dict[str, str]:
                return {each.device: each.cohort for each in store.registry.devices(NAME)}

            expected = {f"machine-0{n}": "north" if f"machine-0{n}" in NORTH else "all" for n in range(4)}
            wait_until(lambda: followed() == expected, "devices that follow their cohort", 60)
            wait_until(lambda: bool(learnt_from(store, "north")), "a round of the new cohort", 60)
            seen = len(learnt_from(store, "all"))
            wait_until(lambda: len(learnt_from(store, "all")) > seen, "a round of the others", 60)
            wait_until(lambda: len(store.registry.versions(NAME, "north")) >= 2, "a version of its own", 60)
            assert running.poll() is None, (tmp_path / "simulator.log").read_text()
        assert serving.poll() is None
        first = store.registry.versions(NAME, "north")[0]
        assert first.provenance["gate"]["reason"].startswith("first version: version ")
        assert all(devices <= NORTH for devices in learnt_from(store, "north"))
        assert learnt_from(store, "all")[-1].isdisjoint(NORTH)
        assert {each.reason for each in store.cohorts.assignments(NAME)} == {"by hall"}

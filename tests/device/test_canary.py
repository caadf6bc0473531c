"""Two slots: a canary for some devices, the stable version for the others, and the way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_stream.artifact import trust
from iot_stream.artifact.stages import EVERYBODY, Audience
from iot_stream.artifact.trust import Scope
from iot_stream.device.slots import Installed, Slots
from iot_stream.device.updater import Updater
from iot_stream.errors import Refused
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, Target, bundle
from tests.device.fleet import NOW, accept, targets
from tests.device.site import Site, runs
from tests.device.tiny import Publisher
from tests.waiting import wait_until

NOBODY, ALL_NAMED = Audience(0), Audience(1, first=("d",))


class Cohort:
    """Both slots of a cohort, and one device `d` in it."""

    def __init__(self, keys: Keys, folder: Path) -> None:
        self._keys, self._folder = keys, folder
        self._repositories = {slot: Repository(keys, Scope("p", "all", slot)) for slot in trust.SLOTS}
        self._inline = {trust.STABLE: 1000, trust.CANARY: 0}
        self.blobs: dict[str, bytes] = {}
        self._updater = self.restarted()

    def restarted(self) -> Updater:
        self._updater = Updater(Slots(self._folder), self._keys.newest_root, Scope("p", "all"), "d")
        return self._updater

    def put(self, slot: str, version: int, audience: Audience = EVERYBODY) -> bytes:
        content = targets(version)
        weights = content["weights.int8"]
        content["weights.int8"] = Target(weights.data, {**weights.custom, **audience.signed_fields()})
        repository = self._repositories[slot]
        new = version > repository.version
        entries = repository.release(version, content, NOW) if new else repository.renew(NOW, content)
        payload, apart = bundle(entries, content, self._inline[slot])
        self.blobs.update({piece.sha256: data for piece, data in apart.items()})
        return payload

    def take(self, slot: str, payload: bytes) -> Installed | None:
        return self._updater.apply(payload, self.blobs, NOW, accept, slot)

    def get(self, slot: str, version: int, audience: Audience = EVERYBODY) -> Installed | None:
        return self.take(slot, self.put(slot, version, audience))

    def runs(self) -> tuple[int | None, int | None]:
        slots = Slots(self._folder)
        current, previous = slots.current(), slots.previous()
        return current and current.version, previous and previous.version


@pytest.fixture
def cohort(keys: Keys, tmp_path: Path) -> Iterator[Cohort]:
    made = Cohort(keys, tmp_path / "state")
    made.get(trust.STABLE, 1)
    made.get(trust.STABLE, 2)
    yield made
    made.get(trust.STABLE, 100)  # whatever happened, it still takes the next
    assert made.runs()[0] == 100


def test_a_canary_is_taken_by_whom_it_is_meant_for(cohort: Cohort) -> None:
    cohort.get(trust.CANARY, 3, Audience(1, never=("d",)))
    assert cohort.runs() == (2, 1)
    cohort.get(trust.CANARY, 3, ALL_NAMED)
    assert cohort.runs() == (3, 2)


def test_called_off_its_devices_go_back_whatever_the_number(cohort: Cohort) -> None:
    cohort.get(trust.CANARY, 3, ALL_NAMED)
    installed = cohort.get(trust.CANARY, 3, NOBODY)
    assert installed is not None
    assert installed.version == 2
    assert cohort.runs() == (2, None)  # there is no way back to the canary


def test_the_stable_bundle_again_does_not_end_a_canary(cohort: Cohort) -> None:
    cohort.get(trust.CANARY, 3, ALL_NAMED)
    assert cohort.get(trust.STABLE, 2) is None
    assert cohort.runs() == (3, 2)


def test_in_the_end_the_stable_slot_has_it_and_nothing_is_loaded_twice(cohort: Cohort) -> None:
    cohort.get(trust.CANARY, 3, ALL_NAMED)
    assert cohort.get(trust.STABLE, 3) is None
    assert cohort.get(trust.CANARY, 3, NOBODY) is None
    assert cohort.runs() == (3, 2)


def test_a_later_stage_is_no_new_version(cohort: Cohort) -> None:
    cohort.get(trust.CANARY, 3, ALL_NAMED)
    assert cohort.get(trust.CANARY, 3, Audience(50, first=("d",))) is None
    assert cohort.runs() == (3, 2)


def test_a_canary_that_the_device_left_is_not_taken_again(cohort: Cohort, tmp_path: Path) -> None:
    cohort.get(trust.CANARY, 3, ALL_NAMED)
    Slots(tmp_path / "state").fall_back("nan")
    with pytest.raises(Refused, match="refused_before"):
        cohort.get(trust.CANARY, 3, Audience(50, first=("d",)))
    assert cohort.get(trust.STABLE, 2) is None
    assert cohort.runs() == (2, None)


def test_after_a_restart_weights_that_only_the_stable_bundle_has_are_found(cohort: Cohort) -> None:
    stable = cohort.put(trust.STABLE, 4)
    cohort.take(trust.STABLE, stable)
    for version in (5, 6, 7):  # version 4 is no longer on disk
        cohort.get(trust.CANARY, version, ALL_NAMED)
    cohort.restarted()
    called_off = cohort.put(trust.CANARY, 7, NOBODY)
    with pytest.raises(Exception, match="blobs to fetch"):
        cohort.take(trust.CANARY, called_off)
    cohort.take(trust.STABLE, stable)
    assert cohort.runs()[0] == 7  # what the canary's metadata says was not kept: nothing was installed
    installed = cohort.take(trust.CANARY, called_off)
    assert installed is not None
    assert installed.version == 4


def test_over_a_broker_a_canary_comes_and_goes(site: Site) -> None:
    canary = Publisher(site.connection, site.prefix, site.keys, slot=trust.CANARY)
    site.publisher.release(1)
    client = site.device()
    runs(client, 1)

    def canary_for(audience: Audience, again: bool) -> None:
        content = canary.targets(2)
        weights = content["weights.int8"]
        content["weights.int8"] = Target(weights.data, {**weights.custom, **audience.signed_fields()})
        entries = (
            canary.repository.renew(NOW, content) if again else canary.repository.release(2, content, NOW)
        )
        payload, apart = bundle(entries, content, 0)
        canary.publish_blobs(apart.items())
        canary.publish_bundle(payload)

    canary_for(ALL_NAMED, again=False)
    runs(client, 2)
    canary_for(NOBODY, again=True)
    runs(client, 1)
    assert site.listener.reports("rejected") == []


def test_a_new_device_that_hears_of_a_canary_for_others_still_gets_the_stable_release(site: Site) -> None:
    canary = Publisher(site.connection, site.prefix, site.keys, slot=trust.CANARY)
    payload, apart = site.publisher.sign(1, site.publisher.targets(1))
    site.publisher.publish_bundle(payload)
    content = canary.targets(2)
    weights = content["weights.int8"]
    content["weights.int8"] = Target(weights.data, {**weights.custom, **NOBODY.signed_fields()})
    canary.publish_bundle(bundle(canary.repository.release(2, content, NOW), content, 0)[0])
    client = site.device()
    wait_until(lambda: client.bytes_down > len(payload), "both bundles have come")
    site.publisher.publish_blobs(apart.items())
    runs(client, 1)

"""A device between honest releases: what it installs, whom it trusts, when it falls back."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from iot_stream.artifact import blobs, trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND
from iot_stream.device.slots import Installed, Slots
from iot_stream.device.updater import MissingBlobs, Updater
from iot_stream.errors import ConfigError, Refused
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, Target, bundle
from tests.device.fleet import (
    GRAPH,
    NOW,
    SCOPE,
    SPEC,
    Fleet,
    targets,
    weights_blob,
)

# --- honest releases


def test_a_first_release_asks_for_what_is_not_inlined_and_then_installs(keys: Keys, tmp_path: Path) -> None:
    fleet = Fleet(keys, tmp_path / "state")
    payload = fleet.publish(1)
    held, fleet.apart = fleet.apart, {}
    with pytest.raises(MissingBlobs) as missing:
        fleet.apply(payload)
    assert (
        {piece.sha256 for piece in missing.value.pieces}
        == {blobs.address(GRAPH), blobs.address(SPEC)}
        == set(held)
    )
    assert not fleet.directory.exists()
    fleet.apart = held
    installed = fleet.apply(payload)
    assert installed == Slots(fleet.directory).current()
    assert installed == Installed(
        1, GRAPH, SPEC, b"weights of version 1", "int8", {"version": "1", "gate": "0.912 > 0.881"}
    )


def test_a_further_release_is_one_message(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    fleet.apart = {}
    assert fleet.apply(payload) is not None
    previous = fleet.slots.previous()
    assert (fleet.runs(), previous and previous.version) == (3, 2)


def test_an_unchanged_bundle_is_nothing_new_and_writes_nothing(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    fleet.apply(payload)
    before = fleet.disk()
    assert fleet.apply(payload, now=NOW + 3600 * SECOND) is None
    assert fleet.disk() == before


def test_a_renewal_is_nothing_new_but_its_metadata_counts(fleet: Fleet) -> None:
    before = fleet.publish(3)
    fleet.apply(before)
    renewed, _ = bundle(fleet.repository.renew(NOW), targets(3))
    assert fleet.apply(renewed) is None
    fleet.refuses(before, "older")
    assert fleet.apply(renewed) is None


def test_releases_that_a_device_missed_are_skipped(fleet: Fleet) -> None:
    for version in range(3, 13):
        payload = fleet.publish(version)
    installed = fleet.apply(payload)
    assert installed is not None
    assert installed.version == 12


def test_a_rollback_is_a_new_version_with_old_weights(fleet: Fleet) -> None:
    content = targets(3, b"weights of version 1")
    payload, _ = bundle(fleet.repository.release(3, content, NOW), content)
    installed = fleet.apply(payload)
    assert installed is not None
    assert (installed.version, installed.weights) == (3, b"weights of version 1")


def test_a_device_that_changes_its_cohort_takes_the_version_there_whatever_its_number(fleet: Fleet) -> None:
    north = Scope("office", "north")
    payload = fleet.publish(1, repository=Repository(fleet.keys, north))
    installed = fleet.apply(payload, scope=north)
    assert installed is not None
    assert (installed.version, fleet.runs()) == (1, 1)
    with pytest.raises(Refused, match="foreign"):
        fleet.apply(payload)
    # Back home, what it knew there still counts.
    fleet.refuses(fleet.publish(1, repository=Repository(fleet.keys, SCOPE)), "older")


def test_numbers_travel_as_text(fleet: Fleet) -> None:
    """Trap: TUF signs no floats; custom fields are strings, verbatim on the other side."""
    content = targets(3)
    content["weights.int8"] = Target(b"w", {"accuracy": "0.91200001", "cost_s": "1e-3"})
    payload, _ = bundle(fleet.repository.release(3, content, NOW), content)
    installed = fleet.apply(payload)
    assert installed is not None
    assert installed.custom == {"accuracy": "0.91200001", "cost_s": "1e-3", "version": "3"}


# --- roots


def rotated(directory: Path, version: int, signers: list[int]) -> bytes:
    """The next root of the keys in `directory`, signed by these of its root keys."""
    root = Metadata[Root].from_bytes((directory / "1.root.json").read_bytes()).signed
    root.version = version
    root.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    metadata = Metadata(root)
    for number in signers:
        private = load_pem_private_key((directory / f"root/{number}.pem").read_bytes(), None)
        metadata.sign(CryptoSigner(private), append=True)
    return metadata.to_bytes(JSONSerializer(compact=True))


def test_a_new_root_needs_its_threshold(tmp_path: Path) -> None:
    """Trap: a root of one key is no better than that key; two of three must sign."""
    keys = Keys.create(tmp_path / "keys")
    fleet = Fleet(keys, tmp_path / "state")
    fleet.apply(fleet.publish(1))
    entries = trust.unpack_bundle(fleet.publish(2))
    for signers in ([], [1], [3]):
        alone = {**entries, "2.root.json": rotated(tmp_path / "keys", 2, signers)}
        fleet.refuses(trust.pack_bundle(alone), "unsigned")
    together = {**entries, "2.root.json": rotated(tmp_path / "keys", 2, [1, 3])}
    assert fleet.apply(trust.pack_bundle(together)) is not None
    assert "root_history/2.root.json" in fleet.slots.state().trusted(SCOPE).metadata


def test_a_device_takes_several_roots_at_once_but_skips_none(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys")
    fleet = Fleet(keys, tmp_path / "state")
    fleet.apply(fleet.publish(1))
    second, third = rotated(tmp_path / "keys", 2, [1, 2]), rotated(tmp_path / "keys", 3, [2, 3])
    fleet.refuses(trust.pack_bundle({**trust.unpack_bundle(fleet.publish(2)), "2.root.json": third}), "older")
    payload = trust.pack_bundle(
        {**trust.unpack_bundle(fleet.publish(3)), "2.root.json": second, "3.root.json": third}
    )
    assert fleet.apply(payload) is not None
    assert "root_history/3.root.json" in fleet.slots.state().trusted(SCOPE).metadata


def test_a_root_that_is_damaged_is_said_when_the_device_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="iot-stream device add"):
        Updater(Slots(tmp_path), b"junk", SCOPE)


# --- self-test and falling back


def test_a_failed_self_test_refuses_the_version(fleet: Fleet) -> None:
    tested: list[int] = []

    def fail(installed: Installed) -> None:
        tested.append(installed.version)
        raise ValueError("golden window 2: 0.7 instead of 1.5")

    fleet.refuses(fleet.publish(3), "self_test", self_test=fail)
    assert tested == [3]


def test_a_version_that_was_left_is_not_taken_again_until_a_newer_one(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    fleet.apply(payload)
    fallen = fleet.slots.fall_back("confidence collapsed")
    assert fallen is not None
    assert fallen.version == 2
    fleet.refuses(payload, "refused_before")
    renewed, _ = bundle(fleet.repository.renew(NOW), targets(3))
    fleet.refuses(renewed, "refused_before")
    newer = fleet.apply(fleet.publish(4))
    assert newer is not None
    assert newer.version == 4
    previous = fleet.slots.previous()
    assert previous is not None
    assert previous.version == 2


# --- damage


def test_a_damaged_version_is_taken_again_from_the_retained_bundle(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    fleet.apply(payload)
    (fleet.directory / weights_blob(payload).replace("blob/", "blobs/")).write_bytes(b"")
    assert fleet.runs() == 2
    installed = fleet.apply(payload)
    assert installed is not None
    assert (installed.version, fleet.runs()) == (3, 3)


def test_zeroed_files_after_a_power_cut_do_not_open_the_way_back(fleet: Fleet) -> None:
    """Trap: the library never syncs, and on zeroed metadata it takes version 1 again."""
    first, payload = fleet.publish(3), fleet.publish(4)
    fleet.apply(first)
    fleet.apply(payload)
    newest = max(fleet.directory.glob("state-*"), key=lambda path: int(path.name.removeprefix("state-")))
    newest.write_bytes(b"")
    assert fleet.runs() == 3
    forgetful = Repository(fleet.keys, SCOPE)
    fleet.refuses(fleet.publish(1, repository=forgetful), "older")
    installed = fleet.apply(payload)
    assert installed is not None
    assert installed.version == 4


def test_state_is_small_and_readable(fleet: Fleet) -> None:
    newest = max(fleet.directory.glob("state-*"), key=lambda path: int(path.name.removeprefix("state-")))
    content = msgspec.json.decode(newest.read_bytes().split(b"\n", 1)[1])
    assert content["current"]["version"] == 2
    assert (
        json.loads(content["scopes"]["office/all/stable"]["metadata"]["targets.json"])["signed"]["_type"]
        == "targets"
    )
    assert newest.stat().st_size < 8000

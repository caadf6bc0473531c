"""A device under attack: after each refusal the disk is what it was, byte for byte.

Attacks are named as in the TUF specification (§1.5.2) where it has a name for them; the traps are
those of python-tuf's client that `artifact/trust.py` closes.
"""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from iot_stream.artifact import blobs, trust
from iot_stream.artifact.trust import Scope
from iot_stream.device.updater import MissingBlobs, Updater
from iot_stream.errors import Refused
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, Target, bundle
from tests.device.fleet import (
    DAY,
    GRAPH,
    NOW,
    SCOPE,
    SPEC,
    Fleet,
    accept,
    altered,
    edited,
    targets,
    weights_blob,
)

# --- arbitrary software


def test_arbitrary_software_unsigned(fleet: Fleet) -> None:
    for role in trust.ROLES:
        payload = fleet.publish(fleet.repository.version + 1)
        fleet.refuses(
            edited(payload, f"{role}.json", lambda content: content["signatures"].clear()), "unsigned"
        )


def test_arbitrary_software_by_altered_metadata(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    for role in trust.ROLES:
        name = f"{role}.json"
        fleet.refuses(edited(payload, name, lambda content: content["signed"].update(version=77)), "unsigned")

    def poison(content: dict[str, Any]) -> None:
        content["signed"]["targets"]["weights.int8"]["hashes"]["sha256"] = blobs.address(b"poison")

    fleet.refuses(edited(payload, "targets.json", poison), "unsigned")


def test_arbitrary_software_by_altered_weights(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    name = weights_blob(payload)
    changes: list[Callable[[bytes], bytes]] = [
        lambda data: data[:-1] + b"!",
        lambda data: data[:-1],
        lambda data: data + b"!",
        lambda data: data[:0],
    ]
    for change in changes:
        fleet.refuses(altered(payload, name, change), "altered")


def test_arbitrary_software_by_an_altered_graph_beside_the_bundle(fleet: Fleet) -> None:
    content = {**targets(3), "graph.onnx": Target(b"a new graph")}
    payload, apart = bundle(fleet.repository.release(3, content, NOW), content)
    fleet.apart = {piece.sha256: data + b"!" for piece, data in apart.items()}
    fleet.refuses(payload, "altered")


def test_arbitrary_software_signed_with_other_keys(fleet: Fleet, foreign: Keys) -> None:
    fleet.refuses(fleet.publish(9, repository=Repository(foreign, SCOPE)), "unsigned")


def test_a_foreign_root_in_the_chain(fleet: Fleet, foreign: Keys) -> None:
    root = Metadata[Root].from_bytes(foreign.newest_root).signed
    root.version = 2
    signed = Metadata(root)
    signed.sign(foreign.online)
    entries = Repository(foreign, SCOPE).release(9, targets(9), NOW)
    payload, _ = bundle({**entries, "2.root.json": signed.to_bytes()}, targets(9))
    fleet.refuses(payload, "unsigned")


# --- rollback


def test_rollback_to_an_older_bundle(fleet: Fleet) -> None:
    second = Repository(fleet.keys, SCOPE)
    old = fleet.publish(1, repository=second)
    fleet.refuses(old, "older")


def test_rollback_to_an_older_version_under_newer_metadata(fleet: Fleet) -> None:
    forgetful = Repository(fleet.keys, SCOPE)
    forgetful.release(1, targets(1), NOW)
    forgetful.renew(NOW)
    payload, _ = bundle(forgetful.renew(NOW), targets(1))
    fleet.refuses(payload, "older")
    fleet.repository = Repository(fleet.keys, SCOPE, trust.unpack_bundle(payload))


def test_rollback_to_the_same_version_with_other_weights(fleet: Fleet) -> None:
    forgetful = Repository(fleet.keys, SCOPE)
    for version in (1, 2):
        forgetful.release(version, targets(version, b"other weights"), NOW)
    payload, _ = bundle(forgetful.renew(NOW), targets(2, b"other weights"))
    fleet.refuses(payload, "older")
    fleet.repository = Repository(fleet.keys, SCOPE, trust.unpack_bundle(payload))


# --- freeze


def test_freeze(fleet: Fleet) -> None:
    fleet.refuses(fleet.publish(3, now=NOW - 31 * DAY), "expired")


def test_freeze_by_the_callers_clock(fleet: Fleet) -> None:
    fleet.refuses(fleet.publish(3), "expired", now=NOW + 31 * DAY)


def test_a_device_that_restarts_with_expired_metadata_runs_what_it_has(keys: Keys, tmp_path: Path) -> None:
    fleet = Fleet(keys, tmp_path / "state")
    payload = fleet.publish(1)
    fleet.apply(payload)
    fleet.refuses(payload, "expired", now=NOW + 90 * DAY)
    assert fleet.runs() == 1


# --- mix-and-match


def test_mix_and_match(fleet: Fleet) -> None:
    """Trap: refresh is not transactional; timestamp and snapshot of a refused bundle must not stick."""
    old, new = trust.unpack_bundle(fleet.publish(3)), trust.unpack_bundle(fleet.publish(4))
    for role in ("snapshot", "targets"):
        mixed = trust.pack_bundle({**new, f"{role}.json": old[f"{role}.json"]})
        fleet.refuses(mixed, "older")
    assert fleet.apply(trust.pack_bundle(old)) is not None  # still acceptable: nothing advanced


# --- clocks


def test_a_clock_set_back_does_not_thaw_stale_metadata(fleet: Fleet) -> None:
    """Trap: the library reads the system's clock; the floor is the highest time of an accepted bundle."""
    fleet.apply(fleet.publish(3), now=NOW + 20 * DAY)
    stale = fleet.publish(4, now=NOW - 15 * DAY)
    fleet.refuses(stale, "expired", now=NOW)
    fleet.refuses(stale, "expired", now=0)


def test_a_clock_far_ahead_does_not_block_the_device_for_ever(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    fleet.refuses(payload, "expired", now=NOW + 80 * 365 * DAY)
    assert fleet.apply(payload) is not None


# --- wrong software


@pytest.mark.parametrize(
    "scope", [Scope("office", "north"), Scope("bearing", "all"), Scope("office", "all", "canary")], ids=str
)
def test_wrong_software_another_scopes_bundle_with_the_same_keys(
    fleet: Fleet, tmp_path: Path, scope: Scope
) -> None:
    """Trap: with shared keys TUF itself accepts it, and then refuses the device's own."""
    repository = Repository(fleet.keys, scope)
    for version in range(1, 9):
        payload = fleet.publish(version, repository=repository)
    fleet.refuses(payload, "foreign")
    fresh = Fleet(fleet.keys, tmp_path / "fresh")
    fresh.apart = fleet.apart
    fresh.refuses(payload, "foreign")


def test_wrong_software_one_role_of_another_scope_is_enough(fleet: Fleet) -> None:
    repository = Repository(fleet.keys, Scope("office", "north"))
    for version in range(1, 4):
        foreign = trust.unpack_bundle(fleet.publish(version, repository=repository))
    own = trust.unpack_bundle(fleet.publish(3))
    for role in trust.ROLES:
        fleet.refuses(trust.pack_bundle({**own, f"{role}.json": foreign[f"{role}.json"]}), "foreign")


# --- extraneous dependencies


def test_extraneous_dependencies(fleet: Fleet) -> None:
    """What comes along and nobody has signed is not kept, under whatever name."""
    evil = b"loaded by whoever finds it"
    beside = {
        f"blob/{blobs.address(evil)}": evil,
        f"blob/{blobs.address(GRAPH)}": evil,
        "blob/../../evil": evil,
        "evil.json": evil,
        "9.root.json": evil,
    }
    before = set(fleet.disk())
    entries = trust.unpack_bundle(fleet.publish(3))
    fleet.refuses(trust.pack_bundle({**entries, "2.root.json": evil}), "malformed")
    assert fleet.apply(trust.pack_bundle({**beside, **entries})) is not None
    assert fleet.runs() == 3
    assert all(evil not in content for content in fleet.disk().values())
    news = {Path(path).name for path in set(fleet.disk()) - before}
    assert blobs.address(evil) not in news
    assert not any("evil" in name for name in news)


# --- junk, endless data


@pytest.mark.parametrize("junk", [b"", b"junk", zlib.compress(b"junk"), trust.pack_bundle({})], ids=range(4))
def test_junk(fleet: Fleet, junk: bytes) -> None:
    fleet.refuses(junk, "malformed")


def test_missing_and_broken_entries(fleet: Fleet) -> None:
    entries = trust.unpack_bundle(fleet.publish(3))
    for role in trust.ROLES:
        name = f"{role}.json"
        fleet.refuses(trust.pack_bundle({n: data for n, data in entries.items() if n != name}), "malformed")
        for junk in (
            b"",
            b"[]",
            b"{}",
            b"\xff",
            b"[" * 100_000,
            b'{"signed":{"_type":"root"},"signatures":[]}',
        ):
            fleet.refuses(trust.pack_bundle({**entries, name: junk}), "malformed")


def test_endless_data_as_a_bundle(fleet: Fleet) -> None:
    fleet.refuses(zlib.compress(bytes(50_000_000)), "too_large")


def test_endless_data_in_metadata(fleet: Fleet) -> None:
    padded = altered(fleet.publish(3), "timestamp.json", lambda data: data + b" " * 100_000)
    fleet.refuses(padded, "too_large")


def test_endless_data_an_artifact_beyond_the_limit_is_refused_before_it_is_asked_for(fleet: Fleet) -> None:
    content = {**targets(3), "graph.onnx": Target(bytes(5000))}
    payload, _ = bundle(fleet.repository.release(3, content, NOW), content)
    root = fleet.keys.newest_root
    small = Updater(fleet.slots, root, SCOPE, max_artifact=4999)
    before = fleet.disk()
    with pytest.raises(Refused, match="too_large"):
        small.apply(payload, {}, NOW, accept)
    assert fleet.disk() == before
    with pytest.raises(MissingBlobs):
        Updater(fleet.slots, root, SCOPE, max_artifact=5000).apply(payload, {}, NOW, accept)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"weights.int8": Target(b"w")}, "malformed"),
        ({**targets(3), "weights.int8": Target(b"w", {"accuracy": 1})}, "malformed"),  # type: ignore[dict-item]
        (
            {"graph.onnx": Target(GRAPH), "spec.json": Target(SPEC), "weights.int3": Target(b"w")},
            "unsupported",
        ),
        ({"graph.onnx": Target(GRAPH), "spec.json": Target(SPEC)}, "unsupported"),
    ],
)
def test_a_signed_release_that_this_device_cannot_use(
    fleet: Fleet, content: Mapping[str, Target], reason: str
) -> None:
    payload, _ = bundle(fleet.repository.release(3, content, NOW), content)
    fleet.refuses(payload, reason)


@pytest.mark.parametrize("hashes", [{"sha256": "../../other"}, {"sha512": "ab"}])
def test_a_signed_release_whose_artifact_has_no_address(fleet: Fleet, hashes: dict[str, str]) -> None:
    entries = trust.unpack_bundle(fleet.publish(3))
    metadata = trust.parse(entries["targets.json"])
    metadata.signed.targets["graph.onnx"].hashes = hashes
    metadata.sign(fleet.keys.online)
    resigned = {**entries, "targets.json": metadata.to_bytes(JSONSerializer(compact=True))}
    fleet.refuses(trust.pack_bundle(resigned), "malformed")


@pytest.mark.parametrize("version", ["", "three", "0", "-4", "9" * 5000, None])
def test_a_signed_release_without_a_proper_version(fleet: Fleet, version: str | None) -> None:
    entries = trust.unpack_bundle(fleet.publish(3))
    metadata = trust.parse(entries["targets.json"])
    custom = metadata.signed.targets["weights.int8"].custom
    custom.pop("version") if version is None else custom.update(version=version)
    metadata.sign(fleet.keys.online)
    resigned = {**entries, "targets.json": metadata.to_bytes(JSONSerializer(compact=True))}
    fleet.refuses(trust.pack_bundle(resigned), "malformed")


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_metadata_is_refused_or_means_what_was_signed(fleet: Fleet, data: st.DataObject) -> None:
    payload = fleet.publish(fleet.repository.version + 1)
    entries = trust.unpack_bundle(payload)
    name = data.draw(st.sampled_from([*(f"{role}.json" for role in trust.ROLES), "blob"]))
    name = weights_blob(payload) if name == "blob" else name
    content = bytearray(entries[name])
    place = data.draw(st.integers(0, 10_000)) % len(content)
    content[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    before = fleet.disk()
    try:
        installed = fleet.apply(trust.pack_bundle({**entries, name: bytes(content)}))
    except (Refused, MissingBlobs):
        assert fleet.disk() == before
    else:  # white space, or nothing that is signed
        assert installed is not None
        assert installed.weights == targets(fleet.repository.version)["weights.int8"].data

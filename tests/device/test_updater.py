"""A device between honest releases and attacks: after each refusal the disk is what it was, byte for byte.

Attacks are named as in the TUF specification (§1.5.2) where it has a name for them; the traps are
those of python-tuf's client that `artifact/trust.py` closes.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from iot_stream.artifact import blobs, trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND, wall
from iot_stream.device.slots import Installed, Slots
from iot_stream.device.updater import MissingBlobs, Updater
from iot_stream.errors import ConfigError, Refused
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, Target, bundle

SCOPE = Scope("office", "all")
DAY = 24 * 3600 * SECOND
GRAPH, SPEC = b"onnx graph", b'{"length":1}'
NOW = wall()


def targets(version: int, weights: bytes | None = None) -> dict[str, Target]:
    data = f"weights of version {version}".encode() if weights is None else weights
    return {
        "graph.onnx": Target(GRAPH),
        "spec.json": Target(SPEC),
        "weights.int8": Target(data, {"gate": "0.912 > 0.881"}),
    }


def accept(installed: Installed) -> None:
    """A self-test that is content with anything."""


class Fleet:
    """One honest repository and one device, set up with its root."""

    def __init__(self, keys: Keys, directory: Path, scope: Scope = SCOPE) -> None:
        self.keys = keys
        self.scope = scope
        self.repository = Repository(keys, scope)
        self.directory = directory
        self.slots = Slots(directory)
        self.apart: dict[str, bytes] = {}

    def publish(self, version: int, now: int = NOW, repository: Repository | None = None) -> bytes:
        content = targets(version)
        payload, apart = bundle((repository or self.repository).release(version, content, now), content)
        self.apart.update(apart)
        return payload

    def apply(
        self,
        payload: bytes,
        now: int = NOW,
        self_test: Callable[[Installed], None] = accept,
        scope: Scope = SCOPE,
    ) -> Installed | None:
        updater = Updater(Slots(self.directory), self.keys.root_chain()["1.root.json"], scope)
        return updater.apply(payload, self.apart, now, self_test)

    def disk(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.directory.rglob("*") if path.is_file()}

    def runs(self) -> int | None:
        current = Slots(self.directory).current()
        return None if current is None else current.version

    def refuses(self, payload: bytes, reason: str, **arguments: Any) -> None:
        """The refusal has this reason, leaves no trace, and does not hinder the next honest release."""
        before, running = self.disk(), self.runs()
        with pytest.raises(Refused) as refusal:
            self.apply(payload, **arguments)
        assert refusal.value.reason == reason, str(refusal.value)
        assert refusal.value.reason in trust.REASONS
        assert self.disk() == before
        assert self.runs() == running


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.create(tmp_path_factory.mktemp("fleet") / "keys", root_keys=1, root_threshold=1)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.create(tmp_path_factory.mktemp("others") / "keys", root_keys=1, root_threshold=1)


@pytest.fixture
def fleet(keys: Keys, tmp_path: Path) -> Iterator[Fleet]:
    """The device runs version 2, has 1 in reserve, and in the end still takes the next release."""
    fleet = Fleet(keys, tmp_path / "state")
    fleet.apply(fleet.publish(1))
    fleet.apply(fleet.publish(2))
    yield fleet
    following = max(fleet.repository.version, 100) + 1
    assert fleet.apply(fleet.publish(following)) is not None
    assert fleet.runs() == following


def altered(payload: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    entries = trust.unpack_bundle(payload)
    return trust.pack_bundle({**entries, name: change(entries[name])})


def edited(payload: bytes, name: str, edit: Callable[[dict[str, Any]], object]) -> bytes:
    def change(data: bytes) -> bytes:
        content = json.loads(data)
        edit(content)
        return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()

    return altered(payload, name, change)


def weights_blob(payload: bytes) -> str:
    return next(name for name in trust.unpack_bundle(payload) if name.startswith("blob/"))


# --- honest releases


def test_a_first_release_asks_for_what_is_not_inlined_and_then_installs(keys: Keys, tmp_path: Path) -> None:
    fleet = Fleet(keys, tmp_path / "state")
    payload = fleet.publish(1)
    held, fleet.apart = fleet.apart, {}
    with pytest.raises(MissingBlobs) as missing:
        fleet.apply(payload)
    assert set(missing.value.hashes) == {blobs.address(GRAPH), blobs.address(SPEC)} == set(held)
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


# --- arbitrary software


def test_unsigned(fleet: Fleet) -> None:
    for role in trust.ROLES:
        payload = fleet.publish(fleet.repository.version + 1)
        fleet.refuses(
            edited(payload, f"{role}.json", lambda content: content["signatures"].clear()), "unsigned"
        )


def test_altered_metadata(fleet: Fleet) -> None:
    payload = fleet.publish(3)
    for role in trust.ROLES:
        name = f"{role}.json"
        fleet.refuses(edited(payload, name, lambda content: content["signed"].update(version=77)), "unsigned")

    def poison(content: dict[str, Any]) -> None:
        content["signed"]["targets"]["weights.int8"]["hashes"]["sha256"] = blobs.address(b"poison")

    fleet.refuses(edited(payload, "targets.json", poison), "unsigned")


def test_altered_weights(fleet: Fleet) -> None:
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


def test_altered_graph_beside_the_bundle(fleet: Fleet) -> None:
    content = {**targets(3), "graph.onnx": Target(b"a new graph")}
    payload, apart = bundle(fleet.repository.release(3, content, NOW), content)
    fleet.apart = {address: data + b"!" for address, data in apart.items()}
    fleet.refuses(payload, "altered")


def test_signed_with_other_keys(fleet: Fleet, others: Keys) -> None:
    fleet.refuses(fleet.publish(9, repository=Repository(others, SCOPE)), "unsigned")


def test_a_foreign_root_in_the_chain(fleet: Fleet, others: Keys) -> None:
    root = Metadata[Root].from_bytes(others.newest_root).signed
    root.version = 2
    foreign = Metadata(root)
    foreign.sign(others.online)
    entries = Repository(others, SCOPE).release(9, targets(9), NOW)
    payload, _ = bundle({**entries, "2.root.json": foreign.to_bytes()}, targets(9))
    fleet.refuses(payload, "unsigned")


# --- rollback, freeze, mix-and-match


def test_an_older_bundle(fleet: Fleet) -> None:
    second = Repository(fleet.keys, SCOPE)
    old = fleet.publish(1, repository=second)
    fleet.refuses(old, "older")


def test_an_older_version_under_newer_metadata(fleet: Fleet) -> None:
    forgetful = Repository(fleet.keys, SCOPE)
    forgetful.release(1, targets(1), NOW)
    forgetful.renew(NOW)
    payload, _ = bundle(forgetful.renew(NOW), targets(1))
    fleet.refuses(payload, "older")
    fleet.repository = Repository(fleet.keys, SCOPE, trust.unpack_bundle(payload))


def test_the_same_version_with_other_weights(fleet: Fleet) -> None:
    forgetful = Repository(fleet.keys, SCOPE)
    for version in (1, 2):
        forgetful.release(version, targets(version, b"other weights"), NOW)
    payload, _ = bundle(forgetful.renew(NOW), targets(2, b"other weights"))
    fleet.refuses(payload, "older")
    fleet.repository = Repository(fleet.keys, SCOPE, trust.unpack_bundle(payload))


def test_expired(fleet: Fleet) -> None:
    fleet.refuses(fleet.publish(3, now=NOW - 31 * DAY), "expired")


def test_expired_by_the_callers_clock(fleet: Fleet) -> None:
    fleet.refuses(fleet.publish(3), "expired", now=NOW + 31 * DAY)


def test_a_device_that_restarts_with_expired_metadata_runs_what_it_has(keys: Keys, tmp_path: Path) -> None:
    fleet = Fleet(keys, tmp_path / "state")
    payload = fleet.publish(1)
    fleet.apply(payload)
    fleet.refuses(payload, "expired", now=NOW + 90 * DAY)
    assert fleet.runs() == 1


def test_mix_and_match(fleet: Fleet) -> None:
    """Trap: refresh is not transactional; timestamp and snapshot of a refused bundle must not stick."""
    old, new = trust.unpack_bundle(fleet.publish(3)), trust.unpack_bundle(fleet.publish(4))
    for role in ("snapshot", "targets"):
        mixed = trust.pack_bundle({**new, f"{role}.json": old[f"{role}.json"]})
        fleet.refuses(mixed, "older")
    assert fleet.apply(trust.pack_bundle(old)) is not None  # still acceptable: nothing advanced


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


# --- wrong recipient


@pytest.mark.parametrize(
    "scope", [Scope("office", "north"), Scope("bearing", "all"), Scope("office", "all", "canary")], ids=str
)
def test_another_scopes_bundle_with_the_same_keys(fleet: Fleet, tmp_path: Path, scope: Scope) -> None:
    """Trap: with shared keys TUF itself accepts it, and then refuses the device's own."""
    repository = Repository(fleet.keys, scope)
    for version in range(1, 9):
        payload = fleet.publish(version, repository=repository)
    fleet.refuses(payload, "foreign")
    fresh = Fleet(fleet.keys, tmp_path / "fresh")
    fresh.apart = fleet.apart
    fresh.refuses(payload, "foreign")


def test_one_role_of_another_scope_is_enough(fleet: Fleet) -> None:
    repository = Repository(fleet.keys, Scope("office", "north"))
    for version in range(1, 4):
        foreign = trust.unpack_bundle(fleet.publish(version, repository=repository))
    own = trust.unpack_bundle(fleet.publish(3))
    for role in trust.ROLES:
        fleet.refuses(trust.pack_bundle({**own, f"{role}.json": foreign[f"{role}.json"]}), "foreign")


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


def test_endless_bundle(fleet: Fleet) -> None:
    fleet.refuses(zlib.compress(bytes(50_000_000)), "too_large")


def test_endless_metadata(fleet: Fleet) -> None:
    padded = altered(fleet.publish(3), "timestamp.json", lambda data: data + b" " * 100_000)
    fleet.refuses(padded, "too_large")


def test_an_artifact_beyond_the_limit_is_refused_before_it_is_asked_for(fleet: Fleet) -> None:
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
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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

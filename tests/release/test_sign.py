"""The service's side of trust: versions that only go up, renewal, and what travels in which message."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from iot_stream.artifact import blobs, trust
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, StoreError
from iot_stream.release.keys import Keys
from iot_stream.release.sign import INLINE_LIMIT, LIFETIME, Repository, Target, bundle, renew_due

NOW = 1_800_000_000 * SECOND
DAY = 24 * 3600 * SECOND
SCOPE = Scope("office", "all")
TARGETS = {
    "graph.onnx": Target(b"graph"),
    "spec.json": Target(b"{}"),
    "weights.int8": Target(b"weights", {"gate": "0.912 > 0.881"}),
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.create(tmp_path_factory.mktemp("release") / "keys", root_keys=1, root_threshold=1)


def signings(entries: Mapping[str, bytes]) -> set[int]:
    return {trust.parse(entries[f"{role}.json"]).signed.version for role in trust.ROLES}


def weights_custom(entries: Mapping[str, bytes]) -> Any:
    return trust.parse(entries["targets.json"]).signed.targets["weights.int8"].custom


def test_every_signing_counts_up(keys: Keys) -> None:
    repository = Repository(keys, SCOPE)
    assert signings(repository.release(1, TARGETS, NOW)) == {1}
    assert signings(repository.renew(NOW)) == {2}
    assert signings(repository.release(5, TARGETS, NOW)) == {3}
    assert repository.version == 5


def test_custom_fields_are_signed_verbatim_with_the_version(keys: Keys) -> None:
    entries = Repository(keys, SCOPE).release(7, TARGETS, NOW)
    assert weights_custom(entries) == {"version": "7", "gate": "0.912 > 0.881"}


def test_a_renewal_publishes_the_same_targets(keys: Keys) -> None:
    repository = Repository(keys, SCOPE)
    released = trust.parse(repository.release(1, TARGETS, NOW)["targets.json"]).signed
    renewed = trust.parse(repository.renew(NOW + 20 * DAY)["targets.json"]).signed
    assert renewed.targets == released.targets
    assert (renewed.expires - released.expires).days == 20


def test_a_version_is_never_signed_twice(keys: Keys) -> None:
    repository = Repository(keys, SCOPE)
    first = repository.release(3, TARGETS, NOW)
    for again in (repository, Repository(keys, SCOPE, first)):
        for version in (3, 2, 0):
            with pytest.raises(StoreError, match="not newer than 3"):
                again.release(version, TARGETS, NOW)
    assert signings(repository.release(4, TARGETS, NOW)) == {2}


def test_nothing_to_renew_before_the_first_release(keys: Keys) -> None:
    with pytest.raises(StoreError, match="no release to renew"):
        Repository(keys, SCOPE).renew(NOW)


def test_continues_from_the_last_bundle(keys: Keys) -> None:
    first = Repository(keys, SCOPE)
    first.release(1, TARGETS, NOW)
    payload, _ = bundle(first.release(2, TARGETS, NOW), TARGETS)
    second = Repository(keys, SCOPE, trust.unpack_bundle(payload))
    assert second.version == 2
    assert signings(second.renew(NOW)) == {3}


def test_a_last_bundle_that_is_not_ours_is_refused(keys: Keys, tmp_path: Path) -> None:
    ours = Repository(keys, SCOPE).release(1, TARGETS, NOW)
    others = Keys.create(tmp_path / "keys", root_keys=1, root_threshold=1)
    for last in (
        Repository(others, SCOPE).release(99, TARGETS, NOW),
        Repository(keys, Scope("office", "north")).release(99, TARGETS, NOW),
        {**ours, "targets.json": ours["targets.json"].replace(b'"version":"1"', b'"version":"9"')},
        {**ours, "timestamp.json": b"junk"},
        {},
    ):
        with pytest.raises(ConfigError, match="restore the keys"):
            Repository(keys, SCOPE, last)


def test_renewal_is_due_at_half_of_the_lifetime(keys: Keys) -> None:
    entries = Repository(keys, SCOPE).release(1, TARGETS, NOW)
    half = int(LIFETIME.total_seconds()) * SECOND // 2
    assert not renew_due(entries, NOW)
    assert not renew_due(entries, NOW + half - SECOND)
    assert renew_due(entries, NOW + half)
    assert renew_due(entries, NOW + 10 * half)


def test_metadata_is_compact_ascii(keys: Keys) -> None:
    for data in Repository(keys, Scope("büro", "süd")).release(1, TARGETS, NOW).values():
        assert data.isascii()
        assert b" " not in data.replace(b"0.912 > 0.881", b"")


def test_the_first_root_stays_at_home_and_later_ones_travel(keys: Keys) -> None:
    assert set(Repository(keys, SCOPE).release(1, TARGETS, NOW)) == {
        "timestamp.json",
        "snapshot.json",
        "targets.json",
    }
    rotated = Keys(keys.online, {**keys.root_chain(), "2.root.json": keys.newest_root})
    assert Repository(rotated, SCOPE).release(1, TARGETS, NOW)["2.root.json"] == keys.newest_root


def test_small_weights_travel_in_the_bundle_and_the_rest_apart(keys: Keys) -> None:
    entries = Repository(keys, SCOPE).release(1, TARGETS, NOW)
    payload, apart = bundle(entries, TARGETS)
    assert trust.unpack_bundle(payload) == {**entries, "blob/" + blobs.address(b"weights"): b"weights"}
    assert {piece.artifact: data for piece, data in apart.items()} == {
        blobs.address(b"graph"): b"graph",
        blobs.address(b"{}"): b"{}",
    }


@pytest.mark.parametrize(("size", "inlined"), [(INLINE_LIMIT, True), (INLINE_LIMIT + 1, False)])
def test_weights_are_inlined_up_to_the_limit(keys: Keys, size: int, inlined: bool) -> None:
    targets = {**TARGETS, "weights.int8": Target(bytes(size))}
    payload, apart = bundle(Repository(keys, SCOPE).release(1, targets, NOW), targets)
    address = blobs.address(bytes(size))
    assert (f"blob/{address}" in trust.unpack_bundle(payload)) is inlined
    assert (address in {piece.artifact for piece in apart}) is not inlined

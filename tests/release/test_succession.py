"""Keys that follow others: what it takes, what a device makes of it, what the old key's thief can do."""

from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from iot_stream.artifact import trust
from iot_stream.errors import ConfigError
from iot_stream.release import succession
from iot_stream.release.keys import NEW, ONLINE, Keys, write_new
from iot_stream.release.sign import Repository, bundle
from tests.device.fleet import NOW, SCOPE, Fleet, targets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Keys.create(tmp_path / "keys")
    return tmp_path / "keys"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def fleet(folder: Path, tmp_path: Path) -> Fleet:
    """A device that was set up before the keys changed."""
    fleet = Fleet(Keys.load(folder), tmp_path / "state")
    fleet.apply(fleet.publish(1))
    return fleet


def with_new_keys(fleet: Fleet, folder: Path, last: bytes) -> Repository:
    return Repository(Keys.load(folder), SCOPE, trust.unpack_bundle(last), rekeyed=True)


def test_a_rotated_key_signs_on_where_the_former_one_ended(fleet: Fleet, folder: Path) -> None:
    before = fleet.publish(2)
    assert succession.rotate(folder) == 2
    fleet.repository = with_new_keys(fleet, folder, before)
    renewed, _ = bundle(fleet.repository.renew(NOW), targets(2))
    assert fleet.apply(renewed) is not None
    assert fleet.runs() == 2
    assert fleet.apply(fleet.publish(3)) is not None


def test_key_compromise(fleet: Fleet, folder: Path) -> None:
    """Whoever has the old online key counts as high as they like, until devices know the new root."""
    thief = Repository(fleet.keys, SCOPE)
    thief.count_above(10**9)
    assert fleet.apply(fleet.publish(10**6, repository=thief)) is not None  # before anybody knows
    honest = fleet.publish(2)
    fleet.refuses(honest, "older")
    succession.rotate(folder)
    fleet.repository = with_new_keys(fleet, folder, honest)
    assert fleet.apply(fleet.publish(3)) is not None
    assert fleet.runs() == 3
    fleet.refuses(fleet.publish(10**6 + 1, repository=thief), "unsigned")


def test_a_withheld_root(fleet: Fleet, folder: Path) -> None:
    """What a key signs that a device has not been told of is nothing to it, until the root comes."""
    last = fleet.publish(2)
    succession.rotate(folder)
    fleet.repository = with_new_keys(fleet, folder, last)
    payload = fleet.publish(3)
    entries = trust.unpack_bundle(payload)
    withheld = {name: data for name, data in entries.items() if not name.endswith(".root.json")}
    assert len(withheld) < len(entries)
    fleet.refuses(trust.pack_bundle(withheld), "unsigned")
    assert fleet.apply(payload) is not None
    assert fleet.runs() == 3


def test_a_root_key_that_was_lost_is_replaced_by_the_others(folder: Path) -> None:
    _, known = succession.shown(folder)
    lost = known[0]
    assert lost.private is not None
    lost.private.unlink()
    assert succession.revoke(folder, lost.keyid[:12]) == 2
    after, known_after = succession.shown(folder)
    assert (after.version, after.roles["root"].threshold) == (2, 2)
    assert lost.keyid not in {key.keyid for key in known_after}
    assert len([key for key in known_after if key.role == "root" and key.private]) == 3
    assert known_after[-1].keyid == known[-1].keyid  # the online key stays
    assert succession.rotate(folder) == 3


def test_a_device_follows_roots_that_it_missed(fleet: Fleet, folder: Path) -> None:
    last = fleet.publish(2)
    for _ in range(3):
        succession.revoke(folder, succession.shown(folder)[1][0].keyid)
    succession.rotate(folder)
    fleet.repository = with_new_keys(fleet, folder, last)
    assert fleet.apply(fleet.publish(3)) is not None


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_root_keys_change_nothing(folder: Path, tmp_path: Path, count: int) -> None:
    aside = tmp_path / "aside"
    (folder / "root").rename(aside)
    before = files(folder)
    for change in (
        lambda signing: succession.rotate(folder, signing),
        lambda signing: succession.revoke(folder, succession.shown(folder)[1][0].keyid, signing),
    ):
        with pytest.raises(ConfigError, match="root keys must sign a new root"):
            change([aside / f"{number}.pem" for number in range(1, count + 1)])
    assert files(folder) == before
    assert succession.rotate(folder, [aside / "1.pem", aside / "3.pem"]) == 2


def test_other_keys_count_for_nothing(folder: Path, tmp_path: Path) -> None:
    write_new(tmp_path / "own.pem", CryptoSigner.generate_ed25519().private_bytes, 0o600)
    with pytest.raises(ConfigError, match="must sign"):
        succession.rotate(folder, [tmp_path / "own.pem", folder / "root/1.pem"])


@pytest.mark.parametrize("keyid", ["", "zz"])
def test_a_key_that_is_not_told_apart_is_not_revoked(folder: Path, keyid: str) -> None:
    with pytest.raises(ConfigError, match="keys show"):
        succession.revoke(folder, keyid)


def test_a_change_that_was_cut_short_is_brought_to_its_end(folder: Path) -> None:
    """A power cut between the new root and the new key's name."""
    old = (folder / ONLINE).read_bytes()
    succession.rotate(folder)
    new = (folder / ONLINE).read_bytes()
    (folder / ONLINE).write_bytes(old)
    write_new(folder / (ONLINE + NEW), new, 0o600)
    assert Keys.load(folder).online.private_bytes == new
    assert (folder / ONLINE).read_bytes() == new
    assert succession.rotate(folder) == 3


def test_a_key_that_was_made_and_never_named_is_in_nobodys_way(folder: Path) -> None:
    """A power cut before the new root."""
    write_new(folder / (ONLINE + NEW), CryptoSigner.generate_ed25519().private_bytes, 0o600)
    assert Keys.load(folder).root_chain().keys() == {"1.root.json"}
    assert succession.rotate(folder) == 2


def test_private_keys_are_for_the_owner_alone(folder: Path) -> None:
    succession.rotate(folder)
    succession.revoke(folder, succession.shown(folder)[1][0].keyid)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.pem")} == {0o600}

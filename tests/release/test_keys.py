"""Keys on disk: private, never overwritten, and refused when they do not fit together."""

from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from iot_stream.artifact import trust
from iot_stream.errors import ConfigError
from iot_stream.release.keys import Keys


def test_create_then_load_gives_the_same_keys(tmp_path: Path) -> None:
    made = Keys.create(tmp_path / "keys")
    loaded = Keys.load(tmp_path / "keys")
    assert loaded.online.private_bytes == made.online.private_bytes
    assert loaded.root_chain() == made.root_chain() == {"1.root.json": made.newest_root}
    trust.check_root(loaded.newest_root)


def test_private_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys", root_keys=2, root_threshold=1)
    private = {
        path.relative_to(tmp_path / "keys").as_posix(): path for path in (tmp_path / "keys").rglob("*.pem")
    }
    assert set(private) == {"online.pem", "root/1.pem", "root/2.pem"}
    assert {path.stat().st_mode & 0o777 for path in private.values()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys", tmp_path / "keys/root")} == {0o700}
    assert "Move them off this machine" in (tmp_path / "keys/root/README").read_text()


def test_the_default_is_two_of_three_and_the_online_key_cannot_sign_a_root(tmp_path: Path) -> None:
    keys = Keys.create(tmp_path / "keys")
    root = Metadata[Root].from_bytes(keys.newest_root).signed
    assert (len(root.roles["root"].keyids), root.roles["root"].threshold) == (3, 2)
    assert keys.online.public_key.keyid not in root.roles["root"].keyids
    assert not root.consistent_snapshot


def test_the_service_needs_no_root_keys(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys")
    for path in (tmp_path / "keys/root").iterdir():
        path.unlink()
    (tmp_path / "keys/root").rmdir()
    assert Keys.load(tmp_path / "keys").root_chain()


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys")
    before = {path: path.read_bytes() for path in (tmp_path / "keys").rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="never overwritten"):
        Keys.create(tmp_path / "keys")
    assert {path: path.read_bytes() for path in (tmp_path / "keys").rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_an_empty_directory_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    assert Keys.create(tmp_path / "keys", root_keys=1, root_threshold=1).root_chain()


@pytest.mark.parametrize(("root_keys", "threshold"), [(1, 2), (3, 0), (0, 0)])
def test_a_threshold_that_cannot_be_met_is_refused(tmp_path: Path, root_keys: int, threshold: int) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        Keys.create(tmp_path / "keys", root_keys, threshold)
    assert not (tmp_path / "keys").exists()


def test_load_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1\.root\.json is missing; .*iot-stream keys init"):
        Keys.load(tmp_path / "nowhere")
    Keys.create(tmp_path / "keys")
    (tmp_path / "keys/1.root.json").unlink()
    with pytest.raises(ConfigError, match=r"1\.root\.json is missing"):
        Keys.load(tmp_path / "keys")


def test_an_online_key_that_the_root_does_not_name_is_refused(tmp_path: Path) -> None:
    Keys.create(tmp_path / "keys")
    (tmp_path / "keys/online.pem").write_bytes(CryptoSigner.generate_ed25519().private_bytes)
    with pytest.raises(ConfigError, match="not the key that the root names"):
        Keys.load(tmp_path / "keys")


@pytest.mark.parametrize("name", ["online.pem", "1.root.json"])
@pytest.mark.parametrize("content", [b"", b"junk", b"{}"])
def test_damaged_files_are_the_persons_error(tmp_path: Path, name: str, content: bytes) -> None:
    Keys.create(tmp_path / "keys")
    (tmp_path / "keys" / name).write_bytes(content)
    with pytest.raises(ConfigError, match="restore them"):
        Keys.load(tmp_path / "keys")

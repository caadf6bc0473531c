"""Keys that follow others: a new root names them, signed by enough keys of the former root and of its own.

Devices learn of it from the next bundle, which brings every root. From a device that has heard of the new
online key, whoever has the former one can get nothing accepted any more (TUF specification §6.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from iot_stream.artifact import trust
from iot_stream.clock import SECOND, wall
from iot_stream.errors import ConfigError
from iot_stream.release.keys import NEW, ONLINE, ROOT_DIRECTORY, ROOT_LIFETIME, Keys, read_key, write_new


@dataclass(frozen=True)
class KnownKey:
    """A key that the newest root names; `private`: where its private half lies here, if it does."""

    keyid: str
    role: str
    private: Path | None


def shown(directory: Path) -> tuple[Root, list[KnownKey]]:
    """The newest root, and its keys. Raises ConfigError."""
    root = _newest(Keys.load(directory))
    here = {read_key(path).public_key.keyid: path for path in _root_keys(directory)}
    online = root.roles[trust.ROLES[0]].keyids[0]
    keys = [KnownKey(keyid, "root", here.get(keyid)) for keyid in root.roles[Root.type].keyids]
    return root, [*keys, KnownKey(online, "online", directory / ONLINE)]


def rotate(directory: Path, signing: Sequence[Path] = ()) -> int:
    """A new online key in place of the old one; returns the version of the root that names it.

    signing: private root keys, by default those in `directory`/root. Raises ConfigError for too few.
    """
    return _succeed(directory, signing, _newest(Keys.load(directory)).roles[trust.ROLES[0]].keyids[0])


def revoke(directory: Path, keyid: str, signing: Sequence[Path] = ()) -> int:
    """Another key in place of this one, a root key or the online key; `keyid` may be its beginning."""
    _, known = shown(directory)
    meant = [key for key in known if key.keyid.startswith(keyid)]
    if len(meant) != 1:
        raise ConfigError(f"{len(meant)} keys begin with {keyid!r}; `iot-stream keys show` lists them")
    return _succeed(directory, signing, meant[0].keyid)


def _succeed(directory: Path, signing: Sequence[Path], leaving: str) -> int:
    keys = Keys.load(directory)
    old = _newest(keys)
    root = _newest(keys)  # another copy
    root.version += 1
    root.expires = datetime.fromtimestamp(wall() // SECOND, UTC) + ROOT_LIFETIME
    made = CryptoSigner.generate_ed25519()
    roles = [role for role in (Root.type, *trust.ROLES) if leaving in root.roles[role].keyids]
    for role in roles:
        root.revoke_key(leaving, role)
        root.add_key(made.public_key, role)
    metadata = Metadata(root)
    for path in signing or _root_keys(directory):
        signer = read_key(path)
        if signer.public_key.keyid in {*old.roles[Root.type].keyids, *root.roles[Root.type].keyids}:
            metadata.sign(signer, append=True)
    if Root.type in roles:
        metadata.sign(made, append=True)
    _check_signed(old, root, metadata)
    _write(directory, metadata, made, online=Root.type not in roles)
    return root.version


def _check_signed(old: Root, new: Root, metadata: Metadata[Root]) -> None:
    for root in (old, new):
        try:
            root.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
        except UnsignedMetadataError as error:
            raise ConfigError(
                f"{root.roles[Root.type].threshold} root keys must sign a new root, of the former one's and "
                f"of its own: name their files with --root-key ({error})"
            ) from error


def _write(directory: Path, metadata: Metadata[Root], made: CryptoSigner, online: bool) -> None:
    """The private key first: a root whose key was lost on the way could never be used."""
    if online:
        following = directory / (ONLINE + NEW)
        following.unlink(missing_ok=True)
    else:
        (directory / ROOT_DIRECTORY).mkdir(mode=0o700, exist_ok=True)
        following = directory / ROOT_DIRECTORY / f"{metadata.signed.version}-{made.public_key.keyid[:8]}.pem"
    write_new(following, made.private_bytes, 0o600)
    root = metadata.to_bytes(JSONSerializer(compact=True))
    write_new(directory / trust.root_name(metadata.signed.version), root, 0o644)
    if online:
        following.replace(directory / ONLINE)


def _newest(keys: Keys) -> Root:
    return Metadata[Root].from_bytes(keys.newest_root).signed


def _root_keys(directory: Path) -> list[Path]:
    return sorted((directory / ROOT_DIRECTORY).glob("*.pem"))

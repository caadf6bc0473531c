"""The keys that sign releases: a few root keys, kept offline, and one online key for daily work.

    keys/
    ├── 1.root.json …   public: the newest is given to a device when it is set up (`iot-stream device add`)
    ├── online.pem      signs every release and renewal; stays with the service
    └── root/           1.pem, 2.pem … and a README; sign only the root: move them off this machine

One root serves all pipelines, cohorts and slots: what a bundle is meant for is in its signed scope.
The roles timestamp, snapshot and targets share one key, because keys that lie on the same disk are
stolen together. A stolen online key is revoked with the root keys (TUF specification §6.1): `succession`.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import Error as KeyFormatError
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization.json import JSONSerializer

from iot_stream.artifact import trust
from iot_stream.clock import SECOND, wall
from iot_stream.errors import ConfigError

# A root that expires stops every device's updates until the offline keys are fetched, so it lasts as
# long as a device does; compromise is answered by a new root, not by waiting for this date.
ROOT_LIFETIME = timedelta(days=3650)
ONLINE, NEW = "online.pem", ".new"
ROOT_DIRECTORY = "root"
_README = """These keys can replace every other key. Move them off this machine now (each to another
medium or person), keep this directory empty, and bring them back only to rotate or revoke keys.
"""


@dataclass(frozen=True)
class Keys:
    """What a publisher needs to sign: the online key, and the public chain of roots."""

    online: CryptoSigner
    _roots: Mapping[str, bytes]

    @classmethod
    def create(cls, directory: Path, root_keys: int = 3, root_threshold: int = 2) -> "Keys":
        """Makes new keys in `directory`, all or nothing; private files are readable by the owner alone.

        Raises ConfigError if the directory holds anything, or the threshold cannot be met.
        """
        if not 1 <= root_threshold <= root_keys:
            raise ConfigError(
                f"{root_threshold} of {root_keys} root keys cannot sign; use 1 ≤ threshold ≤ keys"
            )
        directory.parent.mkdir(parents=True, exist_ok=True)
        online = CryptoSigner.generate_ed25519()
        signers = [CryptoSigner.generate_ed25519() for _ in range(root_keys)]
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".keys-") as scratch:
            staged = Path(scratch) / "keys"
            (staged / ROOT_DIRECTORY).mkdir(mode=0o700, parents=True)
            staged.chmod(0o700)
            write_new(staged / ONLINE, online.private_bytes, 0o600)
            for number, signer in enumerate(signers, 1):
                write_new(staged / ROOT_DIRECTORY / f"{number}.pem", signer.private_bytes, 0o600)
            write_new(staged / ROOT_DIRECTORY / "README", _README.encode(), 0o600)
            root = _signed_root(signers, root_threshold, online)
            write_new(staged / trust.root_name(1), root, 0o644)
            try:
                staged.rename(directory)  # fails unless `directory` is absent or empty
            except OSError as error:
                raise ConfigError(
                    f"{directory} is not empty, and keys are never overwritten; name another directory"
                ) from error
        return cls(online, {trust.root_name(1): root})

    @classmethod
    def load(cls, directory: Path) -> "Keys":
        """The keys made by `create`; the root keys need not be there.

        Raises ConfigError if something is missing, unreadable, or does not fit together.
        """
        try:
            roots = _read_roots(directory)
            newest = Metadata[Root].from_bytes(roots[trust.root_name(len(roots))]).signed
            online = _online(directory, newest)
        except FileNotFoundError as error:
            raise ConfigError(
                f"{error.filename} is missing; make keys with `iot-stream keys init`"
            ) from error
        except (OSError, ValueError, TypeError, KeyFormatError, RepositoryError) as error:
            raise ConfigError(f"keys in {directory} are not usable: {error}; restore them") from error
        if not _names(newest, online):
            raise ConfigError(
                f"{directory}/{ONLINE} is not the key that the root names; restore the right one"
            )
        return cls(online, roots)

    def root_chain(self) -> dict[str, bytes]:
        """All root metadata by name, `1.root.json` first; the last is what a new device is given."""
        return dict(self._roots)

    def signed(self, entries: Mapping[str, bytes]) -> bool:
        """Whether a bundle's metadata bears the signature of the key that the newest root names, and brings
        that root."""
        newest = trust.root_name(len(self._roots))
        return trust.signed_by(self.newest_root, entries["targets.json"]) and (
            len(self._roots) == 1 or entries.get(newest) == self.newest_root
        )

    @property
    def newest_root(self) -> bytes:
        """The root metadata for a device that is set up now."""
        return self._roots[trust.root_name(len(self._roots))]


def read_key(path: Path) -> CryptoSigner:
    """A private key. Raises ConfigError."""
    try:
        return CryptoSigner(load_pem_private_key(path.read_bytes(), None))
    except (OSError, ValueError, TypeError, KeyFormatError) as error:
        raise ConfigError(f"{path} is not a usable private key: {error}") from error


def _online(directory: Path, root: Root) -> CryptoSigner:
    """The key that the root names; a change of keys that was cut short is brought to its end."""
    path, following = directory / ONLINE, directory / (ONLINE + NEW)
    online = CryptoSigner(load_pem_private_key(path.read_bytes(), None))
    if not _names(root, online) and following.exists():
        online = CryptoSigner(load_pem_private_key(following.read_bytes(), None))
        if _names(root, online):
            following.replace(path)
    return online


def _names(root: Root, online: CryptoSigner) -> bool:
    return all(root.roles[role].keyids == [online.public_key.keyid] for role in trust.ROLES)


def _signed_root(signers: list[CryptoSigner], threshold: int, online: CryptoSigner) -> bytes:
    expires = datetime.fromtimestamp(wall() // SECOND, UTC) + ROOT_LIFETIME
    root = Root(version=1, expires=expires, consistent_snapshot=False)
    for signer in signers:
        root.add_key(signer.public_key, Root.type)
    root.roles[Root.type].threshold = threshold
    for role in trust.ROLES:
        root.add_key(online.public_key, role)
    metadata = Metadata(root)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes(JSONSerializer(compact=True))


def _read_roots(directory: Path) -> dict[str, bytes]:
    roots: dict[str, bytes] = {}
    while (path := directory / trust.root_name(len(roots) + 1)).exists() or not roots:
        roots[path.name] = path.read_bytes()
    return roots


def write_new(path: Path, data: bytes, mode: int) -> None:
    """A file that was not there, on the disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

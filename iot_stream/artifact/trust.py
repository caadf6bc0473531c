"""Trust between service and device: The Update Framework (TUF 1.0), carried in one message.

A *bundle* is a deflated MessagePack map of names to verbatim bytes: the signed metadata of one tiny
TUF repository (`timestamp.json`, `snapshot.json`, `targets.json`, and `N.root.json` for N ≥ 2, since
a device starts with its first root) and, under `blob/<sha256>`, artifacts small enough to be inlined.

`verify` is bytes in, bytes and targets out: python-tuf's client runs on a bundle in a scratch
directory, so that a refused bundle leaves nothing behind. It adds two checks that TUF leaves to its
users: the signed `scope` (with shared keys a cohort would take another's bundle, and then refuse its
own), and expiry against the caller's time, because the library reads a clock that may be set back.
"""

import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, TargetFile, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, Refused

ROLES = ("timestamp", "snapshot", "targets")
GRAPH = "graph.onnx"
SPEC = "spec.json"
WEIGHTS = "weights."  # followed by the name of an encoding
DELTA = "delta.int4"
BASE_FIELD = "base"  # of a delta: the address of the weights that it changes
SCOPE_FIELD = "scope"
BLOB = "blob/"
STABLE, CANARY = "stable", "canary"
SLOTS = (STABLE, CANARY)

MAX_BUNDLE = 256 * 1024
"""Bytes of a bundle once unpacked: four metadata files, and weights of at most 32 kB with room to spare."""

REASONS = (
    "malformed",
    "too_large",
    "unsupported",
    "foreign",
    "unsigned",
    "altered",
    "older",
    "expired",
    "refused_before",
    "self_test",
)
"""Every reason for which a device refuses a release."""

# Sized to what we publish: metadata of three targets, a root of a few keys, no delegations.
_LIMITS = UpdaterConfig(
    max_root_rotations=32,
    max_delegations=0,
    root_max_length=32 * 1024,
    timestamp_max_length=8 * 1024,
    snapshot_max_length=8 * 1024,
    targets_max_length=64 * 1024,
    prefix_targets_with_hash=False,
)
_URL = "bundle:/"


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle is meant for. Its metadata versions and releases count within the scope alone."""

    pipeline: str
    cohort: str
    slot: str = STABLE

    def of_slot(self, slot: str) -> "Scope":
        """The same cohort's other slot, or the same."""
        return msgspec.structs.replace(self, slot=slot)

    def signed_field(self) -> dict[str, dict[str, str]]:
        """What timestamp, snapshot and targets carry beside the fields of TUF."""
        return {SCOPE_FIELD: {"pipeline": self.pipeline, "cohort": self.cohort, "slot": self.slot}}

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.cohort}/{self.slot}"


@dataclass(frozen=True)
class Verified:
    """The metadata to trust from now on (file → bytes), and the targets that it vouches for by name.

    rekeyed: what was trusted before was signed with a key that the root no longer names, so its numbers
    count for nothing.
    """

    metadata: dict[str, bytes]
    targets: dict[str, TargetFile]
    rekeyed: bool = False


def metadata_name(role: str) -> str:
    """The bundle's entry of a role: `timestamp.json`."""
    return f"{role}.json"


def root_name(version: int) -> str:
    """The bundle's entry of a version of the root: `2.root.json`."""
    return f"{version}.root.json"


def pack_bundle(entries: Mapping[str, bytes]) -> bytes:
    """The bundle of these entries; equal entries give equal bytes."""
    return zlib.compress(msgspec.msgpack.encode(dict(sorted(entries.items()))), 9)


def unpack_bundle(payload: bytes, max_bytes: int = MAX_BUNDLE) -> dict[str, bytes]:
    """A bundle's entries. Never inflates more than `max_bytes`, whatever the payload claims to hold.

    Raises Refused: `too_large` or `malformed`.
    """
    inflater = zlib.decompressobj()
    try:
        packed = inflater.decompress(payload, max_bytes + 1)
    except zlib.error as error:
        raise Refused("malformed", f"the bundle is not deflated: {error}") from error
    if len(packed) > max_bytes:
        raise Refused("too_large", f"the bundle unpacks to more than {max_bytes} bytes")
    if not inflater.eof or inflater.unused_data:
        raise Refused("malformed", "the bundle is cut short or has something appended")
    try:
        return msgspec.msgpack.decode(packed, type=dict[str, bytes])
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", f"the bundle is not a map of names to bytes: {error}") from error


def check_root(root: bytes) -> None:
    """Raises ConfigError unless `root` is root metadata signed by its own keys."""
    try:
        metadata = Metadata[Root].from_bytes(root)
        metadata.signed.verify_delegate(Root.type, metadata.signed_bytes, metadata.signatures)
    except (exceptions.RepositoryError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the device's root of trust is not usable ({error}); write it anew with `iot-stream device add`"
        ) from error


def parse(data: bytes) -> Metadata[Any]:
    """Metadata of any role, not verified. Raises tuf's RepositoryError if it is none."""
    return Metadata.from_bytes(data)


def check_scope(metadata: Metadata[Any], scope: Scope) -> None:
    """Raises Refused (`foreign`) unless the metadata says that it is meant for this scope."""
    expected = scope.signed_field()
    found = metadata.signed.unrecognized_fields.get(SCOPE_FIELD)
    if found != expected[SCOPE_FIELD]:
        raise Refused("foreign", f"{metadata.signed.type} is meant for {found}, not for {scope}")


def verify(
    trusted: Mapping[str, bytes], root: bytes, entries: Mapping[str, bytes], scope: Scope, now: int
) -> Verified:
    """Runs TUF's client workflow (specification §5) on a bundle.

    trusted: the `metadata` of the last Verified of this scope, empty for none; it is what a rollback
    is measured against. root: the root metadata that the device was given when it was set up.
    now: nanoseconds; metadata must be fresh by this time *and* by the system's clock.

    Raises Refused: malformed, too_large, foreign, unsigned, altered, older or expired.
    """
    try:
        _check_scopes(entries, scope)
        with tempfile.TemporaryDirectory(prefix="iot-stream-") as directory:
            _write(Path(directory), trusted)
            Updater(
                directory, _URL, fetcher=_BundleFetcher(entries), config=_LIMITS, bootstrap=root
            ).refresh()
            metadata = _read(Path(directory))
        _check_fresh(metadata, now)
        rekeyed = not signed_by(metadata["root.json"], trusted.get("targets.json"))
        del metadata["root.json"]  # but a link to the newest of root_history/
        return Verified(metadata, targets_of(metadata), rekeyed)
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        raise Refused(_reason(error), f"bundle of {scope}: {error}") from error


def targets_of(metadata: Mapping[str, bytes]) -> dict[str, TargetFile]:
    """The targets that verified metadata vouches for, by name."""
    return Metadata[Targets].from_bytes(metadata["targets.json"]).signed.targets


def signings(metadata: Mapping[str, str | bytes]) -> int:
    """How often the scope of verified metadata had been signed."""
    text = metadata["timestamp.json"]
    return int(parse(text.encode() if isinstance(text, str) else text).signed.version)


def signed_by(root: bytes, targets: bytes | None) -> bool:
    """Whether this root's key for targets signed them; nothing needs no signature."""
    if targets is None:
        return True
    metadata = Metadata[Targets].from_bytes(targets)
    try:
        Metadata[Root].from_bytes(root).signed.verify_delegate(
            Targets.type, metadata.signed_bytes, metadata.signatures
        )
    except exceptions.UnsignedMetadataError:
        return False
    return True


class _BundleFetcher(FetcherInterface):
    """Serves a bundle's entries to python-tuf, which believes it is downloading them."""

    def __init__(self, entries: Mapping[str, bytes]) -> None:
        self._entries = entries

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_URL)
        if name not in self._entries:
            # For a next root this is how the client learns that it has the newest.
            raise exceptions.DownloadHTTPError(f"the bundle has no {name}", 404)
        return iter([self._entries[name]])


def _check_scopes(entries: Mapping[str, bytes], scope: Scope) -> None:
    """Before the signatures, because another cohort's bundle would also look older or altered; what is
    checked here are the very bytes whose signatures are verified next."""
    for name in map(metadata_name, ROLES):
        if name not in entries:
            raise Refused("malformed", f"the bundle has no {name}")
        check_scope(parse(entries[name]), scope)


def _check_fresh(metadata: Mapping[str, bytes], now: int) -> None:
    moment = datetime.fromtimestamp(now / SECOND, UTC)
    for role in ("root", *ROLES):
        if parse(metadata[metadata_name(role)]).signed.is_expired(moment):
            raise exceptions.ExpiredMetadataError(f"{metadata_name(role)} is expired")


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    (directory / "root_history").mkdir()
    for name, data in files.items():
        (directory / name).write_bytes(data)


def _read(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*.json")}


def _reason(error: exceptions.RepositoryError | exceptions.DownloadError) -> str:
    match error:
        case exceptions.ExpiredMetadataError():
            return "expired"
        case exceptions.BadVersionNumberError():
            return "older"
        case exceptions.UnsignedMetadataError():
            return "unsigned"
        case exceptions.LengthOrHashMismatchError():
            return "altered"
        case exceptions.DownloadLengthMismatchError():
            return "too_large"
        case _:
            return "malformed"

"""Signs releases: one tiny TUF repository per pipeline, cohort and slot, kept in its last bundle.

Timestamp, snapshot and targets carry one common, increasing version that counts signings; which
*release* they publish is the `version` in the signed custom fields of the weights. Both only go up.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from iot_stream.artifact import blobs, pieces, trust
from iot_stream.artifact.pieces import Piece
from iot_stream.artifact.stages import EVERYBODY, Audience
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError, Refused, StoreError
from iot_stream.release.keys import Keys

LIFETIME = timedelta(days=30)
"""How long a device takes a bundle for fresh. Long, because each renewal reaches every device."""

INLINE_LIMIT = 32 * 1024
"""Bytes of weights up to which a release is one message."""


@dataclass(frozen=True)
class Target:
    """One artifact of a release and its signed custom fields: strings alone, TUF signs no floats.

    limit: bytes that fit one message; 0: any.
    """

    data: bytes
    custom: Mapping[str, str] = field(default_factory=dict)
    limit: int = 0

    @property
    def parts(self) -> list[bytes]:
        return pieces.cut(self.data, self.limit)


@dataclass(frozen=True)
class Delta:
    """What makes the release's weights of those at the address `base`; `accuracy_change`: on the gate's
    windows, against weights that were not rounded to it."""

    content: bytes
    base: str
    accuracy_change: float

    def signed_fields(self) -> dict[str, str]:
        return {trust.BASE_FIELD: self.base, "accuracy_change": f"{self.accuracy_change:.4f}"}


class Repository:
    """Signs the releases of one scope, continuing from the entries of its last bundle (None: the first).

    Raises ConfigError if that bundle was signed with other keys or for another scope. It may come from
    the broker, where anyone may have written it; `rekeyed`: it is our own, and former keys of ours will do.
    """

    def __init__(
        self, keys: Keys, scope: Scope, last: Mapping[str, bytes] | None = None, rekeyed: bool = False
    ) -> None:
        self._keys = keys
        self._scope = scope
        self._roots = keys.root_chain() if rekeyed else {"": keys.newest_root} if last is not None else {}
        self._signings = 0
        self._targets: dict[str, TargetFile] = {}
        if last is not None:
            self._continue_from(last)

    @property
    def signings(self) -> int:
        """How often this scope was signed; devices refuse what counts less than they have seen."""
        return self._signings

    @property
    def version(self) -> int:
        """The version of the last release, 0 before the first."""
        return max((int(target.custom["version"]) for target in self._weights()), default=0)

    def release(self, version: int, targets: Mapping[str, Target], now: int) -> dict[str, bytes]:
        """Signs a new release and returns its bundle's metadata entries.

        targets: `graph.onnx`, `spec.json`, `weights.<encoding>`; the weights' custom fields get the
        version. Raises StoreError unless the version is newer than the last.
        """
        if version <= self.version:
            raise StoreError(
                f"version {version} of {self._scope} is not newer than {self.version}, the last one signed; "
                "let the registry take over the highest version on the broker"
            )
        self._targets = {name: _target_file(name, target, version) for name, target in targets.items()}
        return self._sign(now)

    def renew(self, now: int, targets: Mapping[str, Target] | None = None) -> dict[str, bytes]:
        """Signs the same release again with a new expiry; with `targets`, cut into other pieces or for
        another audience. Raises StoreError if there is none yet."""
        if not self._targets:
            raise StoreError(f"{self._scope} has no release to renew; release a version first")
        if targets is not None:
            version = self.version
            self._targets = {name: _target_file(name, target, version) for name, target in targets.items()}
        return self._sign(now)

    def count_above(self, signings: int) -> None:
        """The next signing counts more than this, which a device says it has seen."""
        self._signings = max(self._signings, signings)

    def _sign(self, now: int) -> dict[str, bytes]:
        self._signings += 1
        common: dict[str, Any] = {
            "version": self._signings,
            "expires": datetime.fromtimestamp(now // SECOND, UTC) + LIFETIME,
            "unrecognized_fields": self._scope.signed_field(),
        }
        meta = MetaFile(self._signings)
        entries = {
            "timestamp.json": self._signed(Metadata(Timestamp(snapshot_meta=meta, **common))),
            "snapshot.json": self._signed(Metadata(Snapshot(meta={"targets.json": meta}, **common))),
            "targets.json": self._signed(Metadata(Targets(targets=self._targets, **common))),
        }
        # A device starts with its first root, so only the later ones travel.
        return {
            name: root for name, root in self._keys.root_chain().items() if name != trust.root_name(1)
        } | entries

    def _signed(self, metadata: Metadata[Any]) -> bytes:
        metadata.sign(self._keys.online)
        return metadata.to_bytes(JSONSerializer(compact=True))

    def _continue_from(self, last: Mapping[str, bytes]) -> None:
        try:
            for role in trust.ROLES:
                metadata = trust.parse(last[trust.metadata_name(role)])
                self._check_signed(role, metadata)
                trust.check_scope(metadata, self._scope)
                self._signings = max(self._signings, metadata.signed.version)
        except (RepositoryError, KeyError, Refused) as error:
            raise ConfigError(
                f"the last bundle of {self._scope} was not signed for it with these keys ({error}); "
                "restore the keys that signed it, or clear its topic and set the devices up anew"
            ) from error
        self._targets = Metadata[Targets].from_bytes(last["targets.json"]).signed.targets

    def _check_signed(self, role: str, metadata: Metadata[Any]) -> None:
        roots = [Metadata[Root].from_bytes(root).signed for root in self._roots.values()]
        for root in roots[:-1]:
            with suppress(RepositoryError):
                root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
                return
        roots[-1].verify_delegate(role, metadata.signed_bytes, metadata.signatures)

    def carries(self, targets: Mapping[str, Target]) -> bool:
        """Whether these are the artifacts of the last release."""
        found = {name: target.hashes["sha256"] for name, target in self._targets.items()}
        return found == {name: blobs.address(target.data) for name, target in targets.items()}

    def _weights(self) -> list[TargetFile]:
        return [target for name, target in self._targets.items() if name.startswith(trust.WEIGHTS)]


def release_targets(
    graph: bytes,
    spec: bytes,
    weights: bytes,
    encoding: str,
    round_id: str,
    gate: str,
    limit: int = 0,
    audience: Audience = EVERYBODY,
    delta: Delta | None = None,
) -> dict[str, Target]:
    """A student's artifacts as the targets of a release; `gate`: why it was let out; `limit`: bytes that fit
    one message."""
    custom = {"encoding": encoding, "round": round_id, "gate": gate[:200]} | audience.signed_fields()
    targets = {
        trust.GRAPH: Target(graph, limit=limit),
        trust.SPEC: Target(spec, limit=limit),
        trust.WEIGHTS + encoding: Target(weights, custom, limit),
    }
    return targets | ({trust.DELTA: Target(delta.content, delta.signed_fields(), limit)} if delta else {})


def renew_due(entries: Mapping[str, bytes], now: int) -> bool:
    """Whether at `now` half of the bundle's lifetime is gone."""
    expires = Metadata[Timestamp].from_bytes(entries["timestamp.json"]).signed.expires
    return expires - datetime.fromtimestamp(now // SECOND, UTC) <= LIFETIME / 2


def bundle(
    entries: Mapping[str, bytes], targets: Mapping[str, Target], inline_limit: int = INLINE_LIMIT
) -> tuple[bytes, dict[Piece, bytes]]:
    """The retained message of a release, and the pieces that must be retained beside it.

    Weights change with each release and travel inside the message where they fit, or what changed in them
    does; graph and spec rarely change, so a device asks for them only when it lacks them.
    """
    changing = trust.DELTA if trust.DELTA in targets else trust.WEIGHTS
    inlined: dict[str, bytes] = {}
    apart: dict[Piece, bytes] = {}
    for name, target in targets.items():
        address = blobs.address(target.data)
        if name.startswith(changing) and len(target.data) <= inline_limit and len(target.parts) == 1:
            inlined[trust.BLOB + address] = target.data
        else:
            apart |= {Piece(address, n, blobs.address(part)): part for n, part in enumerate(target.parts)}
    return trust.pack_bundle({**entries, **inlined}), apart


def _target_file(name: str, target: Target, version: int) -> TargetFile:
    file = TargetFile.from_data(name, target.data)
    custom = dict(target.custom) | pieces.signed_field(target.parts)
    if name.startswith(trust.WEIGHTS):
        custom["version"] = str(version)
    if custom:
        file.unrecognized_fields["custom"] = custom
    return file

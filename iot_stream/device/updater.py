"""Takes a bundle or refuses it: verify, collect the artifacts, self-test, and only then write.

Nothing touches the disk before the last step, so every refusal leaves the former state as it was,
byte for byte, and the device goes on with the model that it has.
"""

from collections.abc import Callable, Mapping

import msgspec
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from iot_stream.artifact import encodings, trust
from iot_stream.artifact.blobs import is_address
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND
from iot_stream.device.slots import Installed, Release, Slots, State, Trusted
from iot_stream.errors import Refused

MAX_ARTIFACT = 64 * 1024 * 1024
"""Bytes of one artifact, checked in the signed metadata before anything is asked for."""

_FLOOR_STEP = 24 * 3600 * SECOND  # how far the time floor may lag behind: little beside a bundle's 30 days


class MissingBlobs(Exception):  # nothing is wrong: an answer that asks for more
    """The bundle is good, but the device needs these blobs (content addresses) before it can take it."""

    def __init__(self, hashes: tuple[str, ...]) -> None:
        super().__init__(f"blobs to fetch: {', '.join(hashes)}")
        self.hashes = hashes


class Updater:
    """Applies the bundles of one scope to the device's slots.

    root: the root metadata that the device was set up with. Raises ConfigError if it is not usable.
    """

    def __init__(
        self,
        slots: Slots,
        root: bytes,
        scope: Scope,
        max_bytes: int = trust.MAX_BUNDLE,
        max_artifact: int = MAX_ARTIFACT,
    ) -> None:
        trust.check_root(root)
        self._slots = slots
        self._root = root
        self._scope = scope
        self._max_bytes = max_bytes
        self._max_artifact = max_artifact

    def apply(
        self,
        bundle: bytes,
        blobs: Mapping[str, bytes],
        now: int,
        self_test: Callable[[Installed], None],
    ) -> Installed | None:
        """Installs the bundle's release and returns it; None if the device has it already.

        blobs: artifacts received beside the bundle, by content address. now: nanoseconds, the wall
        clock. self_test: runs the candidate on its golden windows; whatever it raises refuses it.

        Raises Refused (a reason of trust.REASONS) with the state on disk untouched; MissingBlobs if
        an artifact is neither in the bundle, nor in `blobs`, nor on disk: fetch those and call again;
        OSError if the disk fails: ask `Slots.current()` what counts.
        """
        entries = trust.unpack_bundle(bundle, self._max_bytes)
        state = self._slots.state()
        trusted = state.trusted(self._scope)
        # A clock set back must not make stale metadata fresh again.
        now = max(now, state.time_floor)
        known = {name: text.encode() for name, text in trusted.metadata.items()}
        verified = trust.verify(known, self._root, entries, self._scope, now)
        targets = _artifact_targets(verified.targets)
        release = _release(self._scope, targets)
        self._check_version(release, trusted, state.current)
        artifacts = self._collect(targets, {**_inlined(entries), **blobs})

        metadata = {name: data.decode() for name, data in verified.metadata.items()}
        accepted = msgspec.structs.replace(state, time_floor=now).with_trusted(
            self._scope, msgspec.structs.replace(trusted, metadata=metadata)
        )
        running = self._slots.running()
        if running is not None and _same(running, release):
            self._renew(state, msgspec.structs.replace(accepted, current=release))
            return None
        graph, spec, weights = (artifacts[address] for address in release.addresses)
        candidate = Installed(release.version, graph, spec, weights, release.encoding, release.custom)
        _run_self_test(self_test, candidate)
        self._slots.commit(msgspec.structs.replace(accepted, current=release, previous=running), artifacts)
        return candidate

    def _check_version(self, release: Release, trusted: Trusted, current: Release | None) -> None:
        if release.version <= trusted.refused:
            raise Refused(
                "refused_before",
                f"version {release.version} of {self._scope}: went back from {trusted.refused} "
                f"({trusted.refused_because}); waiting for a newer one",
            )
        if current is None or current.scope != self._scope or release.version > current.version:
            return
        if not _same(current, release):
            raise Refused(
                "older", f"version {release.version} of {self._scope}, the device has {current.version}"
            )

    def _collect(self, targets: Mapping[str, TargetFile], received: Mapping[str, bytes]) -> dict[str, bytes]:
        """All artifacts by address, each checked against the signed length and hash."""
        artifacts: dict[str, bytes] = {}
        missing: list[str] = []
        for name, target in targets.items():
            address = target.hashes["sha256"]
            if target.length > self._max_artifact:
                raise Refused(
                    "too_large", f"{name} has {target.length} bytes, the limit is {self._max_artifact}"
                )
            data = received.get(address)
            if data is None:
                data = self._slots.blob(address)
            if data is None:
                missing.append(address)
                continue
            try:
                target.verify_length_and_hashes(data)
            except LengthOrHashMismatchError as error:
                raise Refused("altered", f"{name} is not what was signed: {error}") from error
            artifacts[address] = data
        if missing:
            raise MissingBlobs(tuple(missing))
        return artifacts

    def _renew(self, state: State, renewed: State) -> None:
        """Keeps what is new about the version that runs; an unchanged bundle seldom costs a write."""
        waited = renewed.time_floor - state.time_floor
        if waited >= _FLOOR_STEP or msgspec.structs.replace(renewed, time_floor=state.time_floor) != state:
            self._slots.commit(renewed)


def _inlined(entries: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        name.removeprefix(trust.BLOB): data for name, data in entries.items() if name.startswith(trust.BLOB)
    }


def _artifact_targets(targets: Mapping[str, TargetFile]) -> dict[str, TargetFile]:
    """Graph, spec and weights in the first encoding that this device reads, under the keys of a Release."""
    weights = next((name for e in encodings.names() if (name := trust.WEIGHTS + e) in targets), None)
    if weights is None:
        offered = ", ".join(name for name in targets if name.startswith(trust.WEIGHTS)) or "no weights"
        raise Refused("unsupported", f"{offered}; this device reads {', '.join(encodings.names())}")
    chosen = {name: targets[name] for name in (trust.GRAPH, trust.SPEC, weights) if name in targets}
    if len(chosen) < 3 or not all(map(_has_address, chosen.values())):
        raise Refused(
            "malformed", f"a release needs {trust.GRAPH}, {trust.SPEC} and weights, each with its SHA-256"
        )
    return chosen


def _has_address(target: TargetFile) -> bool:
    return is_address(target.hashes.get("sha256", ""))


def _release(scope: Scope, targets: Mapping[str, TargetFile]) -> Release:
    graph, spec, weights = targets.values()
    try:
        custom = msgspec.convert(weights.custom, dict[str, str])
        version = int(custom["version"])
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        raise Refused("malformed", f"{weights.path} does not say its version: {error}") from error
    if version < 1:
        raise Refused("malformed", f"versions count from 1, {weights.path} says {version}")
    addresses = {
        key: t.hashes["sha256"] for key, t in (("graph", graph), ("spec", spec), ("weights", weights))
    }
    return Release(scope, version, weights.path.removeprefix(trust.WEIGHTS), custom, **addresses)


def _same(a: Release, b: Release) -> bool:
    return (a.scope, a.version, a.addresses) == (b.scope, b.version, b.addresses)


def _run_self_test(self_test: Callable[[Installed], None], candidate: Installed) -> None:
    try:
        self_test(candidate)
    except Exception as error:
        raise Refused("self_test", f"version {candidate.version}: {error}") from error

"""Takes a bundle or refuses it: verify, collect the artifacts, self-test, and only then write.

Nothing touches the disk before the last step, so every refusal leaves the former state as it was,
byte for byte, and the device goes on with the model that it has.
"""

from collections.abc import Callable, Mapping

import msgspec
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from iot_stream.artifact import blobs, pieces, trust
from iot_stream.artifact import delta as changes
from iot_stream.artifact.pieces import Piece
from iot_stream.artifact.trust import Scope
from iot_stream.clock import SECOND
from iot_stream.device.offer import Offer
from iot_stream.device.slots import Installed, Release, Slots, State, Trusted
from iot_stream.errors import Refused

MAX_ARTIFACT = 64 * 1024 * 1024
"""Bytes of one artifact, checked in the signed metadata before anything is asked for."""

_FLOOR_STEP = 24 * 3600 * SECOND  # how far the time floor may lag behind: little beside a bundle's 30 days


class MissingBlobs(Exception):  # nothing is wrong: an answer that asks for more
    """The bundle is good, but the device needs these pieces of artifacts before it can take it."""

    def __init__(self, pieces: tuple[Piece, ...]) -> None:
        super().__init__(f"blobs to fetch: {', '.join(f'{piece.artifact}/{piece.n}' for piece in pieces)}")
        self.pieces = pieces


class Updater:
    """Applies the bundles of one cohort, stable and canary, to the device's slots.

    root: the root metadata that the device was set up with. device: its name, by which it knows whether a
    canary is meant for it. Raises ConfigError if the root is not usable.
    """

    def __init__(
        self,
        slots: Slots,
        root: bytes,
        scope: Scope,
        device: str = "",
        max_bytes: int = trust.MAX_BUNDLE,
        max_artifact: int = MAX_ARTIFACT,
    ) -> None:
        trust.check_root(root)
        self._slots = slots
        self._root = root
        self._scope = scope
        self._device = device
        self._max_bytes = max_bytes
        self._max_artifact = max_artifact
        self._inlined: dict[str, dict[str, bytes]] = {}  # slot → what its last good bundle brought

    @property
    def signings(self) -> dict[str, int]:
        """Slot → the highest count of signings that the device has seen there."""
        state = self._slots.state()
        known = {slot: state.trusted(self._scope.of_slot(slot)).metadata for slot in trust.SLOTS}
        return {slot: trust.signings(metadata) for slot, metadata in known.items() if metadata}

    def apply(
        self,
        bundle: bytes,
        received: Mapping[str, bytes],
        now: int,
        self_test: Callable[[Installed], None],
        slot: str = trust.STABLE,
    ) -> Installed | None:
        """Takes a slot's bundle, and installs what the device is to run now; None if it runs that already.

        received: pieces received beside the bundle, by content address. now: nanoseconds, the wall clock.
        self_test: runs the candidate on its golden windows; whatever it raises refuses it.

        Raises Refused (a reason of trust.REASONS) with the state on disk untouched; MissingBlobs if
        an artifact is neither in the bundle, nor in `received`, nor on disk: fetch those and call again;
        OSError if the disk fails: ask `Slots.current()` what counts.
        """
        entries = trust.unpack_bundle(bundle, self._max_bytes)
        state = self._slots.state()
        scope = self._scope.of_slot(slot)
        trusted = state.trusted(scope)
        # A clock set back must not make stale metadata fresh again.
        now = max(now, state.time_floor)
        known = {name: text.encode() for name, text in trusted.metadata.items()}
        verified = trust.verify(known, self._root, entries, scope, now)
        offer = Offer.of(scope, verified.targets)
        try:
            return self._take(state, trusted, verified, offer, entries, received, now, self_test)
        except Refused as refused:
            refused.version = refused.version or offer.release.version
            raise

    def _take(
        self,
        state: State,
        trusted: Trusted,
        verified: trust.Verified,
        offer: Offer,
        entries: Mapping[str, bytes],
        received: Mapping[str, bytes],
        now: int,
        self_test: Callable[[Installed], None],
    ) -> Installed | None:
        scope = offer.release.scope
        if verified.rekeyed:  # whoever had the former key may have counted as high as they liked
            trusted = Trusted()
        _check_version(offer.release, trusted, Offer.known(scope, trusted))
        self._inlined[scope.slot] = _inlined(entries)
        metadata = {name: data.decode() for name, data in verified.metadata.items()}
        accepted = msgspec.structs.replace(state, time_floor=now).with_trusted(
            scope, msgspec.structs.replace(trusted, metadata=metadata)
        )
        running = self._slots.running()
        chosen = self._chosen(accepted)
        if chosen is None:
            self._renew(state, accepted)
            return None
        release = chosen.release
        if running is not None and _same(running, release):
            self._renew(state, msgspec.structs.replace(accepted, current=release))
            return None
        artifacts = self._collect(chosen, received)
        graph, spec, weights = (artifacts[address] for address in release.addresses)
        candidate = Installed(release.version, graph, spec, weights, release.encoding, release.custom)
        _run_self_test(self_test, candidate)
        previous = _previous(state, running, release)
        self._slots.commit(msgspec.structs.replace(accepted, current=release, previous=previous), artifacts)
        self._slots.keep_parts_only(())
        return candidate

    def _chosen(self, state: State) -> Offer | None:
        """The canary's release if it is meant for this device and newer than the stable one, else that; none
        that it left."""
        stable, canary = (self._offered(state, self._scope.of_slot(slot)) for slot in trust.SLOTS)
        if canary is None or not canary.audience.has(self._device, canary.release.version):
            return stable
        return canary if stable is None or canary.release.version > stable.release.version else stable

    def _offered(self, state: State, scope: Scope) -> Offer | None:
        trusted = state.trusted(scope)
        offer = Offer.known(scope, trusted)
        return None if offer is None or offer.release.version <= trusted.refused else offer

    def _collect(self, offer: Offer, received: Mapping[str, bytes]) -> dict[str, bytes]:
        """All artifacts by address, each checked against the signed length and hash."""
        inlined = {address: data for each in self._inlined.values() for address, data in each.items()}
        received = {**inlined, **received}
        targets = [*offer.targets.values(), *([offer.delta] if offer.delta else [])]
        for target in targets:
            if target.length > self._max_artifact:
                raise Refused(
                    "too_large", f"{target.path} has {target.length} bytes, the limit is {self._max_artifact}"
                )
        artifacts: dict[str, bytes] = {}
        missing: list[Piece] = []
        for target in offer.targets.values():
            address = target.hashes["sha256"]
            data, lacking = self._whole(address, pieces.of(target), received)
            if lacking and offer.delta and address == offer.release.weights:
                data, lacking = self._changed(offer, offer.delta, received, lacking)
            missing += lacking
            if lacking:
                continue
            artifacts[address] = _checked(target, data)
        if missing:
            self._slots.keep_parts_only({piece.sha256 for target in targets for piece in pieces.of(target)})
            raise MissingBlobs(tuple(missing))
        return artifacts

    def _changed(
        self, offer: Offer, delta: TargetFile, received: Mapping[str, bytes], whole: list[Piece]
    ) -> tuple[bytes, list[Piece]]:
        """The weights made of those that are on disk; where it does not come out, `whole` is lacking."""
        base = self._slots.blob(offer.base)
        if base is None:
            return b"", whole
        data, lacking = self._whole(delta.hashes["sha256"], pieces.of(delta), received)
        if lacking:
            return b"", lacking
        try:
            made = changes.apply(base, _checked(delta, data))
        except Refused:
            return b"", whole
        return (made, []) if blobs.matches(made, offer.release.weights) else (b"", whole)

    def _whole(
        self, address: str, parts: tuple[Piece, ...], received: Mapping[str, bytes]
    ) -> tuple[bytes, list[Piece]]:
        """An artifact's bytes, and the pieces that they lack."""
        data = received.get(address)
        if data is None:
            data = self._slots.blob(address)
        if data is not None:
            return data, []
        found = [received.get(piece.sha256) or self._slots.part(piece.sha256) for piece in parts]
        lacking = [piece for piece, part in zip(parts, found, strict=True) if part is None]
        return (b"", lacking) if lacking else (b"".join(part for part in found if part), [])

    def _renew(self, state: State, renewed: State) -> None:
        """Keeps what is new about the version that runs; an unchanged bundle seldom costs a write."""
        waited = renewed.time_floor - state.time_floor
        if waited >= _FLOOR_STEP or msgspec.structs.replace(renewed, time_floor=state.time_floor) != state:
            self._slots.commit(renewed)


def _check_version(release: Release, trusted: Trusted, known: Offer | None) -> None:
    if release.version <= trusted.refused:
        raise Refused(
            "refused_before",
            f"version {release.version} of {release.scope}: went back from {trusted.refused} "
            f"({trusted.refused_because}); waiting for a newer one",
        )
    if known is None or release.version > known.release.version or _same(known.release, release):
        return
    raise Refused(
        "older", f"version {release.version} of {release.scope}, the device has {known.release.version}"
    )


def _previous(state: State, running: Release | None, release: Release) -> Release | None:
    """What to go back to from `release`: not to a canary that was called off."""
    if running is not None and running.scope.slot == trust.CANARY and release.scope.slot == trust.STABLE:
        return None if state.previous is None or _same(state.previous, release) else state.previous
    return running


def _checked(target: TargetFile, data: bytes) -> bytes:
    try:
        target.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise Refused("altered", f"{target.path} is not what was signed: {error}") from error
    return data


def _inlined(entries: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        name.removeprefix(trust.BLOB): data for name, data in entries.items() if name.startswith(trust.BLOB)
    }


def _same(a: Release, b: Release) -> bool:
    """Whether they are one version, whichever slot it comes by."""
    return (a.version, a.addresses) == (b.version, b.addresses)


def _run_self_test(self_test: Callable[[Installed], None], candidate: Installed) -> None:
    try:
        self_test(candidate)
    except Exception as error:
        raise Refused("self_test", f"version {candidate.version}: {error}") from error

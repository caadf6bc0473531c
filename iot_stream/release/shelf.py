"""What the broker retains, and how it comes to be what the registry says: bundles, signed, and blobs."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tuf.api.metadata import TargetFile

from iot_stream import logs, topics
from iot_stream.artifact import pieces, trust
from iot_stream.artifact.pieces import Piece
from iot_stream.artifact.stages import EVERYBODY, Audience
from iot_stream.artifact.trust import Scope
from iot_stream.clock import wall
from iot_stream.errors import ConfigError, Refused
from iot_stream.mqtt import Connection, Message
from iot_stream.release.keys import Keys
from iot_stream.release.sign import (
    INLINE_LIMIT,
    Delta,
    Repository,
    Target,
    bundle,
    release_targets,
    renew_due,
)
from iot_stream.store import Store
from iot_stream.store.registry import Version

log = logging.getLogger(__name__)

ROOM = 256  # of a message, for its topic and what MQTT adds
COUNTABLE = 2**52  # no honest count comes near it; beyond 2**53 JSON numbers are not exact everywhere


class Overtaken(Exception):  # an answer: the number is taken
    """Devices have heard of a version of this number or a higher one, which the registry does not know."""

    def __init__(self, above: int) -> None:
        super().__init__(f"a version must count more than {above}")
        self.above = above


class Shelf:
    def __init__(self, prefix: str, store: Store, keys_folder: Path, connection: Connection) -> None:
        self._prefix, self._registry, self._connection = prefix, store.registry, connection
        self._keys_folder = keys_folder
        self._keys = Keys.load(keys_folder)
        self._retained: dict[str, bytes] = {}
        self._statuses: dict[str, dict[str, topics.Status]] = defaultdict(
            dict
        )  # pipeline → device → its word
        self._fitted: dict[Scope, int] = {}  # the limit that a bundle and its pieces were made for

    # --- what is heard ----------------------------------------------------------------------

    def heard(self, message: Message) -> None:
        if message.retained:
            self._retained[message.topic] = message.payload

    def says(self, pipeline: str, device: str, status: topics.Status) -> None:
        self._statuses[pipeline][device] = status

    def gone(self, pipeline: str, device: str) -> None:
        """What a device could take no longer counts."""
        self._statuses[pipeline].pop(device, None)

    def forget(self) -> None:
        """The broker may have come back without what it retained."""
        self._retained.clear()

    def retained(self, topic: str) -> bytes:
        return self._retained.get(topic, b"")

    def keys_changed(self) -> bool:
        """Whether there is a newer root than the one that is signed with; it is taken up."""
        changed = (self._keys_folder / trust.root_name(len(self._keys.root_chain()) + 1)).exists()
        if changed:
            self._keys = Keys.load(self._keys_folder)
            log.info("signing with the keys of root %d from now on", len(self._keys.root_chain()))
        return changed

    # --- what is put there ------------------------------------------------------------------

    def put(self, version: Version, slot: str, audience: Audience = EVERYBODY) -> int:
        """Sign, keep, publish: in this order, so that a crash in between is mended at the next start.

        Signs anew what the slot carries already. Returns the bundle's bytes; raises Overtaken.
        """
        pipeline, cohort = version.pipeline, version.cohort
        repository = self._repository(pipeline, cohort, slot)
        targets = self._targets(version, audience)
        now = wall()
        if repository.version == version.version and repository.carries(targets):
            entries = repository.renew(now, targets)
        elif repository.version >= version.version:
            raise Overtaken(repository.version)
        else:
            entries = repository.release(version.version, targets, now)
        message = self._bundle(pipeline, entries, targets, audience)
        self._fitted[Scope(pipeline, cohort, slot)] = self._limit(pipeline)
        self._registry.save_release(pipeline, cohort, slot, version.version, message)
        self._send(pipeline, cohort, slot, message)
        return len(message)

    def mend(self, pipeline: str, cohort: str) -> None:
        """What the broker retains of a cohort becomes what the registry says."""
        for slot in trust.SLOTS:
            release = self._registry.release(pipeline, cohort, slot)
            if release and self._retained.get(self._bundle_topic(pipeline, cohort, slot)) != release[1]:
                extra = logs.about(pipeline=pipeline, cohort=cohort)
                log.info("%s/%s/%s: mending what the broker retains", pipeline, cohort, slot, extra=extra)
                self._send(pipeline, cohort, slot, release[1])

    def audience(self, pipeline: str, cohort: str, slot: str) -> Audience:
        """Of what the slot carries."""
        release = self._registry.release(pipeline, cohort, slot)
        if release is None:
            return EVERYBODY
        return Audience.read(_weights(trust.unpack_bundle(release[1])).custom)

    def due(self, pipeline: str, cohort: str, slot: str) -> str:
        """Why what a slot carries must be signed again; "" if it need not."""
        release = self._registry.release(pipeline, cohort, slot)
        if release is None:
            return ""
        entries = trust.unpack_bundle(release[1])
        limit, fitted = self._limit(pipeline), self._fitted.get(Scope(pipeline, cohort, slot))
        if renew_due(entries, wall()):
            return "half of its lifetime is gone"
        if not self._keys.signed(entries):
            return "the keys have changed"
        largest = max(map(pieces.largest, trust.targets_of(entries).values()))
        if limit and limit != fitted and max(largest, len(release[1])) > limit:
            return f"a device takes no more than {limit} bytes"
        if trust.signings(entries) < self._seen_signed(pipeline, cohort, slot):
            return "devices have seen it signed more often"
        return ""

    def taken(self, pipeline: str, cohort: str) -> int:
        """The highest version that devices say they run."""
        counts = [s.version for s in self._statuses[pipeline].values() if s.cohort == cohort]
        return max((count for count in counts if count < COUNTABLE), default=0)

    def clear_superseded(self, pipeline: str) -> None:
        """Blobs that neither of a slot's last two versions needs; a device in mid-update has those."""
        needed: set[str] = set()
        for cohort in self._registry.cohorts(pipeline):
            for slot in trust.SLOTS:
                for number in self._registry.released(pipeline, cohort, slot, 2):
                    if version := self._registry.version(pipeline, cohort, number):
                        told = version.provenance.get("delta", {})
                        needed |= {version.graph, version.spec, version.weights, told.get("artifact", "")}
        for topic in [topic for topic, content in self._retained.items() if content]:
            levels = topics.BLOB.levels(topic)
            if levels and levels["pipeline"] == pipeline and levels["sha256"] not in needed:
                self._publish(topic, b"")

    # --- how --------------------------------------------------------------------------------

    def _repository(self, pipeline: str, cohort: str, slot: str) -> Repository:
        """Goes on from the highest that was ever signed: ours, the broker's if our registry is older, or
        what devices say they have seen."""
        scope = Scope(pipeline, cohort, slot)
        release = self._registry.release(pipeline, cohort, slot)
        ours = trust.unpack_bundle(release[1]) if release else None
        candidates = [Repository(self._keys, scope, ours, rekeyed=True)]
        topic = self._bundle_topic(pipeline, cohort, slot)
        if retained := self._retained.get(topic):
            try:
                candidates.append(Repository(self._keys, scope, trust.unpack_bundle(retained)))
            except (ConfigError, Refused) as error:
                log.warning("what is retained at %s is not ours: %s", topic, error)
        repository = max(candidates, key=lambda repository: repository.signings)
        repository.count_above(self._seen_signed(pipeline, cohort, slot))
        return repository

    def _seen_signed(self, pipeline: str, cohort: str, slot: str) -> int:
        counts = [s.signed.get(slot, 0) for s in self._statuses[pipeline].values() if s.cohort == cohort]
        return max((count for count in counts if count < COUNTABLE), default=0)

    def _limit(self, pipeline: str) -> int:
        """Bytes of a payload that the broker and every device of the pipeline take; 0: any."""
        limits = [self._connection.max_packet, *(s.max_packet for s in self._statuses[pipeline].values())]
        smallest = min((limit for limit in limits if limit), default=0)
        return max(smallest - ROOM, 1) if smallest else 0

    def _targets(self, version: Version, audience: Audience) -> dict[str, Target]:
        artifact = self._registry.artifact
        return release_targets(
            artifact(version.graph),
            artifact(version.spec),
            artifact(version.weights),
            version.encoding,
            version.round,
            str(version.provenance.get("gate", {}).get("reason", "")),
            self._limit(version.pipeline),
            audience,
            self._delta(version),
        )

    def _delta(self, version: Version) -> Delta | None:
        told = version.provenance.get("delta")
        if not told:
            return None
        content = self._registry.artifact(told["artifact"])
        return Delta(content, told["base"], told["accuracy_change"])

    def _bundle(
        self, pipeline: str, entries: Mapping[str, bytes], targets: Mapping[str, Target], audience: Audience
    ) -> bytes:
        """With the weights in it where they fit and all devices want them."""
        limit = self._limit(pipeline)
        message, _ = bundle(entries, targets, INLINE_LIMIT if audience == EVERYBODY else 0)
        if limit and len(message) > limit:
            message, _ = bundle(entries, targets, 0)
        if limit and len(message) > limit:
            small = [d for d, s in self._statuses[pipeline].items() if 0 < s.max_packet < len(message) + ROOM]
            who = ", ".join(small[:5]) or f"the broker at {self._connection.address}"
            extra = logs.about(pipeline=pipeline)
            more = f"{len(message)} bytes, more than {who} can take"
            log.warning("%s: a release takes %s", pipeline, more, extra=extra)
        return message

    def _send(self, pipeline: str, cohort: str, slot: str, message: bytes) -> None:
        """Blobs that the broker does not retain yet, in the pieces that were signed, then the bundle."""
        entries = trust.unpack_bundle(message)
        for target in trust.targets_of(entries).values():
            address = target.hashes["sha256"]
            if trust.BLOB + address in entries:
                continue
            parts = pieces.cut(self._registry.artifact(address), pieces.largest(target))
            for piece, part in zip(pieces.of(target), parts, strict=True):
                topic = self._blob_topic(pipeline, piece)
                if self._retained.get(topic) != part:
                    self._publish(topic, part)
        self._publish(self._bundle_topic(pipeline, cohort, slot), message)

    def _publish(self, topic: str, payload: bytes) -> None:
        self._connection.publish_and_wait(topic, payload, retain=True)
        self._retained[topic] = payload

    def _bundle_topic(self, pipeline: str, cohort: str, slot: str) -> str:
        return topics.BUNDLE.of(prefix=self._prefix, pipeline=pipeline, cohort=cohort, slot=slot)

    def _blob_topic(self, pipeline: str, piece: Piece) -> str:
        levels = {"pipeline": pipeline, "sha256": piece.artifact, "n": str(piece.n)}
        return topics.BLOB.of(prefix=self._prefix, **levels)


def _weights(entries: Mapping[str, bytes]) -> TargetFile:
    return next(t for name, t in trust.targets_of(entries).items() if name.startswith(trust.WEIGHTS))

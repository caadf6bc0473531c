"""What devices would have downloaded: each version signed and bundled as the publisher does it."""

from collections.abc import Collection, Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from iot_stream.artifact.blobs import address
from iot_stream.artifact.pieces import Piece
from iot_stream.artifact.trust import Scope
from iot_stream.config.cohorts import ALL
from iot_stream.distill.student import Packed
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Delta, Repository, bundle, release_targets

# Nobody trusts this key; a fixed one makes the same releases the same bytes.
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


class Releases:
    """Of one cohort: counts bytes down to a device that has taken every version."""

    def __init__(self, pipeline: str, cohort: str = ALL) -> None:
        self._repository = Repository(Keys(CryptoSigner(_KEY), {}), Scope(pipeline, cohort, "stable"))
        self._held: set[Piece] = set()
        self.bytes_down = 0
        self.bundle_bytes = 0
        self.newest_bytes = 0
        self.version = 0

    def add(self, packed: Packed, round_id: str, reason: str, now: int) -> int:
        """Releases the next version at the stream time `now` (ns); returns its bytes."""
        self.version += 1
        delta = Delta(packed.delta, packed.base, packed.accuracy_change) if packed.delta else None
        targets = release_targets(
            packed.graph, packed.spec, packed.weights, packed.encoding, round_id, reason, delta=delta
        )
        message, blobs = bundle(self._repository.release(self.version, targets, now), targets)
        whole = address(packed.weights) if delta else ""  # which such a device makes of the delta
        new = {p: blob for p, blob in blobs.items() if p not in self._held and p.artifact != whole}
        size = len(message) + sum(map(len, new.values()))
        self._held |= new.keys()
        self.bundle_bytes = len(message)
        self.newest_bytes = size
        self.bytes_down += size
        return size


class Downloads:
    """Of a fleet whose devices take every version of the cohort that they are in at the time."""

    def __init__(self, pipeline: str, devices: Iterable[str]) -> None:
        self._pipeline = pipeline
        self._by_device = dict.fromkeys(devices, 0)
        self._cohorts: dict[str, Releases] = {}
        self.bundle_bytes = 0

    @property
    def bytes_down(self) -> int:
        """To one device, on average."""
        return round(sum(self._by_device.values()) / max(1, len(self._by_device)))

    def version(self, cohort: str) -> int:
        return self._cohorts[cohort].version

    def add(
        self, cohort: str, devices: Collection[str], packed: Packed, round_id: str, reason: str, now: int
    ) -> int:
        """Releases the cohort's next version to its devices; returns its bytes."""
        releases = self._cohorts.setdefault(cohort, Releases(self._pipeline, cohort))
        size = releases.add(packed, round_id, reason, now)
        self.bundle_bytes = releases.bundle_bytes
        for device in devices:
            self._by_device[device] += size
        return size

    def joined(self, cohort: str, device: str) -> None:
        """It takes the version that is there."""
        self._by_device[device] += self._cohorts[cohort].newest_bytes

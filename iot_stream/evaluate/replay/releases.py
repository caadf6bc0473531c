"""What a device would have downloaded: each version signed and bundled as the publisher does it."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from iot_stream.artifact.trust import Scope
from iot_stream.distill.student import Packed
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Repository, bundle, release_targets

# Nobody trusts this key; a fixed one makes the same releases the same bytes.
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


class Releases:
    """Counts bytes down to one device that has taken every version."""

    def __init__(self, pipeline: str) -> None:
        self._repository = Repository(Keys(CryptoSigner(_KEY), {}), Scope(pipeline, "all", "stable"))
        self._held: set[str] = set()
        self.bytes_down = 0
        self.bundle_bytes = 0
        self.version = 0

    def add(self, packed: Packed, round_id: str, reason: str, now: int) -> int:
        """Releases the next version at the stream time `now` (ns); returns its bytes."""
        self.version += 1
        targets = release_targets(
            packed.graph, packed.spec, packed.weights, packed.encoding, round_id, reason
        )
        message, blobs = bundle(self._repository.release(self.version, targets, now), targets)
        size = len(message) + sum(len(blob) for name, blob in blobs.items() if name not in self._held)
        self._held |= blobs.keys()
        self.bundle_bytes = len(message)
        self.bytes_down += size
        return size

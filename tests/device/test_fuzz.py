"""Bundles, artifacts and pieces with bytes changed at random: each is refused, or is what was signed."""

import random
import resource
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from iot_stream.artifact import blobs, delta, encodings, trust
from iot_stream.device.slots import Slots
from iot_stream.device.updater import MissingBlobs, Updater
from iot_stream.errors import Refused
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Target, bundle
from iot_stream.spec import Spec
from tests.device import tiny
from tests.device.fleet import NOW, SCOPE, Fleet, accept, targets

BOUND_MB = 200


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out, put in or doubled."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[place : place + rng.randrange(1, 20)]
            case 2:
                data[place:place] = rng.randbytes(rng.randrange(1, 20))
            case 3:
                data[place:place] = data[place : place + rng.randrange(1, 60)]
            case 4:
                data[place : place + 4] = rng.choice((b"\xff" * 4, bytes(4), b"9999", b'":{}'))
    return bytes(data)


class Material:
    """What a device may be sent, and what it does with each; whatever it takes must be what was signed."""

    def __init__(self, keys: Keys, folder: Path) -> None:
        self.fleet = Fleet(keys, folder / "state")
        self.fleet.apply(self.fleet.publish(1))
        content = {
            **targets(2),
            "weights.int8": Target(b"weights of 2", {"gate": "ok"}, 5),
            trust.DELTA: Target(b"delta", {trust.BASE_FIELD: blobs.address(b"base")}),
        }
        self.entries = self.fleet.repository.release(2, content, NOW)
        self.bundle, self.parts = bundle(self.entries, content)
        self.weights = encodings.encode("int8", tiny.weights(1), np.zeros((3, 2), np.float32))
        self.half = encodings.encode("fp16", tiny.weights(1))
        found = delta.rounded(self.weights, tiny.weights(2))
        assert found is not None
        self.delta = delta.pack(found[0], np.zeros((3, 2), np.float32))
        self.spec = tiny.spec()
        self.disk = self.fleet.disk()
        self.updater = Updater(Slots(self.fleet.directory), keys.newest_root, SCOPE)

    def raw(self, rng: random.Random) -> None:
        trust.unpack_bundle(mutated(self.bundle, rng))

    def metadata(self, rng: random.Random) -> None:
        name = rng.choice(list(self.entries))
        changed = {**self.entries, name: mutated(self.entries[name], rng)}
        self.updater.apply(trust.pack_bundle(changed), {}, NOW, accept)

    def pieces(self, rng: random.Random) -> None:
        received = {piece.sha256: mutated(data, rng) for piece, data in self.parts.items()}
        self.updater.apply(self.bundle, received, NOW, accept)

    def artifacts(self, rng: random.Random) -> None:
        match rng.randrange(4):
            case 0:
                encodings.decode("int8", mutated(self.weights, rng))
            case 1:
                encodings.decode("fp16", mutated(self.half, rng))
            case 2:
                raw = mutated(zlib.decompress(self.delta), rng)
                delta.apply(self.weights, rng.choice((zlib.compress(raw), mutated(self.delta, rng))))
            case 3:
                Spec.decode(mutated(self.spec, rng))


@pytest.mark.slow
@pytest.mark.parametrize(
    "count",
    [
        50_000,
        pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_whatever_comes_is_refused_or_what_was_signed(keys: Keys, tmp_path: Path, count: int) -> None:
    material = Material(keys, tmp_path)
    # Signatures are what takes time: a twentieth goes that far.
    kinds: list[tuple[Callable[[random.Random], None], int]] = [
        (material.raw, 60),
        (material.artifacts, 35),
        (material.metadata, 3),
        (material.pieces, 2),
    ]
    rng = random.Random(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        (kind,) = rng.choices([kind for kind, _ in kinds], [share for _, share in kinds])
        try:
            kind(rng)
        except Refused as refused:
            outcomes[refused.reason] += 1
        except MissingBlobs:
            outcomes["asks for more"] += 1
        else:
            outcomes[f"{kind.__name__} taken"] += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < BOUND_MB, f"{grown:.0f} MB more"
    assert material.fleet.disk().keys() == material.disk.keys()
    assert material.fleet.runs() == 1
    assert outcomes["malformed"] > count / 4
    assert {"unsigned", "altered", "foreign"} <= outcomes.keys(), outcomes
    assert outcomes["metadata taken"] == outcomes["pieces taken"] == 0

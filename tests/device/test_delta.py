"""Releases whose weights come as a change: the same artifact on the disk, whichever way it came."""

from pathlib import Path

import numpy as np
import pytest

from iot_stream.artifact import blobs, delta, encodings, pieces, trust
from iot_stream.device.slots import Slots
from iot_stream.device.updater import MissingBlobs
from iot_stream.release.keys import Keys
from iot_stream.release.sign import Target, bundle
from tests.device.fleet import GRAPH, NOW, SPEC, Fleet


def weights(version: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 30)).astype(np.float32)
    return {"w": base + 0.03 * version * rng.normal(size=base.shape).astype(np.float32)}


class Changing(Fleet):
    """Each release is rounded to a change of the one before."""

    def __init__(self, keys: Keys, directory: Path) -> None:
        super().__init__(keys, directory)
        self.whole = encodings.encode("int8", weights(1), np.zeros((1, 2), np.float32))
        self.apply(self.put(1, {}))

    def put(self, version: int, extra: dict[str, Target], limit: int = 0) -> bytes:
        content = {
            "graph.onnx": Target(GRAPH),
            "spec.json": Target(SPEC),
            "weights.int8": Target(self.whole, limit=limit),
            **extra,
        }
        payload, apart = bundle(self.repository.release(version, content, NOW), content)
        self.apart = {piece.sha256: data for piece, data in apart.items()}
        return payload

    def change(self, version: int, limit: int = 0) -> bytes:
        base = self.whole
        found = delta.rounded(base, weights(version))
        assert found is not None
        told, rounded = found
        selftest = np.full((1, 2), version, np.float32)
        self.whole = encodings.encode("int8", rounded, selftest)
        packed = delta.pack(told, selftest)
        self.delta = Target(packed, {trust.BASE_FIELD: blobs.address(base)}, limit)
        return self.put(version, {trust.DELTA: self.delta}, limit)

    def stored(self) -> bytes:
        current = Slots(self.directory).current()
        assert current is not None
        return current.weights


@pytest.fixture
def changing(keys: Keys, tmp_path: Path) -> Changing:
    return Changing(keys, tmp_path / "state")


def test_a_change_in_the_bundle_is_all_that_is_needed(changing: Changing) -> None:
    for version in range(2, 6):
        payload = changing.change(version)
        changing.apart = {}
        assert changing.apply(payload) is not None
        assert changing.stored() == changing.whole
    assert b"blob/" + blobs.address(changing.whole).encode() not in b"".join(
        name.encode() for name in trust.unpack_bundle(payload)
    )


def test_whoever_lacks_the_base_takes_the_whole(changing: Changing) -> None:
    changing.change(2)
    payload = changing.change(3)  # of version 2, which the device never had
    whole, changing.apart = changing.apart, {}
    with pytest.raises(MissingBlobs) as missing:
        changing.apply(payload)
    assert {piece.artifact for piece in missing.value.pieces} == {blobs.address(changing.whole)}
    changing.apart = whole
    assert changing.apply(payload) is not None
    assert changing.stored() == changing.whole


@pytest.mark.parametrize("spoilt", ["another change", "no change at all"])
def test_a_change_that_makes_something_else_is_not_believed(changing: Changing, spoilt: str) -> None:
    changing.change(2)
    other = delta.rounded(changing.stored(), weights(9))
    assert other is not None
    content = delta.pack(other[0], np.zeros((1, 2), np.float32)) if "another" in spoilt else b"junk"
    payload = changing.put(3, {trust.DELTA: Target(content, changing.delta.custom)})
    whole, changing.apart = changing.apart, {}
    with pytest.raises(MissingBlobs) as missing:
        changing.apply(payload)
    assert {piece.artifact for piece in missing.value.pieces} == {blobs.address(changing.whole)}
    changing.apart = whole
    assert changing.apply(payload) is not None
    assert changing.stored() == changing.whole


def test_a_large_change_comes_in_pieces(changing: Changing) -> None:
    payload = changing.change(2, limit=100)
    whole, changing.apart = changing.apart, {}
    with pytest.raises(MissingBlobs) as missing:
        changing.apply(payload)
    wanted = {piece.sha256 for piece in missing.value.pieces}
    assert wanted == {blobs.address(part) for part in changing.delta.parts}
    assert len(pieces.cut(changing.whole, 100)) > len(wanted)
    changing.apart = {sha256: data for sha256, data in whole.items() if sha256 in wanted}
    assert changing.apply(payload) is not None
    assert changing.stored() == changing.whole


@pytest.mark.parametrize("base", ["", "../../etc", None])
def test_a_change_of_nothing_is_malformed(changing: Changing, base: str | None) -> None:
    custom = {} if base is None else {trust.BASE_FIELD: base}
    payload = changing.put(2, {trust.DELTA: Target(b"x", custom)})
    changing.refuses(payload, "malformed")

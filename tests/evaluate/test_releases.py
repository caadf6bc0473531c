"""What a device would have downloaded: the publisher's own bundles, byte for byte the same in every run."""

import importlib
import random

from iot_stream.clock import SECOND
from iot_stream.distill.student import Packed
from iot_stream.evaluate.replay import releases
from iot_stream.release.sign import INLINE_LIMIT

NOW = 1_423_612_800 * SECOND
GRAPH, SPEC = b"graph" * 1000, b"spec" * 100


def a_student(weights: bytes, graph: bytes = GRAPH) -> Packed:
    return Packed(graph, SPEC, weights, "int8", b"")


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not deflate."""
    return random.Random(seed).randbytes(size)


def released(*students: Packed) -> tuple[releases.Releases, list[int]]:
    ledger = releases.Releases("office")
    sizes = [
        ledger.add(student, f"office-all-{number:04d}", "+0.010", NOW + number * SECOND)
        for number, student in enumerate(students)
    ]
    return ledger, sizes


def test_the_same_releases_are_the_same_bytes() -> None:
    students = [a_student(noise(500, number)) for number in range(20)]
    one, first = released(*students)
    importlib.reload(releases)  # as in another run: nothing may be drawn by chance at the start
    two, second = released(*students)
    assert first == second  # a bundle is deflated: other bytes would have other lengths
    assert (one.bytes_down, one.bundle_bytes) == (two.bytes_down, two.bundle_bytes)


def test_graph_and_spec_come_down_once() -> None:
    ledger, (first, second, third) = released(*(a_student(noise(500, number)) for number in range(3)))
    assert abs(first - second - len(GRAPH) - len(SPEC)) < 50  # lengths of numbers and of deflated text differ
    assert abs(third - second) < 50
    assert second > 500
    assert ledger.bytes_down == first + second + third
    assert ledger.bundle_bytes == third


def test_another_graph_comes_down_anew() -> None:
    other = noise(3000, 9)
    _, (_, second) = released(a_student(noise(500)), a_student(noise(500, 1), other))
    _, (_, same) = released(a_student(noise(500)), a_student(noise(500, 1)))
    assert abs(second - same - len(other)) < 50


def test_weights_too_large_for_the_bundle_come_down_beside_it() -> None:
    large = noise(2 * INLINE_LIMIT)
    ledger, (size,) = released(a_student(large))
    assert ledger.bundle_bytes < INLINE_LIMIT
    assert size == ledger.bundle_bytes + len(large) + len(GRAPH) + len(SPEC)


def test_versions_count_up_from_one() -> None:
    ledger = releases.Releases("office")
    for version in (1, 2, 3):
        ledger.add(a_student(noise(100, version)), "office-all-0001", "", NOW)
        assert ledger.version == version

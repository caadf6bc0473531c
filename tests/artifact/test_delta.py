"""Deltas: what the device makes of them is the signed artifact, byte for byte, or a refusal."""

import zlib

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from iot_stream.artifact import delta, encodings
from iot_stream.errors import Refused

VALUES = st.floats(-100, 100, width=32)
Weights = dict[str, NDArray[np.float32]]


@st.composite
def students(draw: st.DrawFn) -> tuple[Weights, Weights]:
    """Two of one form: a matrix of odd and even sizes, a convolution, a vector."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    shapes = {"w": (rows, columns), "conv": (rows, 1, 3), "b": (rows,)}
    made = [{n: draw(arrays(np.float32, s, elements=VALUES)) for n, s in shapes.items()} for _ in range(2)]
    return made[0], made[1]


def made(before: Weights, after: Weights) -> tuple[bytes, bytes, bytes]:
    """Base, delta, and the whole artifact that it stands for."""
    base = encodings.encode("int8", before, np.zeros((2, 3), np.float32))
    found = delta.rounded(base, after)
    assert found is not None
    told, rounded = found
    selftest = np.arange(6, dtype=np.float32).reshape(2, 3)
    return base, delta.pack(told, selftest), encodings.encode("int8", rounded, selftest)


@given(students())
def test_base_and_delta_make_the_signed_artifact_byte_for_byte(pair: tuple[Weights, Weights]) -> None:
    base, packed, whole = made(*pair)
    assert delta.apply(base, packed) == whole


@given(students())
def test_what_it_tells_is_within_half_a_step_of_either_rounding(pair: tuple[Weights, Weights]) -> None:
    before, after = pair
    base, _, whole = made(before, after)
    was, got = (encodings.decode("int8", each).tensors for each in (base, whole))
    moved = np.abs(after["b"] - was["b"])
    assert (np.abs(got["b"] - after["b"]) <= moved * 2**-11 + 1e-5).all()
    for name in ("w", "conv"):
        axes = tuple(range(1, after[name].ndim))
        change = np.abs(after[name] - was[name]).max(axis=axes, keepdims=True)
        four = change / 14 * 1.01 + 4e-7  # a scale is a float16
        eight = (np.abs(after[name]).max(axis=axes, keepdims=True) + four) / 254
        assert (np.abs(got[name] - after[name]) <= (four + eight) * 1.001 + 1e-5).all()


def test_a_step_by_hand() -> None:
    base = encodings.encode("int8", {"w": np.array([[1.27, 0.0]], np.float32)})
    found = delta.rounded(base, {"w": np.array([[1.97, 0.2]], np.float32)})
    assert found is not None
    told, after = found
    # The largest change, 0.7, is 7 steps of 0.1; 0.2 is two of them: nibbles 7 + 8 and 2 + 8.
    assert told["w"].tolist() == [15 << 4 | 10]
    np.testing.assert_allclose(told["w:scale"], [0.1], rtol=1e-3)
    np.testing.assert_allclose(after["w"], [[1.97, 0.2]], rtol=1e-3)


def test_another_form_has_no_delta() -> None:
    base = encodings.encode("int8", {"w": np.ones((2, 3), np.float32)})
    assert delta.rounded(base, {"w": np.ones((3, 2), np.float32)}) is None
    assert delta.rounded(base, {"v": np.ones((2, 3), np.float32)}) is None


def test_what_float16_cannot_hold_goes_whole() -> None:
    base = encodings.encode("int8", {"w": np.ones((2, 3), np.float32)})
    assert delta.rounded(base, {"w": np.full((2, 3), 1e5, np.float32)}) is None


def test_what_did_not_change_stays() -> None:
    weights = {"w": np.array([[1.27, 0.5]], np.float32), "b": np.array([3.0], np.float32)}
    base = encodings.encode("int8", weights)
    same = encodings.decode("int8", base).tensors
    found = delta.rounded(base, same)
    assert found is not None
    np.testing.assert_array_equal(found[1]["w"], same["w"])
    np.testing.assert_array_equal(found[1]["b"], same["b"])


def test_a_small_change_of_a_large_student_halves_the_bytes() -> None:
    rng = np.random.default_rng(0)
    before = {f"w{i}": rng.normal(size=(64, 96)).astype(np.float32) for i in range(4)}
    after = {
        name: values + 0.05 * rng.standard_t(3, values.shape).astype(np.float32)
        for name, values in before.items()
    }
    _, packed, whole = made(before, after)
    assert len(packed) < len(zlib.compress(whole, 9)) / 2


@given(students(), st.data())
def test_a_spoilt_delta_is_refused_or_makes_what_another_hash_would_name(
    pair: tuple[Weights, Weights], data: st.DataObject
) -> None:
    base, packed, _ = made(*pair)
    raw = bytearray(zlib.decompress(packed))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        encodings.decode("int8", delta.apply(base, zlib.compress(bytes(raw))))
    except Refused as refused:
        reason = refused.reason
    else:
        reason = "malformed"
    assert reason == "malformed"


@pytest.mark.parametrize("junk", [b"", b"junk", zlib.compress(b"junk"), zlib.compress(bytes(50_000_000))])
def test_junk_and_endless_deltas_are_refused(junk: bytes) -> None:
    base = encodings.encode("int8", {"w": np.ones((2, 3), np.float32)})
    with pytest.raises(Refused, match="malformed"):
        delta.apply(base, junk)


def test_the_delta_of_another_base_is_refused() -> None:
    _, packed, _ = made({"w": np.ones((2, 3), np.float32)}, {"w": np.zeros((2, 3), np.float32)})
    with pytest.raises(Refused, match="not of these weights"):
        delta.apply(encodings.encode("int8", {"v": np.ones((2, 3), np.float32)}), packed)
    with pytest.raises(Refused, match="malformed"):
        delta.apply(encodings.encode("int8", {"w": np.ones((9, 9), np.float32)}), packed)


@pytest.mark.parametrize("name", ["w:scale", "b"])
@pytest.mark.parametrize("bits", [0x7E00, 0x7C01, 0x7C00])  # a quiet NaN, one that signals, infinity
def test_what_is_no_number_is_refused(name: str, bits: int) -> None:
    ones = {"w": np.ones((2, 2), np.float32), "b": np.ones(2, np.float32)}
    base = encodings.encode("int8", ones)
    found = delta.rounded(base, {"w": np.zeros((2, 2), np.float32), "b": np.zeros(2, np.float32)})
    assert found is not None
    told = {**found[0], name: np.array([bits, 0x3C00], np.uint16).view(np.float16)}
    raw = safetensors.numpy.save({**told, "selftest": np.zeros((1, 2), np.float32)})
    with pytest.raises(Refused, match="is no number"):
        delta.apply(base, zlib.compress(raw))

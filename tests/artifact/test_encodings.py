"""Weights as bytes: bounds, determinism, and refusal of whatever is not a weights artifact."""

import contextlib
import json
import struct
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from iot_stream.artifact import encodings
from iot_stream.errors import ModelError, Refused

TENSORS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_.]{0,12}", fullmatch=True).filter(lambda name: name != encodings.SELFTEST),
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=0, max_dims=4, max_side=5),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    ),
    min_size=1,
    max_size=4,
)
GOLDEN = np.array([[1.5, -2.0, 0.25], [0.0, 3.0, -1.0]], np.float32)


def student() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(7)
    return {
        "conv.weight": rng.normal(size=(8, 3, 5)).astype(np.float32),
        "conv.bias": rng.normal(size=8).astype(np.float32),
        "head.weight": rng.normal(size=(3, 8)).astype(np.float32),
        "head.bias": rng.normal(size=3).astype(np.float32),
    }


@given(TENSORS)
def test_int8_is_within_half_a_step_of_each_channel(weights: dict[str, NDArray[np.float32]]) -> None:
    decoded = encodings.decode("int8", encodings.encode("int8", weights)).tensors
    assert decoded.keys() == weights.keys()
    for name, original in weights.items():
        assert decoded[name].dtype == np.float32
        assert decoded[name].shape == original.shape
        if original.ndim < 2:
            np.testing.assert_array_equal(decoded[name], original)
            continue
        rows, restored = original.reshape(len(original), -1), decoded[name].reshape(len(original), -1)
        for row, back in zip(rows.astype(np.float64), restored.astype(np.float64), strict=True):
            step = max(np.abs(row).max() / 127, float(np.finfo(np.float32).tiny))
            assert np.abs(row - back).max() <= step / 2 * (1 + 1e-4)


def test_int8_against_hand_computed_values() -> None:
    weights = np.array(
        [[1.27, -0.5, 0.004, 0.006], [0.0, 0.0, 0.0, 0.0], [0.0, -254.0, 1.0, 100.0]], np.float32
    )
    expected = [[1.27, -0.5, 0.0, 0.01], [0.0, 0.0, 0.0, 0.0], [0.0, -254.0, 0.0, 100.0]]
    decoded = encodings.decode("int8", encodings.encode("int8", {"w": weights})).tensors["w"]
    np.testing.assert_allclose(decoded, expected, rtol=1e-6, atol=1e-9)


def test_int8_costs_about_a_byte_a_weight() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 384)).astype(np.float32)
    assert len(encodings.encode("int8", {"w": weights})) < weights.size + 64 * 4 + 200


@given(st.permutations(list(student())))
def test_same_weights_in_any_order_give_the_same_bytes(order: list[str]) -> None:
    weights = student()
    again = {name: np.asfortranarray(weights[name]) for name in order}
    assert encodings.encode("int8", again, GOLDEN) == encodings.encode("int8", weights, GOLDEN)


def test_selftest_travels_exactly_and_apart_from_the_weights() -> None:
    decoded = encodings.decode("int8", encodings.encode("int8", student(), GOLDEN))
    assert decoded.selftest is not None
    np.testing.assert_array_equal(decoded.selftest, GOLDEN)
    assert decoded.tensors.keys() == student().keys()
    assert encodings.decode("int8", encodings.encode("int8", student())).selftest is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e31])
@pytest.mark.parametrize("name", ["conv.weight", "head.bias"])
def test_encode_rejects_a_diverged_student(name: str, bad: float) -> None:
    weights = student()
    weights[name].flat[1] = bad
    with pytest.raises(ModelError, match=name):
        encodings.encode("int8", weights)


@pytest.mark.parametrize("name", ["", "selftest", "conv:weight", "__metadata__"])
def test_encode_rejects_reserved_names(name: str) -> None:
    with pytest.raises(ModelError, match="rename"):
        encodings.encode("int8", {name: np.ones(3, np.float32)})


def test_encode_rejects_nothing_and_empty_tensors() -> None:
    with pytest.raises(ModelError, match="without weights"):
        encodings.encode("int8", {})
    with pytest.raises(ModelError, match="empty"):
        encodings.encode("int8", {"w": np.ones((0, 3), np.float32)})


def test_unknown_encoding_is_named_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"int3.*int8"):
        encodings.encode("int3", student())
    with pytest.raises(Refused, match=r"int3.*int8") as refusal:
        encodings.decode("int3", b"")
    assert refusal.value.reason == "unsupported"


@given(st.data())
def test_mutated_bytes_are_decoded_or_refused(data: st.DataObject) -> None:
    payload = bytearray(encodings.encode("int8", student(), GOLDEN))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(Refused):
        decoded = encodings.decode("int8", bytes(payload))
        assert all(np.isfinite(tensor).all() for tensor in decoded.tensors.values())


@given(st.binary(max_size=64))
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        encodings.decode("int8", junk)
    assert refusal.value.reason == "malformed"


def test_tensors_that_are_not_of_the_encoding_are_refused() -> None:
    step, weights = np.ones(2, np.float32), np.ones((2, 3), np.int8)
    impostors: list[dict[str, NDArray[Any]]] = [
        {"w": weights},  # no scale
        {"w:scale": step},  # no tensor
        {"w": weights, "w:scale": np.ones(3, np.float32)},  # a scale a column
        {"w": weights, "w:scale": np.ones(2, np.float64)},
        {"w": weights, "w:scale": np.array([1, np.nan], np.float32)},
        {"w": weights, "w:scale": np.array([1, np.inf], np.float32)},
        {"w": np.ones((2, 3), np.float32)},  # not quantised
        {"b": np.ones(3, np.int32)},
        {"b": np.array([np.nan], np.float32)},
        {"selftest": np.ones((2, 3), np.float32)},  # nothing beside it
        {"b": step, "selftest": np.ones(3, np.float32)},
    ]
    for tensors in impostors:
        with pytest.raises(Refused) as refusal:
            encodings.decode("int8", safetensors.numpy.save(tensors))
        assert refusal.value.reason == "malformed"


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
        {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]},
        {"dtype": "I8", "shape": [1] * 70, "data_offsets": [0, 1]},
    ],
)
def test_headers_that_numpy_cannot_hold_are_refused(entry: dict[str, Any]) -> None:
    header = json.dumps({"w": entry}).encode()
    payload = struct.pack("<Q", len(header)) + header + bytes(entry["data_offsets"][1])
    with pytest.raises(Refused) as refusal:
        encodings.decode("int8", payload)
    assert refusal.value.reason == "malformed"

"""Weights as bytes: one entry of the registry an encoding, safetensors as the container of all.

A weights artifact holds a student's named tensors and, beside them, one reserved float32 tensor
`selftest` (k, classes): the logits that the released student gives on the k golden windows of its
spec, which a device must reproduce before it swaps.

`int8`: a tensor of two or more dimensions is stored as int8 with one float32 scale an output channel
(axis 0), symmetric (Krishnamoorthi, arXiv 1806.08342, §3): w' = q·s, s = max|w|/127, so |w − w'| ≤ s/2.
Vectors and scalars stay float32: biases are a few per cent of a net, float16 would save half of that
and could overflow.

`fp16`: every tensor as IEEE half precision, |w − w'| ≤ 2⁻¹¹·|w| for normal numbers; twice the bytes of int8,
for a student that does not bear its rounding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from iot_stream.errors import ModelError, Refused

SELFTEST = "selftest"
_SCALE = ":scale"  # a colon never occurs in the name of a parameter
_LARGEST_HALF = float(np.finfo(np.float16).max)
_LARGEST = 1e30  # far beyond any trained weight, far enough from overflow in float32
_SMALLEST_SCALE = float(
    np.finfo(np.float32).tiny
)  # below it a scale loses the precision that the bound needs

Tensors = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Weights:
    """Decoded weights: float32 tensors by name, and the expected golden logits (k, classes) if any."""

    tensors: dict[str, NDArray[np.float32]]
    selftest: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Encoding:
    pack: Callable[[Mapping[str, NDArray[np.float32]]], Tensors]
    unpack: Callable[[Tensors], dict[str, NDArray[np.float32]]]


def encode(
    name: str, weights: Mapping[str, NDArray[np.generic]], selftest: NDArray[np.generic] | None = None
) -> bytes:
    """The weights in the named encoding; equal weights give equal bytes, in whatever order they come.

    Raises ModelError for an unknown encoding, a reserved or impossible name, an empty tensor, and a
    weight that is NaN, infinite or absurdly large: a student that diverged in training.
    """
    if name not in _ENCODINGS:
        raise ModelError(f"there is no weight encoding {name!r}; use one of {', '.join(_ENCODINGS)}")
    if not weights:
        raise ModelError("a student without weights cannot be released; check that it has parameters")
    for tensor in weights:
        if ":" in tensor or tensor in ("", SELFTEST, "__metadata__"):
            raise ModelError(f"a weight cannot be called {tensor!r}; rename the parameter")
    packed = _ENCODINGS[name].pack({tensor: _checked(tensor, weights[tensor]) for tensor in weights})
    if selftest is not None:
        packed[SELFTEST] = _checked(SELFTEST, selftest)
    return safetensors.numpy.save(packed)


def decode(name: str, payload: bytes) -> Weights:
    """What `encode(name, …)` was given, as float32, within the encoding's bound.

    Raises Refused: `unsupported` for an encoding that this version does not know, `malformed` for
    bytes that are not such an artifact.
    """
    if name not in _ENCODINGS:
        raise Refused("unsupported", f"weight encoding {name!r}; this device knows {', '.join(_ENCODINGS)}")
    try:
        packed: Tensors = safetensors.numpy.load(payload)
    except (SafetensorError, KeyError, ValueError) as error:
        raise Refused("malformed", f"weights are not safetensors: {error}") from error
    selftest = packed.pop(SELFTEST, None)
    if selftest is not None and (selftest.dtype != np.float32 or selftest.ndim != 2):
        raise Refused("malformed", f"selftest is {selftest.dtype}{selftest.shape}, not float32 (k, classes)")
    tensors = _ENCODINGS[name].unpack(packed)
    if not tensors:
        raise Refused("malformed", "the weights artifact holds no weights")
    for tensor, values in tensors.items():
        if not np.isfinite(values).all():
            raise Refused("malformed", f"weight {tensor!r} is not finite")
    return Weights(tensors, None if selftest is None else selftest.astype(np.float32))


def names() -> tuple[str, ...]:
    """All encodings that this version reads, the preferred one first."""
    return tuple(_ENCODINGS)


def _checked(name: str, values: NDArray[np.generic]) -> NDArray[np.float32]:
    array = np.ascontiguousarray(values, dtype=np.float32).reshape(np.shape(values))
    if array.size == 0:
        raise ModelError(f"weight {name!r} of shape {array.shape} is empty; check the student's dimensions")
    if not (np.abs(array) <= _LARGEST).all():  # also false for NaN
        raise ModelError(f"weight {name!r} is NaN, infinite or beyond 1e30; lower the learning rate")
    return array


def _per_channel(scales: NDArray[np.float32], like: NDArray[np.generic]) -> NDArray[np.float32]:
    return scales.reshape((-1,) + (1,) * (like.ndim - 1))


def _pack_int8(weights: Mapping[str, NDArray[np.float32]]) -> Tensors:
    packed: Tensors = {}
    for name, values in weights.items():
        if values.ndim < 2:
            packed[name] = values
            continue
        peaks = np.abs(values).reshape(len(values), -1).max(axis=1)
        scales = np.maximum(peaks / np.float32(127), np.float32(_SMALLEST_SCALE))
        steps = np.rint(values / _per_channel(scales, values))
        packed[name] = np.clip(steps, -127, 127).astype(np.int8)
        packed[name + _SCALE] = scales
    return packed


def _unpack_int8(packed: Tensors) -> dict[str, NDArray[np.float32]]:
    scales = {name.removesuffix(_SCALE): packed.pop(name) for name in list(packed) if name.endswith(_SCALE)}
    tensors: dict[str, NDArray[np.float32]] = {}
    for name, values in packed.items():
        scale = scales.pop(name, None)
        if scale is None and values.dtype == np.float32 and values.ndim < 2:
            tensors[name] = values.astype(np.float32)
        elif scale is not None and values.dtype == np.int8 and values.ndim >= 2:
            tensors[name] = _scaled(name, values, scale)
        else:
            raise Refused(
                "malformed", f"tensor {name!r} is {values.dtype}{values.shape}, not int8 with a scale"
            )
    if scales:
        raise Refused("malformed", f"scales without their tensors: {', '.join(sorted(scales))}")
    return tensors


def _scaled(name: str, values: NDArray[np.generic], scale: NDArray[np.generic]) -> NDArray[np.float32]:
    if scale.dtype != np.float32 or scale.shape != values.shape[:1] or not (np.abs(scale) <= _LARGEST).all():
        raise Refused("malformed", f"the scale of {name!r} is {scale.dtype}{scale.shape} or not finite")
    return values.astype(np.float32) * _per_channel(scale.astype(np.float32), values)


def _pack_fp16(weights: Mapping[str, NDArray[np.float32]]) -> Tensors:
    for name, values in weights.items():
        if not (np.abs(values) <= _LARGEST_HALF).all():
            raise ModelError(f"weight {name!r} is beyond 65504, which float16 cannot hold")
    return {name: values.astype(np.float16) for name, values in weights.items()}


def _unpack_fp16(packed: Tensors) -> dict[str, NDArray[np.float32]]:
    for name, values in packed.items():
        if values.dtype != np.float16:
            raise Refused("malformed", f"tensor {name!r} is {values.dtype}{values.shape}, not float16")
    return {name: values.astype(np.float32) for name, values in packed.items()}


_ENCODINGS: dict[str, _Encoding] = {
    "int8": _Encoding(_pack_int8, _unpack_int8),
    "fp16": _Encoding(_pack_fp16, _unpack_fp16),
}

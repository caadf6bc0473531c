"""Updates that say only what changed: 4-bit differences to weights that a device has.

The service rounds the new weights so that the differences tell them exactly (closed loop): what a device
makes of its base and the delta is, byte for byte, the int8 artifact that is signed and that all others
download whole. So a delta needs no trust of its own, nothing can drift apart, and whoever lacks the base
takes the whole.

A tensor of two or more dimensions is w' = b + q·s with q in −7…7 and one float16 scale s an output channel,
two q to a byte; vectors change by float16; the self-test comes as it is. All of it is deflated safetensors.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from iot_stream.artifact import encodings
from iot_stream.errors import Refused

ENCODING = "int8"
"""What base and result are."""

_SCALE = ":scale"
_LEVELS = 7
_MOST = float(np.finfo(np.float16).max)
_ROOM = 64 * 1024  # a delta unpacks to less than its base and this

Weights = Mapping[str, NDArray[np.float32]]


def rounded(base: bytes, weights: Weights) -> tuple[encodings.Tensors, dict[str, NDArray[np.float32]]] | None:
    """The differences to an artifact of the same form, and the weights that they tell; None for others, and
    for differences beyond what float16 can hold."""
    before = encodings.decode(ENCODING, base).tensors
    if {name: values.shape for name, values in weights.items()} != {n: v.shape for n, v in before.items()}:
        return None
    told: encodings.Tensors = {}
    after: dict[str, NDArray[np.float32]] = {}
    for name, values in weights.items():
        change = np.asarray(values, np.float32) - before[name]
        if not (np.abs(change) <= _MOST).all():
            return None
        if change.ndim < 2:
            told[name] = change.astype(np.float16)
            after[name] = before[name] + told[name].astype(np.float32)
            continue
        peaks = np.abs(change).reshape(len(change), -1).max(axis=1)
        scales = (peaks / np.float32(_LEVELS)).astype(np.float16)
        column = _column(scales.astype(np.float32), change)
        steps = np.rint(np.divide(change, column, out=np.zeros_like(change), where=column > 0))
        told[name] = _nibbles(np.clip(steps, -_LEVELS, _LEVELS).astype(np.int8))
        told[name + _SCALE] = scales
        after[name] = _moved(before[name], np.clip(steps, -_LEVELS, _LEVELS).astype(np.int8), scales)
    return told, after


def pack(told: encodings.Tensors, selftest: NDArray[np.float32]) -> bytes:
    """The delta of `rounded`'s differences, with the logits that the result gives on its golden windows."""
    return zlib.compress(safetensors.numpy.save({**told, encodings.SELFTEST: selftest}), 9)


def apply(base: bytes, delta: bytes) -> bytes:
    """The int8 artifact that the delta makes of its base; whether it is the right one its hash must say.

    Raises Refused ("malformed") for a delta that is none, or not of this base.
    """
    told = _unpacked(delta, len(base) + _ROOM)
    before = encodings.decode(ENCODING, base).tensors
    selftest = told.pop(encodings.SELFTEST, None)
    scales = {name.removesuffix(_SCALE): told.pop(name) for name in list(told) if name.endswith(_SCALE)}
    if told.keys() != before.keys() or selftest is None or selftest.dtype != np.float32:
        raise Refused("malformed", "the delta is not of these weights")
    after: dict[str, NDArray[np.float32]] = {}
    for name, values in told.items():
        was, scale = before[name], scales.get(name)
        if was.ndim < 2:
            if scale is not None or values.dtype != np.float16 or values.shape != was.shape:
                raise Refused("malformed", f"the delta's {name!r} is not float16{was.shape}")
            if not np.isfinite(values).all():
                raise Refused("malformed", f"a value of the delta's {name!r} is no number")
            after[name] = was + values.astype(np.float32)
            continue
        if values.dtype != np.uint8 or values.shape != ((was.size + 1) // 2,):
            raise Refused("malformed", f"the delta's {name!r} is no difference to {was.shape}")
        if scale is None or scale.dtype != np.float16 or scale.shape != was.shape[:1]:
            raise Refused("malformed", f"the delta's {name!r} has no scale for each of {len(was)} channels")
        if not np.isfinite(scale).all():
            raise Refused("malformed", f"a scale of the delta's {name!r} is no number")
        after[name] = _moved(was, _steps(values, was), scale)
    try:
        return encodings.encode(ENCODING, after, selftest)
    except Exception as error:
        raise Refused("malformed", f"the delta makes no weights: {error}") from error


def _unpacked(delta: bytes, most: int) -> encodings.Tensors:
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(delta, most)
        if not inflater.eof:
            raise Refused("malformed", "the delta is cut short, or longer than it can be")
        return dict(safetensors.numpy.load(raw))
    except (zlib.error, SafetensorError, KeyError, ValueError) as error:
        raise Refused("malformed", f"the delta is not deflated safetensors: {error}") from error


def _moved(
    before: NDArray[np.float32], steps: NDArray[np.int8], scales: NDArray[np.generic]
) -> NDArray[np.float32]:
    """In float32, one product and one sum an element: the same bits wherever it is done."""
    column = _column(scales.astype(np.float32), before)
    moved: NDArray[np.float32] = before + steps.astype(np.float32) * column
    return moved


def _column(scales: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    return scales.reshape((-1,) + (1,) * (like.ndim - 1))


def _nibbles(steps: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Two to a byte, each plus 8; an odd one is followed by a zero."""
    flat = (steps.ravel() + 8).astype(np.uint8)
    if len(flat) % 2:
        flat = np.append(flat, np.uint8(8))
    return np.left_shift(flat[::2], np.uint8(4)) | flat[1::2]


def _steps(packed: NDArray[np.generic], like: NDArray[np.float32]) -> NDArray[np.int8]:
    bytes_ = packed.astype(np.uint8)
    flat = np.stack([bytes_ >> 4, bytes_ & 15], axis=1).ravel()[: like.size]
    return flat.astype(np.int8).reshape(like.shape) - np.int8(8)

"""What a device sends in place of all its readings: some windows, what it made of them, a word on the rest.

A message is msgpack, deflated. Windows that overlap share their rows. Each value of a column is one of 65,535
evenly spaced ones, from the least to the greatest in the message: two bytes before deflation. So a window
comes as it was cut but for 1/131,068 of what its column spans.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from iot_stream.cut import Cut
from iot_stream.errors import DataError
from iot_stream.hygiene import MAX_PAYLOAD
from iot_stream.readings import Values
from iot_stream.upload import Rest
from iot_stream.windows import Windows

CERTAIN = 65535  # the certainty 1
STEPS, MISSING = 65534, 65535  # from the least value to the greatest; no value
LARGEST = 3.4e38


@dataclass(frozen=True)
class Sample:
    """`windows` of each cut, by its id; of the first cut's (n): `said` (n,) the index of a class in
    `classes`, or −1, and its certainty `p` (n,), by `version`; `readings` (n, `channels`) at their ends."""

    windows: dict[str, Windows]
    rest: Rest
    version: int = 0
    classes: tuple[str, ...] = ()
    said: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    p: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    channels: tuple[str, ...] = ()
    readings: Values = field(default_factory=lambda: np.zeros((0, 0), np.float32))


class _Rows(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Column by column: the value of code 0, how much more each further code is; of all codes the lower
    bytes, then the higher ones, for so they deflate best."""

    low: list[float]
    step: list[float]
    codes: bytes


class _Windows(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """`starts`, `spans`: int64, each less the one before; `shifts`: uint32, by how many rows a window lies
    behind the one before; `rows` of all, each once."""

    starts: bytes
    spans: bytes
    shifts: bytes
    rows: _Rows


class _Rest(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """As `Rest`; `inputs`: of each input of the first cut four float32, NaN where it was always missing."""

    begin: int
    end: int
    windows: int
    sent: int
    classes: dict[str, int]
    p: float
    inputs: bytes


class _Message(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    rest: _Rest
    windows: dict[str, _Windows] = {}
    version: int = 0
    classes: list[str] = []
    said: bytes = b""
    p: bytes = b""
    channels: list[str] = []
    readings: _Rows | None = None


def encode(sample: Sample, cuts: tuple[Cut, ...]) -> bytes:
    message = _Message(
        _told(sample.rest, cuts[0]),
        {cut.id: _packed(sample.windows[cut.id], cut) for cut in cuts if cut.id in sample.windows},
        sample.version,
        list(sample.classes),
        sample.said.astype("<i2").tobytes(),
        np.rint(sample.p * CERTAIN).astype("<u2").tobytes(),
        list(sample.channels),
        _coded(sample.readings) if sample.channels else None,
    )
    return zlib.compress(msgspec.msgpack.encode(message), 9)


def decode(payload: bytes, cuts: Mapping[str, Cut]) -> Sample:
    """`cuts` by their ids, the first of them the one that words and readings are of. Raises DataError:
    "malformed", "too_large", or "unknown_cut" for windows that another configuration cuts."""
    message = _inflated(payload)
    for name in message.windows:
        if name not in cuts:
            raise DataError("unknown_cut", f"windows of cut {name}; this configuration has {', '.join(cuts)}")
    if message.windows and next(iter(message.windows)) != next(iter(cuts)):
        raise DataError("malformed", "sample: the student's windows come first")
    try:
        rest = _rest(message.rest, next(iter(cuts.values())))
        windows = {name: _unpacked(packed, cuts[name]) for name, packed in message.windows.items()}
        said = np.frombuffer(message.said, "<i2").astype(np.int64)
        p = np.frombuffer(message.p, "<u2") / CERTAIN
        told = message.readings or _Rows([], [], b"")
        readings = _decoded(told, len(message.channels))
    except ValueError as error:
        raise DataError("malformed", f"sample: {error}") from error
    counts = {len(said), len(p), len(next(iter(windows.values()), said))}
    if message.channels:
        counts.add(len(readings))
    if len(counts) > 1 or (len(said) and not -1 <= said.min() <= said.max() < len(message.classes)):
        raise DataError("malformed", "sample: not one class, certainty and reading for each window")
    return Sample(
        windows,
        rest,
        message.version,
        tuple(message.classes),
        said,
        p,
        tuple(message.channels),
        readings,
    )


def _inflated(payload: bytes) -> _Message:
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(payload, MAX_PAYLOAD)
        if inflate.unconsumed_tail:
            raise DataError("too_large", f"sample: more than {MAX_PAYLOAD:,} bytes when inflated")
        message: _Message = msgspec.msgpack.decode(content, type=_Message)
    except (zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError("malformed", f"sample: {error}") from error
    return message


def _told(rest: Rest, cut: Cut) -> _Rest:
    nothing = (np.nan,) * 4
    figures = np.array([rest.inputs.get(name, nothing) for name in cut.inputs], "<f4").tobytes()
    return _Rest(rest.begin, rest.end, rest.windows, rest.sent, rest.classes, rest.p, figures)


def _rest(told: _Rest, cut: Cut) -> Rest:
    """Raises ValueError."""
    figures = np.frombuffer(told.inputs, "<f4").reshape(len(cut.inputs), 4)
    known = np.isfinite(figures).all(axis=1).tolist()
    rows = zip(cut.inputs, known, figures.tolist(), strict=True)
    inputs = {
        name: (mean, deviation, low, high) for name, there, (mean, deviation, low, high) in rows if there
    }
    if not (
        0 <= told.begin <= told.end < 2**62 and 0 <= told.sent <= told.windows < 2**62 and 0 <= told.p <= 1
    ):
        raise ValueError("absurd summary")
    if any(count < 0 or count > told.windows for count in told.classes.values()):
        raise ValueError("absurd counts of classes")
    return Rest(told.begin, told.end, told.windows, told.sent, told.classes, told.p, inputs)


def _packed(windows: Windows, cut: Cut) -> _Windows:
    shifts = [_shift(windows, place, cut) for place in range(1, len(windows))]
    rows = [windows.x[:1].reshape(-1, len(cut.inputs))]
    rows += [x[cut.length - shift :] for x, shift in zip(windows.x[1:], shifts, strict=True)]
    return _Windows(
        np.diff(windows.starts, prepend=0).astype("<i8").tobytes(),
        np.diff(windows.ends - windows.starts, prepend=0).astype("<i8").tobytes(),
        np.array(shifts, "<u4").tobytes(),
        _coded(np.concatenate(rows)),
    )


def _shift(windows: Windows, place: int, cut: Cut) -> int:
    """By how many rows a window lies behind the one before, its length where they share none."""
    if windows.starts[place] > windows.ends[place - 1]:
        return cut.length
    before, x = windows.x[place - 1].view(np.uint32), windows.x[place].view(np.uint32)
    for turn in np.flatnonzero((before[cut.hop :: cut.hop] == x[0]).all(axis=1)).tolist():
        shift = (turn + 1) * cut.hop
        if np.array_equal(before[shift:], x[: cut.length - shift]):
            return shift
    return cut.length


def _unpacked(packed: _Windows, cut: Cut) -> Windows:
    """Raises ValueError."""
    starts = np.cumsum(np.frombuffer(packed.starts, "<i8"))
    ends = starts + np.cumsum(np.frombuffer(packed.spans, "<i8"))
    shifts = np.frombuffer(packed.shifts, "<u4").astype(np.int64)
    rows = _decoded(packed.rows, len(cut.inputs))
    offsets = np.concatenate([[0], np.cumsum(shifts)])[: len(starts)]
    if len(ends) != len(starts) or len(shifts) != max(0, len(starts) - 1) or (shifts > cut.length).any():
        raise ValueError("starts, spans and shifts do not fit each other")
    if len(rows) != (offsets[-1] + cut.length if len(starts) else 0):
        raise ValueError(f"{len(rows)} rows do not make {len(starts)} windows of {cut.length}")
    if len(starts) and not (0 <= starts.min() <= ends.max() < 2**62 and (ends >= starts).all()):
        raise ValueError("absurd times")
    x = (
        rows[offsets[:, None] + np.arange(cut.length)]
        if len(starts)
        else np.zeros((0, cut.length, len(cut.inputs)))
    )
    if np.isinf(x).any():
        raise ValueError("infinite values")
    return Windows(starts.astype(np.int64), ends.astype(np.int64), x.astype(np.float32))


def _coded(rows: Values) -> _Rows:
    with np.errstate(invalid="ignore"):
        low, high = (
            np.fmin.reduce(rows, axis=0, initial=np.inf),
            np.fmax.reduce(rows, axis=0, initial=-np.inf),
        )
    known = low <= high
    low, span = np.where(known, low, 0).astype(np.float64), np.where(known, high - low, 0).astype(np.float64)
    step = span / STEPS
    places = np.rint((rows - low) / np.where(step > 0, step, 1.0))
    codes = np.where(np.isnan(rows), MISSING, places).astype("<u2")
    pairs = codes.T.reshape(-1, 1).view(np.uint8)
    return _Rows(low.tolist(), step.tolist(), pairs.T.tobytes())


def _decoded(rows: _Rows, columns: int) -> Values:
    """(n, columns); raises ValueError."""
    if not len(rows.low) == len(rows.step) == columns or not np.isfinite([*rows.low, *rows.step]).all():
        raise ValueError(f"not {columns} columns")
    pairs = np.ascontiguousarray(np.frombuffer(rows.codes, np.uint8).reshape(2, -1).T)
    codes = pairs.view("<u2").reshape(columns, -1).T if columns else np.zeros((0, 0), np.uint16)
    values = np.asarray(rows.low) + codes * np.asarray(rows.step)
    if (np.abs(values) > LARGEST).any():
        raise ValueError("values that float32 does not hold")
    return np.where(codes == MISSING, np.nan, values).astype(np.float32)

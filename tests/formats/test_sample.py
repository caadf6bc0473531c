"""A sample's way through bytes: windows come as they were, and nothing that is no sample comes through."""

import zlib
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.cut import Cut
from iot_stream.errors import DataError
from iot_stream.formats.sample import Sample, decode, encode
from iot_stream.readings import Values
from iot_stream.upload import Rest
from iot_stream.windows import Windower, Windows

CUT = Cut(("a", "b"), ("a", "b"), length=8, hop=2)
OTHER = Cut(("a",), ("a",), length=8, hop=2)
CUTS = {CUT.id: CUT, OTHER.id: OTHER}


def windows_of(cut: Cut, rows: Values, keep: list[bool] | None = None) -> Windows:
    times = 10**18 + np.arange(len(rows), dtype=np.int64) * 1000
    found = Windower(cut).push(times, rows[:, : len(cut.channels)])
    chosen = np.ones(len(found), bool) if keep is None else np.resize(keep, len(found))
    return Windows(*(column[chosen] for column in found))


def sample_of(*windows: tuple[Cut, Windows], rest: Rest | None = None) -> Sample:
    first = windows[0][1]
    said = np.arange(len(first)) % 3 - 1
    p = (np.arange(len(first)) % 7) / 6
    end = int(first.ends[-1]) if len(first) else 0
    return Sample(
        {cut.id: found for cut, found in windows},
        rest or Rest(0, end, len(first) + 5, len(first), {"x": 2}, 0.5, {"a": (1.0, 0.5, 0.0, 2.0)}),
        7, ("x", "y"), said, p, ("co2",), np.arange(len(first), dtype=np.float32)[:, None],
    )  # fmt: skip


rows = st.lists(
    st.tuples(*[st.floats(-(2.0**100), 2.0**100, width=32) | st.just(float("nan"))] * 2),
    min_size=0,
    max_size=60,
).map(lambda found: np.array(found, np.float32).reshape(-1, 2))


@settings(max_examples=40)
@given(rows, st.lists(st.booleans(), min_size=1, max_size=8))
def test_windows_come_as_they_were_but_for_a_rounding(found: Values, keep: list[bool]) -> None:
    sent = sample_of((CUT, windows_of(CUT, found, keep)), (OTHER, windows_of(OTHER, found, keep)))
    came = decode(encode(sent, (CUT, OTHER)), CUTS)
    for name, windows in sent.windows.items():
        own = came.windows[name]
        assert own.starts.tolist() == windows.starts.tolist()
        assert own.ends.tolist() == windows.ends.tolist()
        assert own.x.shape == windows.x.shape
        assert (np.isnan(own.x) == np.isnan(windows.x)).all()
        for column in range(windows.x.shape[2]):
            was, now = windows.x[:, :, column].astype(np.float64), own.x[:, :, column].astype(np.float64)
            if np.isfinite(was).any():
                span = np.nanmax(was) - np.nanmin(was)
                rounding = np.nanmax(np.abs(was)) * 2**-23  # of float32 itself
                assert np.nanmax(np.abs(was - now)) <= span / 131_068 * 1.001 + rounding
    assert (came.said.tolist(), came.version, came.classes) == (sent.said.tolist(), 7, ("x", "y"))
    assert np.abs(came.p - sent.p).max(initial=0) <= 1 / 131_070 + 1e-9
    assert came.channels == ("co2",)
    assert came.readings.shape == sent.readings.shape
    assert np.abs(came.readings - sent.readings).max(initial=0) <= len(sent.readings) / 131_068 + 1e-5
    assert came.rest == sent.rest


def test_whole_numbers_of_a_converter_come_exactly() -> None:
    raw = np.random.default_rng(0).integers(-2048, 2048, (200, 2)).astype(np.float32)
    raw[:2] = [[-32767, -32767], [32767, 32767]]
    windows = windows_of(CUT, raw)
    assert np.array_equal(
        decode(encode(sample_of((CUT, windows)), (CUT,)), CUTS).windows[CUT.id].x, windows.x
    )


def test_windows_that_overlap_share_their_rows() -> None:
    raw = np.random.default_rng(0).normal(size=(256, 2)).astype(np.float32)
    overlapping = windows_of(CUT, raw)
    apart = windows_of(CUT, raw, [True, False, False, False])
    assert all(later - former == 8000 for former, later in pairwise(apart.starts.tolist()))
    sizes = [len(encode(sample_of((CUT, each)), (CUT,))) for each in (apart, overlapping)]
    assert sizes[1] - sizes[0] < 7 * (len(overlapping) - len(apart)), "a time and a word, no further rows"


def altered(payload: bytes, **changes: object) -> bytes:
    message = msgspec.msgpack.decode(zlib.decompress(payload))
    return zlib.compress(msgspec.msgpack.encode(message | changes))


RAW = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
GOOD = encode(sample_of((CUT, windows_of(CUT, RAW))), (CUT,))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (GOOD[:-9], "malformed"),
        (zlib.compress(b"\xc1"), "malformed"),
        (zlib.compress(bytes(10**7)), "too_large"),
        (altered(GOOD, said=b"\0\0"), "malformed"),
        (altered(GOOD, said=b"\x02\0" * 17), "malformed"),
        (altered(GOOD, classes=[]), "malformed"),
        (altered(GOOD, channels=["co2", "noise"]), "malformed"),
        (altered(GOOD, strange=1), "malformed"),
        (altered(GOOD, rest=[5, 1, 2, 1, {}, 0.0, b""]), "malformed"),
        (altered(GOOD, rest=[0, 1, 2, 3, {}, 0.0, bytes(32)]), "malformed"),
        (encode(sample_of((OTHER, windows_of(OTHER, RAW))), (OTHER,)), "malformed"),
        (encode(sample_of((Cut(("a",), ("a",), 3, 1), windows_of(Cut(("a",), ("a",), 3, 1), RAW))),
                (Cut(("a",), ("a",), 3, 1),)), "unknown_cut"),
    ],
)  # fmt: skip
def test_what_is_no_sample_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as refused:
        decode(payload, CUTS)
    assert refused.value.reason == reason


@given(st.data())
def test_no_bytes_do_harm(data: st.DataObject) -> None:
    content = bytearray(zlib.decompress(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(zlib.compress(bytes(content)), CUTS)
    except DataError:
        return  # and nothing else
    if found.windows:
        (windows,) = found.windows.values()
        assert windows.x.shape[1:] == (8, 2)
        assert len(windows) == len(found.said) == len(found.p) == len(found.readings)

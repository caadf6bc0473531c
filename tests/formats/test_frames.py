"""Pictures as grey values of a small grid."""

import builtins
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.frames import MOST_COSTLY, FrameDecoder, channel_names, encode
from iot_stream.readings import Block
from tests.streams import START

Image = pytest.importorskip("PIL.Image")


def saved(pixels: np.ndarray[Any, Any], kind: str = "PNG", mode: str | None = None, **how: object) -> bytes:
    file = BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind, **how)
    return file.getvalue()


def decode(payload: bytes, size: str = "2x2") -> Block:
    decoder = FrameDecoder(Source(format="frame", channels={"p": size}), 3)
    (block,) = decoder.decode(Heard(payload, START, {"device": "cam"}))
    return block


QUARTERS = np.kron(np.array([[0, 255], [51, 102]], np.uint8), np.ones((32, 32), np.uint8))
NOISE = np.random.default_rng(1).integers(0, 256, (48, 64), np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def empty_png(width: int, height: int) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_a_png_of_every_mode(mode: str) -> None:
    if mode == "1":
        block = decode(saved(QUARTERS // 255 * 255, mode=mode))
        assert block.values.tolist() == [[0, 1, 0, 0]]
        return
    block = decode(saved(QUARTERS, mode=mode))
    np.testing.assert_allclose(block.values, [[0, 1, 0.2, 0.4]], atol=0.01)
    assert (block.device, block.channels, block.source) == ("cam", ("p0", "p1", "p2", "p3"), 3)
    assert block.times.tolist() == [START]
    assert block.arrival_stamped


def test_a_png_of_16_bits() -> None:
    block = decode(saved(QUARTERS.astype(np.uint16) * 257))
    np.testing.assert_allclose(block.values, [[0, 1, 0.2, 0.4]], atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg(mode: str, progressive: bool) -> None:
    block = decode(saved(QUARTERS, "JPEG", mode, quality=95, progressive=progressive))
    np.testing.assert_allclose(block.values, [[0, 1, 0.2, 0.4]], atol=0.02)


def test_fields_are_averaged_row_by_row() -> None:
    block = decode(saved(NOISE), "8x4")
    expected = NOISE.reshape(4, 12, 8, 8).mean((1, 3)).ravel() / 255
    np.testing.assert_allclose(block.values[0], expected, atol=0.003)
    jpeg = decode(saved(NOISE, "JPEG", quality=100), "8x4")
    np.testing.assert_allclose(jpeg.values[0], expected, atol=0.01)


def test_a_picture_smaller_than_the_grid() -> None:
    block = decode(saved(np.array([[0, 255]], np.uint8)), "4x2")
    assert block.values.tolist() == [[0, 0, 1, 1, 0, 0, 1, 1]]


def test_names_of_channels() -> None:
    assert channel_names("p", "3x2") == ("p0", "p1", "p2", "p3", "p4", "p5")
    assert len(channel_names("frame", "64x64")) == 4096


@pytest.mark.parametrize(
    "size", ["", "16", "0x4", "4x0", "65x4", "4x65", "16 x 16", "16X16", "-1x4", "100x100"]
)
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ConfigError, match=r"channels: .* up to 64x64, as 16x12"):
        FrameDecoder(Source(format="frame", channels={"p": size}), 0)


@pytest.mark.parametrize("channels", [{}, {"p": "4x4", "q": "4x4"}])
def test_one_entry_is_needed(channels: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"channels: format frame needs one entry, as \{p: 16x16\}"):
        FrameDecoder(Source(format="frame", channels=channels), 0)


def test_without_pillow_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'iot-stream\[formats\]'"):
        FrameDecoder(Source(format="frame", channels={"p": "4x4"}), 0)


JPEG, PNG = saved(NOISE, "JPEG"), saved(NOISE)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "wrong_type"),
        (b"GIF89a", "wrong_type"),
        (saved(NOISE, "BMP"), "wrong_type"),
        (JPEG[:-200], "malformed"),
        (JPEG[:20], "malformed"),
        (PNG[: len(PNG) // 2], "malformed"),
        (PNG[:20], "malformed"),
        (empty_png(4001, 4000), "too_large"),
        (empty_png(10_000, 10_000), "too_large"),  # Pillow warns
        (empty_png(60_000, 60_000), "too_large"),  # Pillow refuses
        (empty_png(2**31 - 1, 2**31 - 1), "too_large"),
        (empty_png(100, 100), "malformed"),  # too few pixels
        (empty_png(0, 0), "malformed"),
        (JPEG[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * (MOST_COSTLY + 1), "too_large"),
        (PNG[:33] + chunk(b"iCCP", b"") * (MOST_COSTLY + 1) + PNG[33:], "too_large"),
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        decode(payload)
    assert error.value.reason == reason
    assert len(str(error.value)) < 500


@settings(max_examples=300)
@given(st.sampled_from([JPEG, PNG, saved(QUARTERS, "JPEG", "RGB", progressive=True)]), st.data())
def test_whatever_the_bytes_only_data_errors_are_raised(picture: bytes, data: st.DataObject) -> None:
    changed = bytearray(picture)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, min(len(changed), 700)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        block = decode(bytes(changed))
    except DataError:
        return
    assert 0 <= block.values.min() <= block.values.max() <= 1


@given(st.lists(st.integers(0, 255), min_size=12, max_size=12))
def test_what_is_encoded_is_decoded(pixels: list[int]) -> None:
    values = np.array(pixels, np.float32) / np.float32(255)
    np.testing.assert_array_equal(decode(encode(values, (4, 3)), "4x3").values[0], values)

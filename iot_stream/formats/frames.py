"""Pictures of a camera: a JPEG or PNG a message, as grey values of a small grid, one channel each.

Enough for a model to tell a lit room from a dark one, or an open door from a closed one; no more.
"""

import re
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.source import Source
from iot_stream.readings import Block, Values

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 64  # side of the grid
MOST_PIXELS = 16_000_000  # of a picture
MOST_COSTLY = 100
_SIZE = re.compile(r"([1-9]\d?)x([1-9]\d?)")
_KINDS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_COSTLY = {"JPEG": b"\xff\xda", "PNG": b"iCCP"}
"""Start of a scan, which goes over all pixels again; a colour profile, which is unpacked. Good files have a
few, but thousands fit in a message."""


@format_named("frame", channels=lambda source: _grid(source)[0])
class FrameDecoder:
    """One picture a message; `channels: {p: 16x12}` makes it 16 wide and 12 high: p0 to p191, row by row,
    from 0 (black) to 1 (white). The time is of arrival."""

    def __init__(self, source: Source, index: int) -> None:
        self._index, self._device = index, source.device
        self._names, self._size = _grid(source)
        try:
            import PIL.Image  # noqa: F401  megabytes that no other format needs
        except ImportError as error:
            raise ConfigError("format frame needs Pillow: pip install 'iot-stream[formats]'") from error

    def decode(self, heard: Heard) -> list[Block]:
        device = self._device or heard.device
        values = grey(heard.payload, self._size, f"picture of {device}")
        times = np.array([heard.arrived], np.int64)
        return [Block(device, self._names, times, values[None], source=self._index, arrival_stamped=True)]


def _grid(source: Source) -> tuple[tuple[str, ...], tuple[int, int]]:
    """Channels and size; raises ConfigError."""
    if len(source.channels) != 1:
        raise ConfigError("channels: format frame needs one entry, as {p: 16x16}: name and size")
    ((name, size),) = source.channels.items()
    return channel_names(name, size), _size(size)


def channel_names(name: str, size: str) -> tuple[str, ...]:
    """Of a grid, "16x12" wide and high, row by row; raises ConfigError."""
    width, height = _size(size)
    return tuple(f"{name}{i}" for i in range(width * height))


def _size(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < width <= LARGEST or height > LARGEST:
        raise ConfigError(f"channels: {text!r}: write width and height, up to {LARGEST}x{LARGEST}, as 16x12")
    return width, height


def grey(payload: bytes, size: tuple[int, int], what: str) -> Values:
    """Grey values from 0 to 1 of the picture, averaged over each field of the grid; raises DataError."""
    from PIL import Image, UnidentifiedImageError

    kind = next((kind for start, kind in _KINDS.items() if payload.startswith(start)), None)
    if kind is None:
        raise DataError("wrong_type", f"{what}: neither JPEG nor PNG")
    if payload.count(_COSTLY[kind]) > MOST_COSTLY:
        raise DataError("too_large", f"{what}: more than {MOST_COSTLY} scans or colour profiles")
    try:
        with Image.open(BytesIO(payload), formats=[kind]) as image:  # reads the header
            small = _small(image, size, what)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError("too_large", f"{what}: {error}") from error
    except UnidentifiedImageError as error:
        raise DataError("malformed", f"{what}: no header of a {kind}") from error
    except DataError:
        raise
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        raise DataError("malformed", f"{what}: {str(error)[:200]}") from error
    return np.asarray(small, np.float32).ravel() / np.float32(255)


def _small(image: "Image", size: tuple[int, int], what: str) -> "Image":
    from PIL import Image

    if image.width * image.height > MOST_PIXELS:
        raise DataError("too_large", f"{what}: {image.width} × {image.height} pixels")
    image.draft("L", (2 * size[0], 2 * size[1]))  # a JPEG is decoded not much finer than needed
    return _lightness(image).resize(size, Image.Resampling.BOX)


def _lightness(image: "Image") -> "Image":
    """0 to 255, as bytes, or as floats where the picture has 16 bits a pixel."""
    if image.mode.startswith("I"):
        return image.convert("I").convert("F").point(lambda value: value * (255 / 65535) + 0.0)
    return image.convert("L")


def encode(values: Values, size: tuple[int, int]) -> bytes:
    """A PNG of one reading; decoding gives values to 1/255."""
    from PIL import Image

    width, height = size
    pixels = np.rint(np.asarray(values).reshape(height, width) * 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

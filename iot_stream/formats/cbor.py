"""CBOR (RFC 8949), by the same paths as JSON; a key that is a number is named in a path by its digits: `$.3`.

Of the tags those count that say what number, time or text is meant (0, 1, 2, 3, 4, 5, 37); of all others the
value inside is taken as it is. Values that refer to others (tags 25, 28, 29, 256) are refused: small messages
could stand for endless ones.
"""

from collections.abc import Callable, Mapping
from math import ldexp
from typing import Any
from uuid import UUID

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.json_paths import Fields
from iot_stream.formats.source import Source
from iot_stream.readings import Block

DEEPEST = 64  # nested arrays, maps and tags
LONGEST = 64  # bytes of a whole number
LARGE = 128 * 1024
"""Bytes of a message beyond which keys must be text. Keys of other kinds can be chosen so that they hash
alike, and a map of n such keys takes n² steps: half a second up to here, minutes in the largest message."""


@format_named("cbor")
class CborDecoder:
    """Paths to the fields of a CBOR message."""

    def __init__(self, source: Source, index: int) -> None:
        need_cbor2(source.format)
        self._fields = Fields(source, index)

    def decode(self, heard: Heard) -> list[Block]:
        return self._fields.blocks(heard, parse_cbor(heard.payload, f"message of {heard.device}"))


def need_cbor2(format_name: str) -> None:
    """Raises ConfigError where the library is not installed."""
    try:
        import cbor2  # noqa: F401  half a megabyte that no other format needs
    except ImportError as error:
        raise ConfigError(f"format {format_name} needs cbor2: pip install 'iot-stream[formats]'") from error


def parse_cbor(payload: bytes, what: str) -> Any:
    """The message, with keys as text; raises DataError("malformed")."""
    import cbor2

    try:
        return cbor2.loads(
            payload,
            max_depth=DEEPEST,
            object_hook=_with_text_keys,
            semantic_decoders=_TAGS,
            tag_hook=lambda tag, fixed: tag.value if fixed else _loosened(tag.value),
            strict_hashable_types=len(payload) > LARGE,
        )
    except Exception as error:  # whatever a broken message leads the library to
        raise DataError("malformed", f"{what}: {str(error)[:200]}") from error


def _with_text_keys(found: Mapping[Any, Any], fixed: bool) -> Mapping[Any, Any]:
    """`fixed` is what stands in a key, or in a tag that the library does not know: it must stay hashable."""
    if fixed:
        return found
    return {str(key) if type(key) is int else key: value for key, value in found.items()}


def _loosened(value: Any) -> Any:
    """What stood fixed, as lists and maps with text keys."""
    if isinstance(value, tuple):
        return [_loosened(each) for each in value]
    if isinstance(value, Mapping):
        return _with_text_keys({key: _loosened(each) for key, each in value.items()}, fixed=False)
    return value


def _as_it_is(value: Any, _: bool) -> Any:
    return value


def _refused(_: Any, __: bool) -> Any:
    raise ValueError("values that refer to others are not read")


def _whole(value: bytes, _: bool) -> int:
    if len(value) > LONGEST:
        raise ValueError(f"a whole number of more than {LONGEST} bytes")
    return int.from_bytes(value, "big")


def _negative(value: bytes, fixed: bool) -> int:
    return -1 - _whole(value, fixed)


def _decimal(value: Any, _: bool) -> float:
    exponent, mantissa = map(_integer, value)
    return float(f"{mantissa}e{exponent}")


def _binary(value: Any, _: bool) -> float:
    exponent, mantissa = map(_integer, value)
    return ldexp(mantissa, exponent)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a fraction of something else than whole numbers")
    return value


def _uuid(value: bytes, _: bool) -> str:
    return str(UUID(bytes=value))


# Of all tags that the library follows by itself.
_TAGS: dict[int, Callable[[Any, bool], Any]] = {
    **dict.fromkeys((0, 1, 30, 35, 36, 52, 54, 100, 258, 260, 261, 1004, 43000, 55799), _as_it_is),
    **dict.fromkeys((25, 28, 29, 256), _refused),
    2: _whole,
    3: _negative,
    4: _decimal,
    5: _binary,
    37: _uuid,
}

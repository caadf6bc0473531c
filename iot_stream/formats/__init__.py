"""Dialects: bytes to readings, one a file, found by name.

A decoder is made once for each source of a configuration; `decode` is pure and raises only
DataError, whatever the bytes.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Protocol

from iot_stream.errors import ConfigError
from iot_stream.formats.source import Source
from iot_stream.readings import Block


class Decoder(Protocol):
    def decode(self, device: str, payload: bytes, arrived: int) -> list[Block]:
        """Blocks of readings in one message of `device`; `arrived` in ns stamps readings without time."""


Factory = Callable[[Source, int], Decoder]
FORMATS: dict[str, Factory] = {}


def format_named(name: str) -> Callable[[Factory], Factory]:
    def register(factory: Factory) -> Factory:
        FORMATS[name] = factory
        return factory

    return register


def decoder(source: Source, index: int) -> Decoder:
    """The decoder for a source, whose blocks carry `index`; raises ConfigError."""
    from iot_stream.formats import json_paths, telemetry  # noqa: F401  they register themselves

    if source.format not in FORMATS:
        near = get_close_matches(source.format, FORMATS, 1) or sorted(FORMATS)
        raise ConfigError(f"format: no format {source.format!r}; is {' or '.join(near)} meant?")
    return FORMATS[source.format](source, index)

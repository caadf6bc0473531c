"""Dialects: bytes to readings, one a file, found by name.

A decoder is made once for each source of a configuration; `decode` raises only DataError, whatever the bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from iot_stream.columns import Columns
from iot_stream.errors import ConfigError, DataError, nearest
from iot_stream.formats.source import Source
from iot_stream.readings import Block, device_name

MODULES = (
    "arrays",
    "cbor",
    "channel_topics",
    "csv_lines",
    "frames",
    "json_paths",
    "senml",
    "shelly",
    "sparkplug",
    "tasmota",
    "telemetry",
    "zigbee2mqtt",
)
"""Each registers its dialects when it is imported."""


class Heard(msgspec.Struct, frozen=True, gc=False):
    """A message as it came. `places` are what the source's topic has in braces; `arrived` (ns, on the
    pipeline's clock) stamps readings without a time."""

    payload: bytes
    arrived: int
    places: Mapping[str, str] = {}

    @property
    def device(self) -> str:
        """What {device} stood for; empty where the topic names none."""
        return self.places.get("device", "")


class Decoder(Protocol):
    def decode(self, heard: Heard) -> list[Block]:
        """Readings of the devices that the message speaks of, under the names that it gives them."""


@runtime_checkable
class Together(Decoder, Protocol):
    """A dialect that reads many messages at once for less than each by itself."""

    def decode_together(
        self, payloads: Sequence[bytes], places: Sequence[Mapping[str, str]]
    ) -> Columns | None:
        """A block of each, of the device that its topic names; None where one of them must be looked at by
        itself, with `decode`."""


@runtime_checkable
class Conversation(Decoder, Protocol):
    """A dialect whose messages make sense only after others: what it remembers outlives a restart."""

    def speaker(self, places: Mapping[str, str]) -> str:
        """Whom a topic names, as readings of its messages do."""

    def snapshot(self) -> bytes: ...

    def restore(self, snapshot: bytes) -> None:
        """Go on where `snapshot` was taken; an empty one, or one that cannot be read, is a new beginning."""

    def lost(self) -> dict[str, int]:
        """Messages known to be lost since this was last asked, by device."""

    def heard(self) -> dict[str, int]:
        """Numbered messages that came since this was last asked, by device."""

    def deaths(self) -> dict[str, bool]:
        """Who died (True) or was born (False) last, since this was last asked."""

    def asks(self) -> list[tuple[str, bytes]]:
        """(topic, payload) to be published, since this was last asked."""

    def spoken_by(self, device: str) -> tuple[str, str]:
        """The subscription that brings what makes sense of a device and little else, and the topic on which
        its asks are; raises ConfigError if no device here has such a name."""


Factory = Callable[[Source, int], Decoder]
Made = TypeVar("Made", bound=Factory)


class Format(NamedTuple):
    """A dialect: what makes its decoder of a source and its index; the topic where it is usually spoken;
    whether its messages name their device themselves, so that the topic need not; and the channels that
    come of a source's, if they are others."""

    make: Factory
    topic: str
    names_device: bool
    channels: Callable[[Source], tuple[str, ...]]


def _as_named(source: Source) -> tuple[str, ...]:
    return tuple(source.channels)


FORMATS: dict[str, Format] = {}


def format_named(
    name: str,
    topic: str = "",
    *,
    names_device: bool = False,
    channels: Callable[[Source], tuple[str, ...]] = _as_named,
) -> Callable[[Made], Made]:
    def register(factory: Made) -> Made:
        FORMATS[name] = Format(factory, topic, names_device, channels)
        return factory

    return register


def format_of(name: str) -> Format:
    """Raises ConfigError, naming the nearest. `module:function` is a decoder of the user's."""
    if ":" in name:
        return FORMATS.get(name) or Format(_own, "", True, _as_named)
    for module in MODULES:
        import_module(f"{__name__}.{module}")
    if name not in FORMATS:
        raise ConfigError(f"format: no format {name!r}; {nearest(name, FORMATS)}")
    return FORMATS[name]


def decoder(source: Source, index: int) -> Decoder:
    """The decoder for a source, whose blocks carry `index`; raises ConfigError."""
    dialect = format_of(source.format)
    made = dialect.make(source, index)
    if not source.devices:
        return made
    if isinstance(made, Conversation):
        raise ConfigError(f"devices: format {source.format} keeps to the names that its devices have")
    try:
        return _Renamed(made, source.devices, by_topic=not source.device and not dialect.names_device)
    except DataError as error:
        raise ConfigError(f"devices: {error.detail}") from error


class _Renamed:
    """Readings under the names of the devices that they are of; both as they stand in topics, for people
    write "living room/climate" and "living room%2Fclimate". `by_topic`: the topic alone names the device."""

    def __init__(
        self, inner: Decoder, devices: Mapping[str, tuple[str, ...] | str], *, by_topic: bool
    ) -> None:
        self._inner, self._by_topic = inner, by_topic
        self._devices = {
            device_name(name): [device_name(each) for each in ((meant,) if isinstance(meant, str) else meant)]
            for name, meant in devices.items()
        }
        if len(self._devices) < len(devices):
            raise ConfigError("devices: a name stands there twice, once with / and once with %2F")

    def decode(self, heard: Heard) -> list[Block]:
        if self._by_topic and not self._meant(heard.device):  # it may say what the source cannot read
            return []
        return [
            block.renamed(device)
            for block in self._inner.decode(heard)
            for device in self._meant(block.device)
        ]

    def _meant(self, name: str) -> Sequence[str]:
        try:
            return self._devices.get(device_name(name), ())
        except DataError:  # a name that no device can have is none of these
            return ()


def _own(source: Source, index: int) -> Decoder:
    from iot_stream.formats.own import OwnDecoder

    return OwnDecoder(source, index)


def channels_of(source: Source) -> tuple[str, ...]:
    """The channels that a source gives; empty where it gives whatever comes. Raises ConfigError."""
    return format_of(source.format).channels(source)

"""A guess is printed only when the decoder that the collector will use reads what was heard."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from iot_stream import topics as table
from iot_stream.clock import wall
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Decoder, Heard, decoder
from iot_stream.formats.source import Source
from iot_stream.hygiene import MAX_PAYLOAD, clean, too_large
from iot_stream.ingest.discover.heard import Kept, Topic
from iot_stream.ingest.discover.names import channel_names, is_range, measures_nothing
from iot_stream.readings import Block, Values, device_name

MOST_CHANNELS = 500


class Guess(NamedTuple):
    """A source that may read `topics`. Without channels they are all that its decoder finds. `units` by where
    a value is; `part` is put before channels' names; what is not `sure` is printed as a comment.
    `classes`: words of topics that measure nothing, and may teach; `until`: where the end of what they tell
    is, if they tell it."""

    source: Source
    topics: Sequence[Topic]
    notes: tuple[str, ...] = ()
    units: Mapping[str, str] = {}
    left_out: tuple[str, ...] = ()
    part: str = ""
    sure: bool = True
    classes: tuple[str, ...] = ()
    until: str = ""


@dataclass
class Series:
    """Values of one channel."""

    low: float = np.inf
    high: float = -np.inf
    last: float = np.nan
    devices: set[str] = field(default_factory=set)

    def add(self, device: str, column: Values) -> None:
        known = column[np.isfinite(column)]
        if len(known):
            self.low, self.high = min(self.low, float(known.min())), max(self.high, float(known.max()))
            self.last = float(known[-1])
            self.devices.add(device)


@dataclass
class Finding:
    """A source that reads what was heard, and what it reads: `messages`, of all that `came`, were kept to be
    tried. `times`: of readings, by device and channel. `stamped`: whether their times are of arrival."""

    source: Source
    guess: Guess
    series: dict[str, Series] = field(default_factory=dict)
    times: dict[str, dict[str, set[int]]] = field(default_factory=dict)
    came: int = 0
    messages: int = 0
    decoded: int = 0
    stamped: set[bool] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    example: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def devices(self) -> list[str]:
        return sorted(self.times)

    @property
    def rates(self) -> list[float]:
        """Readings a second of each device of which there were at least two at different times."""
        found = []
        for channels in self.times.values():
            spans = [(len(own) - 1, max(own) - min(own)) for own in channels.values() if len(own) > 1]
            found += [max(n / span * 1e9 for n, span in spans)] if spans else []
        return found

    def take(self, block: Block) -> None:
        device = device_name(block.device)
        channels = self.times.setdefault(device, {})
        self.stamped.add(block.arrival_stamped)
        for i, name in enumerate(block.channels):
            column = block.values[:, i]
            self.series.setdefault(name, Series()).add(device, column)
            channels.setdefault(name, set()).update(block.times[np.isfinite(column)].tolist())


def prove(guess: Guess, heard: Sequence[Topic]) -> Finding | None:
    """What the guess reads of all that was heard on its topics; None where that is nothing."""
    try:
        if guess.source.channels:
            return _read(guess, guess.source, heard)
        first = _read(guess, guess.source, heard)
        return first and _named(guess, first, heard)
    except ConfigError:  # a library that is missing, or a template that says nothing
        return None


def _named(guess: Guess, first: Finding, heard: Sequence[Topic]) -> Finding | None:
    """The same with channels of their own, without those that measure nothing or are not always numbers."""
    health = [place for place in first.series if _measures_nothing(place, first)]
    measured = (place for place in first.series if place not in health and not is_range(place))
    places = list(measured)[:MOST_CHANNELS]
    if not places:
        return None
    found = _read(guess, _with(guess.source, places, guess.part), heard)
    mixed: list[str] = []
    if found is None or sum(found.refused.values()) > sum(first.refused.values()):
        before = sum(first.refused.values())
        mixed = [place for place in places if _refuses(guess, place, before, heard)]
        places = [place for place in places if place not in mixed]
        found = _read(guess, _with(guess.source, places, guess.part), heard) if places else None
    if found:
        ranges = [f"{place} ({shown_range(first.series[place])})" for place in health]
        words = [f"{place} (not always a number; name its words in `values`)" for place in mixed]
        found.left_out += (*ranges, *words)
    return found


def _measures_nothing(place: str, found: Finding) -> bool:
    """By its name, or on each device that tells it by what else that tells."""
    whose = found.series[place].devices

    def told(device: str) -> Iterator[str]:
        return (other for other, series in found.series.items() if device in series.devices)

    return measures_nothing(place) or (
        bool(whose) and all(measures_nothing(place, told(device)) for device in whose)
    )


def _refuses(guess: Guess, place: str, before: int, heard: Sequence[Topic]) -> bool:
    alone = _read(guess, _with(guess.source, [place], guess.part), heard)
    return alone is None or sum(alone.refused.values()) > before


def _with(source: Source, places: list[str], part: str) -> Source:
    # telemetry knows its channels by its own names alone
    names = dict.fromkeys(places) if source.format == "telemetry" else channel_names(places, part)
    return msgspec.structs.replace(source, channels={name: place or name for name, place in names.items()})


def _read(guess: Guess, source: Source, heard: Sequence[Topic]) -> Finding | None:
    decode = decoder(source, 0)
    own = [
        (topic, places) for topic in heard if (places := table.match(source.topic, topic.name)) is not None
    ]
    came = sum(topic.count for topic, _ in own)
    finding = Finding(source, guess, came=came, left_out=guess.left_out)
    pairs = [(kept, places) for topic, places in own for kept in topic.kept]
    for kept, places in sorted(pairs, key=lambda pair: pair[0].order):
        finding.messages += 1
        try:
            blocks = _blocks(decode, kept, places)
            for block in blocks:
                finding.take(block)
        except DataError as error:
            finding.refused[error.reason] += 1
            finding.example = finding.example or error.detail
        else:
            finding.decoded += bool(blocks)
    measured = any(series.devices for series in finding.series.values())
    return finding if finding.decoded and measured else None


def _blocks(decode: Decoder, kept: Kept, places: Mapping[str, str]) -> list[Block]:
    if len(kept.payload) > MAX_PAYLOAD:
        raise too_large(kept.payload)
    return [clean(block, wall()) for block in decode.decode(Heard(kept.payload, kept.arrived, places))]


def shown_range(series: Series) -> str:
    if not series.devices:
        return "never told"
    if series.low == series.high:
        return f"{series.last:.6g}"
    return f"{series.low:.6g} to {series.high:.6g}, last {series.last:.6g}"

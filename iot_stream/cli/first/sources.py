"""What is read, and how much of it a model sees at once."""

import math
from dataclasses import replace

import click
import msgspec
import numpy as np

from iot_stream.cli.common import many
from iot_stream.cli.first.asking import Ask, listed
from iot_stream.clock import SECOND
from iot_stream.errors import ConfigError
from iot_stream.formats import format_of
from iot_stream.ingest.discover import Findings
from iot_stream.ingest.discover.printing import rate_of, rounded_rate, scalar, written_rate
from iot_stream.units import Rate


def chosen(findings: Findings, sources: str, channels: str, ask: Ask) -> Findings:
    """The sources and channels that are wanted; raises ConfigError."""
    sure = findings.sources
    for number, finding in enumerate(sure, 1):
        source = finding.source
        click.echo(
            f"  {number}. {source.topic} ({source.format}, {many(len(finding.devices), 'device')}): "
            f"{' '.join(source.channels)}"
        )
    wanted = listed(ask("Sources to take, as 1,3", sources, "all"))
    numbers = [str(number) for number in range(1, len(sure) + 1)]
    if strange := [each for each in wanted if each not in (*numbers, "all")]:
        raise ConfigError(f"--sources: there is no source {strange[0]}; there are {', '.join(numbers)}")
    taken = [
        each
        for number, each in zip(numbers, sure, strict=True)
        if wanted in (["all"], []) or number in wanted
    ]
    names = listed(ask("Channels to take", channels, "all"))
    known = {name for finding in taken for name in finding.source.channels}
    if names not in (["all"], []):
        if strange := [name for name in names if name not in known]:
            raise ConfigError(f"--channels: no source has {strange[0]}; there are {', '.join(sorted(known))}")
        known = set(names)
    kept = []
    for finding in taken:
        own = {name: place for name, place in finding.source.channels.items() if name in known}
        if own:
            kept.append(replace(finding, source=msgspec.structs.replace(finding.source, channels=own)))
    return Findings(kept, [], findings.announced._replace(sensors=[]))


def by_hand(dialect: str, topic: str, channels: str, ask: Ask) -> str:
    """A source by hand."""
    dialect = ask("Format of the readings", dialect, "telemetry")
    usual = format_of(dialect).topic
    topic = ask("Their topic; {device} stands for the device", topic, usual or "sensors/{device}")
    lines = [f"      - format: {scalar(dialect)}", "        channels:"]
    if topic != usual:
        lines.insert(1, f"        topic: {scalar(topic)}")
    for i, name in enumerate(listed(ask("Channels, as co2,humidity or co2=$.air.co2", channels, "x,y"))):
        name, _, place = name.partition("=")
        place = place or {"json": f"$.{name}", "cbor": f"$.{name}", "array": str(i)}.get(dialect, name)
        lines.append(f"          {scalar(name.strip())}: {scalar(place.strip())}")
    return "".join(f"{line}\n" for line in ["    sources:", *lines])


def usual_rate(findings: Findings) -> str:
    """That of the slowest source, as a person would have set it."""
    rates = [rate_of(finding.rates) for finding in findings.found if finding.rates]
    return written_rate(rounded_rate(float(np.min(rates))), 2) if rates else "none"


def usual_length(grid: str) -> int:
    """Some seconds, for a first window shall not be long in coming, and is to show more than a moment."""
    if grid == "none":
        return 64
    doublings = round(math.log2(16 * SECOND / Rate.parse(grid)))
    return 1 << min(6, max(3, doublings))


def within(length: int, stay: int, rate: str) -> int:
    """A length of which two windows fit between changes: one that sees two classes is of neither."""
    if rate == "none":
        return length
    most = max(1, stay // 2 // Rate.parse(rate))
    return min(length, 1 << (most.bit_length() - 1))

"""What the fleet does: how many devices, how they read, what goes wrong, what drifts and when."""

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, field

from iot_stream.config import Settings
from iot_stream.errors import ConfigError
from iot_stream.units import Duration
from iot_stream.yaml_lines import convert, load

MS = 1_000_000


class Faults(Settings, frozen=True):
    """Of each device; chances are per message."""

    jitter: Annotated[
        float,
        Meta(ge=0, lt=1, description="Standard deviation of the pause between messages, as a share of it"),
    ] = 0.05
    rate_spread: Annotated[
        float, Meta(ge=0, lt=1, description="Devices' rates differ by up to this share")
    ] = 0.02
    clock_offset: Annotated[Duration, Meta(description="Standard deviation of the devices' clocks")] = (
        Duration(200 * MS)
    )
    dropouts: Annotated[
        float, Meta(ge=0, lt=1, description="The sensor gives nothing (before numbering)")
    ] = 0.005
    duplicates: Annotated[float, Meta(ge=0, lt=1, description="A message is sent twice")] = 0.01
    reordering: Annotated[float, Meta(ge=0, lt=1, description="A message is overtaken by the next")] = 0.01


class LabelPlan(Settings, frozen=True):
    fraction: Annotated[float, Meta(ge=0, le=1, description="Share of messages whose truth is published")] = (
        1.0
    )
    delay: Annotated[Duration, Meta(description="So much later")] = Duration(0)


class Change(Settings, frozen=True):
    """At a moment, some devices go into another regime, or some numbers of their condition change."""

    at: Annotated[Duration, Meta(description="After the start")]
    devices: Annotated[tuple[int, ...], Meta(description="Indexes; empty: all")] = ()
    regime: Annotated[str, Meta(description="Name of a regime of the world")] = ""
    change: Annotated[dict[str, float], Meta(description="Numbers of the condition")] = field(
        default_factory=dict
    )


class Scenario(Settings, frozen=True):
    world: Annotated[str, Meta(description="bearing or features")] = "bearing"
    pipeline: Annotated[str, Meta(description="The configuration's pipeline; default: its only one")] = ""
    devices: Annotated[int, Meta(ge=1, le=10_000, description="Size of the fleet")] = 12
    first: Annotated[
        int, Meta(ge=0, description="Index of the first machine: others than the bootstrap's")
    ] = 0
    readings: Annotated[
        int, Meta(ge=0, description="Readings in a message; 0: as many as the world says")
    ] = 0
    seconds: Annotated[float, Meta(gt=0, description="How long")] = 60
    seed: Annotated[int, Meta(description="Of everything random")] = 1
    faults: Annotated[Faults, Meta(description="What goes wrong")] = Faults()
    labels: Annotated[LabelPlan, Meta(description="How much of the truth is published")] = LabelPlan()
    schedule: Annotated[tuple[Change, ...], Meta(description="What drifts, when, on which devices")] = ()
    speed: Annotated[float, Meta(gt=0, description="Recordings: so many times faster than life")] = 1.0


def _hook(kind: type, data: object) -> object:
    if kind is Duration:
        try:
            return Duration.parse(data)
        except ConfigError as error:
            raise ValueError(str(error)) from error
    raise TypeError(f"no setting of type {kind}")


def read(path: Path | None, changes: dict[str, Any]) -> Scenario:
    """A scenario file (none: the defaults), with some settings changed; raises ConfigError."""
    data, lines = load(path) if path else ({}, {})
    scenario: Scenario = convert(data | changes, Scenario, _hook, str(path or "options"), lines)
    return scenario

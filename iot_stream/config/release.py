"""How a version reaches the devices: in stages, each watched before the next."""

from typing import Annotated

from msgspec import Meta, field

from iot_stream.address import Settings
from iot_stream.units import Duration, Percent


class Health(Settings, frozen=True):
    failures: Annotated[
        float,
        Meta(ge=0, le=1, description="Share of a stage's devices that may refuse the version or leave it"),
    ] = 0.1
    drop: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Agreement with labels, or else the teacher, may fall by this much against the "
            "control group, which has the version before",
        ),
    ] = 0.1
    confidence: Annotated[
        float, Meta(gt=0, le=1, description="Mean certainty may fall by this much against the control group")
    ] = 0.25
    latency: Annotated[
        float, Meta(gt=1, description="Times as long as in the control group that an inference may take")
    ] = 3.0
    n_min: Annotated[int, Meta(ge=1, description="No verdict on fewer windows of the stage's devices")] = 60


class Release(Settings, frozen=True):
    stages: Annotated[
        tuple[Percent, ...],
        Meta(
            min_length=1,
            description="Shares of a cohort's devices that get a version one after the other, as "
            "[1%, 10%, 50%, 100%]; default: all at once",
        ),
    ] = (Percent(100),)
    soak: Annotated[Duration, Meta(description="How long a stage is watched at least, on the wall clock")] = (
        Duration(600_000_000_000)
    )
    health: Annotated[Health, Meta(description="What stops a rollout, and takes the version back")] = Health()
    first: Annotated[
        tuple[str, ...], Meta(description="Devices that are in every stage, as a test bench's")
    ] = field(default_factory=tuple)
    never: Annotated[
        tuple[str, ...], Meta(description="Devices that wait for the last stage, whatever their share")
    ] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if list(self.stages) != sorted(set(self.stages)) or float(self.stages[-1]) != 100:
            raise ValueError("stages: write growing shares that end with 100%")
        if both := set(self.first) & set(self.never):
            raise ValueError(f"first, never: {min(both)} is in both")

"""What starts a round, and what delays it."""

from typing import Annotated, Literal

from msgspec import Meta

from iot_stream.address import Settings
from iot_stream.units import Duration, Spending

DRIFT = "drift"
"""How it begins why a round started, where that was a drift."""
GOES_ON = "is still"
"""Stands in it where the drift is not new, but the round before was no answer to it."""


class Triggers(Settings, frozen=True):
    every: Annotated[Duration | None, Meta(description="A round a period, on the pipeline's clock")] = None
    longest: Annotated[
        Duration | None,
        Meta(description="With drift: each quiet round lengthens the period by `every`, up to this"),
    ] = None
    windows: Annotated[
        int, Meta(ge=0, description="A round for so many new windows; 0: never for the number")
    ] = 0
    labels: Annotated[
        int, Meta(ge=0, description="A round for so many labels that came late; 0: never for labels")
    ] = 0
    drift: Annotated[
        Literal["", "adwin", "page_hinkley"],
        Meta(description="A round when one of the signals has risen: adwin or page_hinkley; empty: never"),
    ] = ""
    watch: Annotated[
        tuple[Literal["disagreement", "confidence", "features"], ...],
        Meta(
            min_length=1,
            description="Signals: student and teacher disagree, the student doubts, features are unusual",
        ),
    ] = ("disagreement", "confidence")
    delta: Annotated[
        float, Meta(gt=0, lt=1, description="adwin's δ, which bounds its chance of a false alarm")
    ] = 0.002
    rise: Annotated[
        float, Meta(ge=0, le=1, description="A signal (0 to 1) that rises by less is not worth a round")
    ] = 0.05
    at_least: Annotated[
        int,
        Meta(
            ge=0,
            description="No round with fewer new windows than this; 0: than twice `gate.n_min`, of "
            "which half can judge",
        ),
    ] = 0
    cooldown: Annotated[Duration, Meta(description="No round sooner than this after the last")] = Duration(0)
    budget: Annotated[
        Spending | None,
        Meta(description="CPU time for rounds, as 60 s/h; an hour's worth can be saved up"),
    ] = None

    def __post_init__(self) -> None:
        if self.longest and not (self.every and self.drift):
            raise ValueError("longest: needs `every`, which grows, and `drift`, which makes it short again")

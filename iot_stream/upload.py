"""Selective upload: what a device on a link that costs may send, and of what."""

from typing import Annotated

import msgspec
from msgspec import Meta

from iot_stream.address import Settings
from iot_stream.cut import Cut
from iot_stream.units import Duration, Size


class Upload(Settings, frozen=True):
    """What a link may cost: the most telling windows go up, the rest as a summary."""

    budget: Annotated[
        Size,
        Meta(
            description="Bytes a day for what a device measures and predicts; a day's worth can be saved up"
        ),
    ]
    every: Annotated[
        Duration, Meta(description="How often it chooses from its newest windows, on their own clock")
    ] = Duration(3600 * 10**9)

    def __post_init__(self) -> None:
        if self.budget <= 0 or self.every <= 0:
            raise ValueError("budget and every are more than nothing")


class DeviceUpload(Upload, frozen=True, kw_only=True):
    """As a device is told. `cuts`: of which windows go up, the student's first; `readings`: channels whose
    values at each window's end go with them, for a teacher that sees more than the device."""

    cuts: Annotated[tuple[Cut, ...], Meta(min_length=1, description="Of what windows go up")]
    readings: Annotated[
        tuple[str, ...], Meta(description="Channels of which the last values in a window go along")
    ] = ()


class Rest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a device saw from `begin` to `end` (ns): `windows`, of which `sent` went up. Of all of them: how
    many the student took for each class, its mean certainty `p` (0 without a student), and of each input
    mean, standard deviation, least and greatest value (none where it was missing throughout)."""

    begin: int = 0
    end: int = 0
    windows: int = 0
    sent: int = 0
    classes: dict[str, int] = {}
    p: float = 0.0
    inputs: dict[str, tuple[float, float, float, float]] = {}

"""Which devices share a student."""

from typing import Annotated

from msgspec import Meta

from iot_stream.address import Settings

ALL, DEVICE, DRIFT = "all", "device", "drift"


class Cohorts(Settings, frozen=True):
    by: Annotated[
        str,
        Meta(
            min_length=1,
            description="all: one student for all; device: one each; drift: one for those whose windows have "
            "become alike; or the name of a tag: a level of the sources' topic in braces, as {line}, or one "
            "that `iot-stream device tag` gives. Devices without it share the student of `all`",
        ),
    ] = ALL
    most: Annotated[int, Meta(ge=2, description="By drift: so many cohorts at most")] = 4
    apart: Annotated[
        float,
        Meta(gt=0, description="By drift: how far apart cohorts are at least, in spreads of the bootstrap"),
    ] = 2.0
    windows: Annotated[
        int, Meta(ge=4, description="By drift: so many of its newest windows say what a device is like")
    ] = 40

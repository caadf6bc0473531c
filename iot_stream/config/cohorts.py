"""Which devices share a student, and where their students learn."""

from typing import Annotated, Literal

from msgspec import Meta

from iot_stream.address import Settings

ALL, DEVICE, DRIFT = "all", "device", "drift"
RAY = "ray"
LOCAL = "local"


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
    stack: Annotated[
        int,
        Meta(ge=1, description="So many students of one form learn in one stack at most; 1: each alone"),
    ] = 16
    engine: Annotated[
        Literal["plain", "ray"],
        Meta(description="Where stacks learn: plain, here, one by one; ray, on many machines (`[ray]`)"),
    ] = "plain"
    address: Annotated[
        str,
        Meta(
            pattern=r"^(local|[^\s/]+:[0-9]+)$",
            description="With ray: host:port of the head of a cluster that this machine has joined by "
            "`ray start`, one for all pipelines; local: the processors of this machine",
        ),
    ] = LOCAL
    threads: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Threads of a stack, on which the last bits of its sums depend; left out: those of "
            "the distiller (OMP_NUM_THREADS), with ray 1"
        ),
    ] = None

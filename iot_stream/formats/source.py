"""Where readings come from, and how to read them: what a decoder is made from."""

from typing import Annotated

from msgspec import Meta, field

from iot_stream.address import Settings
from iot_stream.units import Duration


class Source(Settings, frozen=True):
    topic: Annotated[
        str,
        Meta(
            description="Topic of readings; {device} names the level that identifies the device, {device...} "
            "all levels that are left; default: where the format is usually spoken"
        ),
    ] = ""
    format: Annotated[str, Meta(description="The dialect, see below")] = "telemetry"
    device: Annotated[
        str,
        Meta(description="Path or column of the device's name, or a name; default: the topic's"),
    ] = ""
    devices: Annotated[
        dict[str, tuple[str, ...] | str],
        Meta(
            description="The name in the topic or message → the device, or devices, that are meant, as "
            "{hall_camera: [hall_1, hall_2]}; others are passed over; default: names are the devices'"
        ),
    ] = field(default_factory=dict)
    channels: Annotated[
        dict[str, str],
        Meta(description="Channel → where its value is: a path, a name or a number, as the format has it"),
    ] = field(default_factory=dict)
    values: Annotated[
        dict[str, float],
        Meta(
            description="What words stand for, as {heat: 1, idle: 0}; on, off, true and their like are known"
        ),
    ] = field(default_factory=dict)
    time: Annotated[str, Meta(description="Path of the time; left out: time of arrival")] = ""
    zone: Annotated[str, Meta(description="Time zone of times that name none")] = "UTC"
    step: Annotated[
        Duration | None,
        Meta(description="Time between the readings of a message that tells the first one's, or none"),
    ] = None
    readings: Annotated[
        str, Meta(description="Path of a list of readings; the other paths start at each")
    ] = ""
    boot: Annotated[
        str, Meta(description="Path of a boot id, where the device numbers its readings; with seq")
    ] = ""
    seq: Annotated[str, Meta(description="Path of the number of the (first) reading; with boot")] = ""
    host: Annotated[
        str,
        Meta(description="sparkplug: name under which nodes are told that their primary host is there"),
    ] = ""
    dtype: Annotated[
        str,
        Meta(
            description="array: type of its numbers as numpy writes it: <f4, >i2, u1; < little, > big-endian"
        ),
    ] = "<f4"
    scale: Annotated[float, Meta(description="array: value = number · scale + offset")] = 1.0
    offset: Annotated[float, Meta(description="array: see scale")] = 0.0

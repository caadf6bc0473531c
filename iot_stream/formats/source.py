"""Where readings come from, and how to read them: what a decoder is made from."""

from typing import Annotated

from msgspec import Meta, field

from iot_stream.address import Settings

DEFAULT_SOURCE = "{prefix}/{pipeline}/device/{device}/telemetry"


class Source(Settings, frozen=True):
    topic: Annotated[
        str, Meta(description="Topic of readings; {device} names the level that identifies the device")
    ] = DEFAULT_SOURCE
    format: Annotated[str, Meta(description="telemetry (iot-stream's own) or json")] = "telemetry"
    channels: Annotated[
        dict[str, str],
        Meta(description="json: channel name → path of its value; telemetry: channels to take (default all)"),
    ] = field(default_factory=dict)
    time: Annotated[str, Meta(description="Path of the time; left out: time of arrival")] = ""
    zone: Annotated[str, Meta(description="Time zone of times that name none")] = "UTC"
    readings: Annotated[
        str, Meta(description="Path of a list of readings; the other paths start at each")
    ] = ""
    boot: Annotated[
        str, Meta(description="Path of a boot id, where the device numbers its readings; with seq")
    ] = ""
    seq: Annotated[str, Meta(description="Path of the number of the (first) reading; with boot")] = ""
    error_values: Annotated[
        tuple[float, ...], Meta(description="Values that mean an error of the sensor: taken as missing")
    ] = ()

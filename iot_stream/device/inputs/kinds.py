"""The kinds of input as a device's file has them: `"input": {"from": "serial", "port": "/dev/ttyUSB0"}`."""

from typing import Annotated

from msgspec import Meta

from iot_stream.address import Broker, Settings
from iot_stream.formats.source import Source
from iot_stream.units import Duration

SECOND = Duration.parse("1 s")

Columns = Annotated[
    tuple[str, ...],
    Meta(
        description="What stands in the columns of a CSV line, `time` among them or not; what is no channel "
        "is passed over; default: the channels"
    ),
]


class Stdin(Settings, frozen=True, tag="stdin", tag_field="from"):
    """Lines, JSON or CSV, on standard input; at its end the device stops."""

    columns: Columns = ()


class Serial(Settings, frozen=True, tag="serial", tag_field="from"):
    """Lines, JSON or CSV, of a microcontroller. Needs `pip install 'iot-stream[serial]'`."""

    port: Annotated[str, Meta(description="As /dev/ttyUSB0, or better /dev/serial/by-id/…")]
    baud: Annotated[int, Meta(ge=1, description="Bits a second")] = 115_200
    columns: Columns = ()


class Call(Settings, frozen=True, tag="call", tag_field="from"):
    """A function in Python: it returns a reading, {channel: value}, or yields them."""

    function: Annotated[str, Meta(description="module:function; the module may stand in the working folder")]
    every: Annotated[Duration, Meta(description="Time between calls, where it returns a reading")] = SECOND


class Mqtt(Source, frozen=True, tag="mqtt", tag_field="from"):
    """A topic, in any format that the service reads; the settings are those of a source there."""

    broker: Annotated[
        Broker | str | None, Meta(description="Where the topic is; left out: the device's broker")
    ] = None
    lateness: Annotated[
        Duration,
        Meta(description="How long a reading waits for older ones; `window.lateness` has the service's"),
    ] = Duration(0)

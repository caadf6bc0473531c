"""The input that a device's file names, as an iterator of readings."""

import sys
from collections.abc import Iterator
from typing import assert_never

from iot_stream.device.inputs import lines
from iot_stream.device.inputs.kinds import Call, Mqtt, Serial, Stdin
from iot_stream.device.inputs.left_out import LeftOut
from iot_stream.device.inputs.lines import Rows
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import ConfigError


def channels_of(settings: DeviceSettings) -> tuple[str, ...]:
    """Raises ConfigError if nothing names them."""
    found = settings.channels
    if not found and isinstance(settings.input, Mqtt):
        from iot_stream.formats import channels_of as channels_of_source

        found = channels_of_source(settings.input)
    if not found:
        raise ConfigError('channels: what does the device read? Write "channels": ["x", "y"]')
    return found


def opened(settings: DeviceSettings, channels: tuple[str, ...]) -> Iterator[Rows]:
    """Readings, until the input ends; raises ConfigError, now, for what can never work."""
    match settings.input:
        case Stdin(columns=columns):
            read = lines.of_stream(sys.stdin.buffer)
            return lines.rows(read, channels, columns, LeftOut("standard input"))
        case Serial(port=port, columns=columns) as serial:
            from iot_stream.device.inputs.serial_line import of_port

            return lines.rows(of_port(serial), channels, columns, LeftOut(port))
        case Call(function=function) as call:
            from iot_stream.device.inputs.call import rows

            return rows(call, channels, LeftOut(function))
        case Mqtt() as mqtt:
            from iot_stream.device.inputs.topic import Gateway

            levels = {"prefix": settings.prefix, "pipeline": settings.pipeline, "device": settings.device}
            left_out = LeftOut(f"{settings.device}: {mqtt.topic or mqtt.format}")
            gateway = Gateway(mqtt, levels, channels, left_out)
            client = "-".join([*levels.values(), "input"])
            return gateway.rows(settings.input_address, client)
        case other:
            assert_never(other)

"""iot-stream's own telemetry: numbered readings in columns (`topics.Telemetry`)."""

from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec
import numpy as np

from iot_stream.columns import Columns
from iot_stream.errors import DataError
from iot_stream.formats import Heard, format_named
from iot_stream.formats.json_paths import fault
from iot_stream.formats.source import Source
from iot_stream.formats.telemetry_together import MAX_TIME, Column, TelemetryTogether
from iot_stream.readings import Block, Times, Values
from iot_stream.topics import Telemetry

WHOLE = 2**24  # whole numbers below it are exact in float32


@format_named("telemetry", "{prefix}/{pipeline}/device/{device}/telemetry")
class TelemetryDecoder:
    """iot-stream's own: numbered readings in columns; `channels` are those to take, by default all."""

    def __init__(self, source: Source, index: int) -> None:
        self._index = index
        self._wanted = frozenset(source.channels)
        self._together = TelemetryTogether(index)
        self._decoder = msgspec.json.Decoder(Telemetry)

    def decode(self, heard: Heard) -> list[Block]:
        device = heard.device
        try:
            message = self._decoder.decode(heard.payload)
        except msgspec.ValidationError as error:
            raise DataError("wrong_type", f"telemetry of {device}: {error}") from error
        except ValueError as error:
            raise DataError("malformed", f"telemetry of {device}: {fault(heard.payload, error)}") from error
        names, columns = self._taken(message.channels)
        if not columns:
            raise DataError("unknown_channel", f"telemetry of {device} has none of {sorted(self._wanted)}")
        seq = message.seq if message.boot else -1  # numbers that may start anew unnoticed say nothing
        count = len(columns[0])
        try:
            values = [value for (value,) in columns] if count == 1 else [*chain(*zip(*columns, strict=True))]
        except ValueError:
            raise DataError("malformed", f"telemetry of {device}: columns of unequal length") from None
        stamped = message.time < 0 and not message.times
        if count == 1 and 0 <= message.time <= MAX_TIME and not message.times:
            times = [message.time]
        else:
            times = self._times(device, message, count, heard.arrived)
        return [Block(device, names, times, values, message.boot, seq, self._index, stamped)]

    def decode_together(
        self, payloads: Sequence[bytes], places: Sequence[Mapping[str, str]]
    ) -> Columns | None:
        return self._together.read(payloads, [levels.get("device", "") for levels in places])

    def _taken(self, channels: dict[str, Column]) -> tuple[tuple[str, ...], list[Column]]:
        """Names and columns of those that are wanted, by name: a redelivery is known by them."""
        if self._wanted and not channels.keys() <= self._wanted:
            channels = {name: column for name, column in channels.items() if name in self._wanted}
        else:
            self._together.learn(channels)
        names = tuple(sorted(channels))
        return names, [channels[name] for name in names]

    def _times(self, device: str, message: Telemetry, count: int, arrived: int) -> list[int]:
        first = message.time if message.time >= 0 else arrived
        last = first + message.step * max(0, count - 1)
        if message.times:
            if len(message.times) != count:
                raise DataError(
                    "malformed", f"telemetry of {device}: {len(message.times)} times, {count} values"
                )
            first, last = min(message.times), max(message.times)
        if first < 0 or last > MAX_TIME or message.step < 0:
            raise DataError("absurd_time", f"telemetry of {device}: times beyond 1970 to 2262")
        if message.times:
            return message.times
        return [first + message.step * row for row in range(count)]


def encode(channels: tuple[str, ...], times: Times, values: Values, boot: str, seq: int) -> bytes:
    """One message of readings (at least one); decoding gives the same float32, infinite ones missing.

    `step` stands in place of `times` where they are evenly spaced.
    """
    message = Telemetry({name: _column(values[:, i]) for i, name in enumerate(channels)}, boot, seq)
    steps = np.diff(times)
    if len(times) == 1 or bool(np.all(steps == steps[0]) and steps[0] >= 0):
        message.time, message.step = int(times[0]), int(steps[0]) if len(steps) else 0
    else:
        message.times = times.tolist()
    return msgspec.json.encode(message)


def _column(values: Values) -> list[float | None]:
    """Whole numbers as such, others in the fewest digits that name this float32."""
    column = np.asarray(values, np.float32)
    if bool(np.all((column == np.rint(column)) & (np.abs(column) < WHOLE))):
        return [int(value) for value in column]
    return [float(str(value)) if np.isfinite(value) else None for value in column]

"""A decoder of the user's own: `format: module:function`, for what no other dialect reads.

    def read(heard):
        for line in heard.payload.decode().splitlines():
            name, at, celsius = line.split()
            yield name, at, {"temperature": celsius}

Each reading is (device, time, channels). No device: the topic's. A time is ISO 8601 or a number since 1970,
as elsewhere; none: of arrival. Values may be numbers or text.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Heard
from iot_stream.formats.json_paths import MOST_ROWS, parse_time, time_zone
from iot_stream.formats.source import Source
from iot_stream.formats.values import number
from iot_stream.readings import Block

Reading = tuple[str | None, object, Mapping[str, object]]
Read = Callable[[Heard], Iterable[Reading]]


class OwnDecoder:
    def __init__(self, source: Source, index: int) -> None:
        self._read = _imported(source.format)
        self._index, self._format, self._device = index, source.format, source.device
        self._channels = {where or name: name for name, where in source.channels.items()}
        self._words, self._zone = source.values, source.zone
        time_zone(source.zone)

    def decode(self, heard: Heard) -> list[Block]:
        rows: dict[tuple[str, tuple[str, ...], bool], tuple[list[int], list[list[float]]]] = {}
        count = 0
        try:
            for device, time, values in islice(self._read(heard), MOST_ROWS + 1):
                count += 1
                named = self._named(values)
                if not named:
                    continue
                key = (device or self._device or heard.device, tuple(named), time is None)
                times, found = rows.setdefault(key, ([], []))
                times.append(heard.arrived if time is None else parse_time(time, self._zone))
                found.append(list(named.values()))
        except DataError:
            raise
        except Exception as error:  # whatever the user's code does, the others go on
            what = f"{self._format}: {type(error).__name__}: {error}"
            raise DataError("decoder_failed", what[:500]) from error
        if count > MOST_ROWS:
            raise DataError("too_large", f"more than {MOST_ROWS:,} readings in one message")
        if count and not rows:
            wanted = ", ".join(self._channels.values())
            raise DataError("unknown_channel", f"{self._format} gave none of {wanted}")
        return [
            Block(
                str(device),
                channels,
                np.array(times, np.int64),
                np.array(found, np.float32),
                source=self._index,
                arrival_stamped=stamped,
            )
            for (device, channels, stamped), (times, found) in rows.items()
        ]

    def _named(self, values: Mapping[str, object]) -> dict[str, float]:
        return {
            self._channels.get(name, name): number(value, self._words)
            for name, value in values.items()
            if not self._channels or name in self._channels
        }


def _imported(name: str) -> Read:
    """Raises ConfigError."""
    module, _, function = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # the user's module stands where the service is started
    try:
        found: Any = getattr(import_module(module), function)
    except Exception as error:  # importing runs the user's code
        raise ConfigError(f"format: {name}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ConfigError(f"format: {name} is no function")
    read: Read = found
    return read

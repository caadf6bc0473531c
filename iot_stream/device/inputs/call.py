"""A function in Python that reads the sensor.

    def read():
        return {"temperature": sensor.celsius(), "co2": sensor.ppm()}

It may yield readings instead, at its own pace. `time` may stand with the values.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from iot_stream.clock import SECOND
from iot_stream.device.inputs.kinds import Call
from iot_stream.device.inputs.left_out import LeftOut
from iot_stream.device.inputs.lines import Rows, reading
from iot_stream.errors import ConfigError, DataError

LONGEST_S = 60.0  # until a generator that failed is begun again


def rows(
    settings: Call, channels: tuple[str, ...], left_out: LeftOut, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Rows]:
    """Raises ConfigError if there is no such function. What it raises itself is counted, and it is called
    again; a generator that comes to its end ends the input."""
    function = _imported(settings.function)
    return _rows(function, settings.every / SECOND, channels, left_out, sleep)


def _rows(
    function: Callable[[], Any],
    every: float,
    channels: tuple[str, ...],
    left_out: LeftOut,
    sleep: Callable[[float], None],
) -> Iterator[Rows]:
    due, pause = time.monotonic(), every
    while True:
        try:
            said = function()
            if isinstance(said, Iterator):
                for each in said:
                    pause = every
                    yield from _reading(each, channels, left_out)
                return
            yield from _reading(said, channels, left_out)
        except Exception as error:  # noqa: BLE001  whatever the user's code does, the device goes on
            left_out.add(type(error).__name__, str(error))
            pause = min(2 * pause, max(LONGEST_S, every))
        else:
            pause = every
        due = max(due + pause, time.monotonic())
        sleep(max(0.0, due - time.monotonic()))


def _reading(said: object, channels: tuple[str, ...], left_out: LeftOut) -> Iterator[Rows]:
    """One, or none."""
    if not isinstance(said, Mapping):
        left_out.add("wrong_type", f"a {type(said).__name__}, not {{channel: value}}")
        return
    try:
        yield reading(said, channels)
    except DataError as error:
        left_out.add(error.reason, error.detail)


def _imported(name: str) -> Callable[[], Any]:
    module, _, function = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = getattr(import_module(module), function)
    except Exception as error:  # importing runs the user's code
        raise ConfigError(f"input: {name}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ConfigError(f"input: {name} is no function")
    made: Callable[[], Any] = found
    return made

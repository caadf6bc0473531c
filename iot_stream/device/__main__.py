"""`iot-device`: runs a device on readings that come as lines of JSON on standard input.

    read-my-sensor | iot-device --config pump-01.json

A line is `{"temperature": 21.4, "co2": 512}`; `"time"` (nanoseconds, or ISO 8601) may stand with it.
"""

import argparse  # half the memory of click
import logging
import signal
import sys
from pathlib import Path

import numpy as np

from iot_stream.clock import wall
from iot_stream.device.client import DeviceClient
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import DataError, IotStreamError
from iot_stream.formats.json_paths import parse_json, parse_time


def _reading(line: bytes, channels: tuple[str, ...]) -> tuple[int, list[float]]:
    item = parse_json(line, "standard input")
    if not isinstance(item, dict):
        raise DataError("wrong_type", f"standard input: {line[:60]!r} is not an object")
    values = [item.get(name) for name in channels]
    if any(value is not None and not isinstance(value, int | float) for value in values):
        raise DataError("wrong_type", f"standard input: a value in {line[:60]!r} is not a number")
    time = parse_time(item["time"], "UTC") if "time" in item else wall()
    return time, [np.nan if value is None else float(value) for value in values]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "iot-device", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True, help="from `iot-stream device add`")
    parser.add_argument("--channels", required=True, help="channels in each line: temperature,co2")
    return parser.parse_args()


def _tell(what: str) -> None:
    sys.stderr.write(f"iot-device: {what}\n")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    options = _options()
    names = tuple(name.strip() for name in options.channels.split(",") if name.strip())
    try:
        client = DeviceClient(DeviceSettings.load(options.config), names)
        client.start()
    except IotStreamError as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for line in sys.stdin.buffer:
            try:
                time, values = _reading(line, names)
            except DataError as error:
                _tell(f"line left out: {error}")
                continue
            client.feed(np.array([time], np.int64), np.array([values], np.float32))
    except KeyboardInterrupt:
        _tell("stopping")
    finally:
        client.stop()


if __name__ == "__main__":
    main()

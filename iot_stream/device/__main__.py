"""`iot-device`: what runs on a device, or beside a sensor that cannot compute.

iot-device run --config pump-01.json             read, publish, predict, follow releases
iot-device run --config kitchen.json hall.json   several sensors in one process
iot-device status --config pump-01.json          what is on disk; asks nobody
"""

import argparse  # half the memory of click
import logging
import signal
import sys
from pathlib import Path

from iot_stream import logs
from iot_stream.device import running
from iot_stream.device.settings import DeviceSettings
from iot_stream.errors import IotStreamError


def parser() -> argparse.ArgumentParser:
    """Of the command line; the documentation is written from it too."""
    program = argparse.ArgumentParser(
        "iot-device", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = program.add_subparsers(required=True, metavar="run | status")
    for name, does, what in (
        ("run", _run, "read, publish, predict, follow releases"),
        ("status", _status, "say what is on disk"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument(
            "--config",
            type=Path,
            required=True,
            nargs="+",
            metavar="FILE",
            help="from `iot-stream device add`; a file is a device",
        )
        command.add_argument(
            "--log", choices=logs.KINDS, default="", help="lines for people, or one JSON object a line"
        )
        command.set_defaults(does=does)
        if name == "run":
            command.add_argument("--channels", help="in place of the file's: temperature,co2")
    return program


def _run(options: argparse.Namespace) -> None:
    devices = [DeviceSettings.load(path) for path in options.config]
    for what in ("pipeline", "device"):
        if len(same := {getattr(each, what) for each in devices}) == 1:
            logs.always(**{what: same.pop()})
    channels = tuple(name for each in (options.channels or "").split(",") if (name := each.strip()))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        running.run(devices, channels)
    except KeyboardInterrupt:
        logs.tell("iot-device", "stopped", logging.INFO)


def _status(options: argparse.Namespace) -> None:
    from iot_stream.device import status  # what runs for years does without

    for path in options.config:
        for line in status.lines(DeviceSettings.load(path)):
            sys.stdout.write(line + "\n")


def main() -> None:
    options = parser().parse_args()
    try:
        logs.configure(logging.INFO, "%(asctime)s %(message)s", options.log)
        options.does(options)
    except IotStreamError as error:
        logs.tell("iot-device", str(error), logging.ERROR)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

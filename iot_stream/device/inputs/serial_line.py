"""A serial line: it may be unplugged at any time, and comes back when it does."""

import logging
import time
from collections.abc import Callable, Iterator
from termios import error as TermiosError
from typing import Any

from iot_stream.device.inputs.kinds import Serial
from iot_stream.device.inputs.lines import LONGEST
from iot_stream.errors import ConfigError

log = logging.getLogger(__name__)

SHORTEST_S, LONGEST_S = 1.0, 30.0  # between attempts to open it


def of_port(settings: Serial, sleep: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """Its lines, for ever; raises ConfigError without pyserial."""
    try:
        import serial  # pyserial, which only such devices need
    except ImportError as error:
        raise ConfigError("input: serial needs `pip install 'iot-stream[serial]'`") from error
    port = serial.Serial(baudrate=settings.baud)
    port.port = settings.port
    return _lines(port, sleep)


def _lines(port: Any, sleep: Callable[[float], None]) -> Iterator[bytes]:
    pause, away = SHORTEST_S, False
    while True:
        try:
            port.open()
            for line in _read(port):
                if away:
                    log.warning("%s: speaks again", port.port)
                pause, away = SHORTEST_S, False
                yield line
        except (OSError, TermiosError) as error:
            if not away:
                log.warning("%s: %s; trying again until it is there", port.port, error)
                away = True
        finally:
            _close(port)
        sleep(pause)
        pause = min(2 * pause, LONGEST_S)


def _read(port: Any) -> Iterator[bytes]:
    """Whole lines: the first may have begun before we listened, and half a number is a number too."""
    begun, pending = False, b""
    while True:
        *whole, pending = (pending + port.read(port.in_waiting or 1)).split(b"\n")
        yield from whole if begun else whole[1:]
        begun = begun or bool(whole)
        if len(pending) > LONGEST:
            begun, pending = False, b""


def _close(port: Any) -> None:
    try:
        port.close()
    except (OSError, TermiosError):
        port.fd = None

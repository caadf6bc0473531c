"""The page, drawn anew each second until somebody presses q."""

import logging
import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console
from rich.live import Live

from iot_stream.config import Config
from iot_stream.errors import StoreError
from iot_stream.store import Store
from iot_stream.watch.terminal.page import page
from iot_stream.watch.terminal.shown import Looker

log = logging.getLogger(__name__)

LOOK_S = 1.0
QUIT, PAUSE, NEXT = "q", "p", "n"


def run(config: Config, store: Store, stopping: threading.Event) -> None:
    """Until `stopping` or q. Raises StoreError if it cannot begin."""
    with _last_warning() as trouble:
        looker = Looker(config, store)
        looker.start()
        try:
            _show(looker, trouble, stopping)
        finally:
            looker.stop()


def _show(looker: Looker, trouble: "_Last", stopping: threading.Event) -> None:
    console, paused, pipeline = Console(), False, 0
    shown, at = looker.look(pipeline), datetime.now()
    with _keys_at_once(), Live(console=console, screen=True, auto_refresh=False) as live:
        while not stopping.is_set():
            width, height = console.size
            drawn = page(shown, width, height, paused=paused, now=at, trouble=trouble.words)
            live.update(drawn, refresh=True)
            key = _pressed(stopping, LOOK_S)
            if key == QUIT:
                return
            if key == PAUSE:
                paused = not paused
            if key == NEXT:
                pipeline += 1
            if not paused or key == NEXT:
                try:
                    shown, at = looker.look(pipeline), datetime.now()
                except StoreError as error:  # busy, perhaps: what was seen last stays
                    log.warning("%s", error)


class _Last(logging.Handler):
    """The last warning, and when it came: on the screen there is no room for more."""

    words = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.words = f"{datetime.fromtimestamp(record.created):%H:%M:%S} {record.getMessage()}"


@contextmanager
def _last_warning() -> Iterator[_Last]:
    """Nothing is logged onto the page."""
    root, last = logging.getLogger(), _Last(logging.WARNING)
    before = root.handlers[:]
    root.handlers[:] = [last]
    try:
        yield last
    finally:
        root.handlers[:] = before


@contextmanager
def _keys_at_once() -> Iterator[None]:
    """Without Enter, and not shown. Where standard input is no terminal there are no keys."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setcbreak(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _pressed(stopping: threading.Event, wait_s: float) -> str:
    """The key that is pressed within this time; none: an empty one."""
    if not sys.stdin.isatty():
        stopping.wait(wait_s)
        return ""
    ready, _, _ = select.select([0], [], [], wait_s)
    return os.read(0, 1).decode(errors="replace").lower() if ready and not stopping.is_set() else ""

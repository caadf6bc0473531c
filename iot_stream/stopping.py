"""Ctrl-C and SIGTERM as an event that threads can wait for."""

import signal
import threading
from queue import SimpleQueue


def until_stopped() -> threading.Event:
    """Set by SIGINT and SIGTERM; to be called in the main thread."""
    stopping, told = threading.Event(), SimpleQueue[int]()

    def stop() -> None:
        told.get()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        # A handler runs in the midst of whatever the main thread does, maybe of waiting for this very event,
        # whose lock it then holds: `set` would wait for ever. The queue's `put` may be called anywhere.
        signal.signal(number, lambda number, _: told.put(number))
    threading.Thread(target=stop, name="stopping", daemon=True).start()
    return stopping

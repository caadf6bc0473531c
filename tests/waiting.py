"""Waiting for what another thread or process does."""

import threading
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Return as soon as `holds()`; fail with `what` was waited for after `timeout` seconds."""
    pause = threading.Event()
    for _ in range(int(timeout / 0.01)):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError(f"waited {timeout:.0f} s in vain: {what}")

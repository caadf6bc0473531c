"""Waiting for what another thread or process does."""

import threading
from collections.abc import Callable

PATIENCE = 3  # a machine that many share may be so much slower; who waits for what comes does not notice


def wait_until(holds: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Return as soon as `holds()`; fail with `what` was waited for after so many times `timeout` seconds."""
    pause, seconds = threading.Event(), PATIENCE * timeout
    for _ in range(int(seconds / 0.01)):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")

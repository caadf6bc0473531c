"""Runs the parts as processes of their own. A part that crashes is started again, with growing pauses;
the others go on. Parts end with their supervisor, however it ends: they watch their standard input."""

import logging
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STEADY_S = 60.0
STOP_S = 15.0
USAGE = 2  # exit code of a wrong configuration: starting again will not mend it


@dataclass
class _Part:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE_S
    due: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE)
        self.started = time.monotonic()

    def look(self) -> int | None:
        """Start when due; the exit code of a part that has just ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.due:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            if now - self.started > STEADY_S:
                self.pause = FIRST_PAUSE_S
            return None
        self.process, self.due = None, now + self.pause
        self.pause = min(2 * self.pause, LONGEST_PAUSE_S)
        return code

    def stop(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def wait(self, until: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("%s does not end; killing it", self.name)
            self.process.kill()
            self.process.wait()


def serve(config: Path, parts: tuple[str, ...], options: tuple[str, ...], stopping: threading.Event) -> int:
    """Until `stopping`, or until a part refuses its configuration; returns the exit code."""
    running = [
        _Part(
            name,
            [sys.executable, "-m", "iot_stream.cli", *options, name, "--config", str(config), "--supervised"],
        )
        for name in parts
    ]
    try:
        while not stopping.is_set():
            for part in running:
                ended = part.look()
                if ended is None:
                    continue
                if ended == USAGE:
                    return USAGE
                log.warning(
                    "%s ended with code %d; starting it again in %.0f s",
                    part.name,
                    ended,
                    part.due - time.monotonic(),
                )
            stopping.wait(0.1)
    finally:
        for part in running:
            part.stop()
        deadline = time.monotonic() + STOP_S
        for part in running:
            part.wait(deadline)
    log.info("service: all parts have ended; what they know is in the store, where the next start goes on")
    return 0

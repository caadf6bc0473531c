"""The two clocks: wall time, and the stream time of a pipeline. Nobody else asks the time.

Times are integers, nanoseconds since 1970-01-01 UTC. Wall time governs connections, expiry and
back-off. Stream time is the newest reading that a pipeline has seen; windows, lateness, triggers
and retention follow it where a pipeline says `clock: stream`, so that a recording of a week can
run in a minute.
"""

import time
from datetime import UTC, datetime

SECOND = 1_000_000_000


def wall() -> int:
    """Now, in nanoseconds since the epoch."""
    return time.time_ns()


def iso(time_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds: `2015-02-11T14:48:00.000Z`."""
    moment = datetime.fromtimestamp(time_ns / SECOND, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Clock:
    """A pipeline's clock: `now()` is wall time, or the newest reading if it runs on stream time."""

    def __init__(self, kind: str = "wall") -> None:
        self.kind = kind
        self._newest = 0

    def advance(self, reading_ns: int) -> None:
        self._newest = max(self._newest, reading_ns)

    def now(self) -> int:
        return self._newest if self.kind == "stream" else wall()

"""What starts a round: a period, a number of new windows, a command."""

from iot_stream.config import Triggers


class Trigger:
    """Decides on the pipeline's clock; `last_round` is the stream time (ns) of the last round's start.

    `seen`: windows that the teacher had spoken on by then.
    """

    def __init__(self, settings: Triggers, last_round: int, seen: int) -> None:
        self._settings = settings
        self.last_round = last_round
        self.command: int | None = None
        self._due: int | None = last_round + int(settings.every or 0) if last_round else None
        self._seen = seen

    def reason(self, now: int, windows: int) -> str | None:
        """Why a round should start, or None; `windows` that the teacher has spoken on in all."""
        if self.command is not None:
            return "command"
        fresh = windows - self._seen
        if fresh < self._settings.at_least:
            return None
        every = self._settings.every
        if every and (self._due is None or now >= self._due):
            return "period"
        if self._settings.windows and fresh >= self._settings.windows:
            return "windows"
        return None

    def started(self, now: int, windows: int) -> None:
        """A round starts: the next period runs from when this one was due, so that it does not creep."""
        every = int(self._settings.every or 0)
        due = now if self._due is None or now - self._due > every else self._due
        self._due = due + every
        self._seen = windows
        self.last_round = now

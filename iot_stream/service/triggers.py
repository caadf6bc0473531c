"""What starts a round, beside a command: drift, labels, a number of new windows, a period. What delays it:
too few new windows, the cool-down, the budget.

The period can grow while nothing happens: after each round by `every`, up to `longest`, and back to `every`
with an alarm, as the adaptive training rate of Khani et al. has it ("Real-time video inference on edge
devices via adaptive model streaming", ICCV 2021, arXiv 2006.06628).
"""

import msgspec

from iot_stream.config import Pipeline, Triggers
from iot_stream.distill.drift import Fresh, Watch
from iot_stream.readings import Values
from iot_stream.service.budget import Budget


class Trigger:
    """Decides on the pipeline's clock; `last_round` is the stream time (ns) of the last round's start.

    `seen`: windows that the teacher had spoken on by then. `reference` (n, length, inputs): what the version
    that runs learnt from, without which drift is not watched.
    """

    def __init__(
        self, settings: Triggers, last_round: int, seen: int, reference: Values | None = None
    ) -> None:
        self._settings = settings
        self.last_round = last_round
        self._due: int | None = last_round + int(settings.every or 0) if last_round else None
        self._seen = seen
        self._since_alarm = 1  # rounds, counting the next one
        self._budget = Budget(settings.budget) if settings.budget else None
        self._watch: Watch | None = None
        if settings.drift and reference is not None:
            self._watch = Watch(settings.drift, settings.watch, settings.delta, settings.rise, reference)

    @classmethod
    def of(cls, pipeline: Pipeline, last_round: int, seen: int, reference: Values) -> "Trigger":
        """With no round that the gate could only hold, unless the settings ask for it."""
        at_least = pipeline.triggers.at_least or 2 * pipeline.gate.n_min
        settings = msgspec.structs.replace(pipeline.triggers, at_least=at_least)
        return cls(settings, last_round, seen, reference)

    @property
    def watches(self) -> bool:
        """Whether it wants to see what models say."""
        return self._watch is not None

    def watch(self, fresh: Fresh) -> None:
        """Windows that it has not seen before, oldest first."""
        if self._watch:
            self._watch.take(fresh)

    def reason(self, now: int, windows: int, labels: int = 0) -> str | None:
        """Why a round should start, or None; `windows` that the teacher has spoken on in all, `labels` that
        have come since the last round's start."""
        fresh = windows - self._seen
        if fresh < self._settings.at_least:
            return None
        if self.last_round and now < self.last_round + int(self._settings.cooldown):
            return None
        reason = self._why(now, fresh, labels)
        return reason if self._budget is None or self._budget.allows(now) else None

    def _why(self, now: int, fresh: int, labels: int) -> str | None:
        settings = self._settings
        due = bool(settings.every) and (self._due is None or now >= self._due)
        if self._watch and (drift := self._watch.reason(settings.at_least)):
            # What the last round was no answer to is tried again, each time later than before.
            again = due if settings.every else fresh >= self._since_alarm * settings.at_least
            if again or not self._watch.answered:
                return drift
        if settings.labels and labels >= settings.labels:
            return f"labels: {labels} have come"
        if settings.windows and fresh >= settings.windows:
            return "windows"
        return "period" if due else None

    def started(self, now: int, windows: int) -> None:
        """A round starts: the next period runs from when this one was due, so that it does not creep."""
        alarmed = self._watch is not None and self._watch.started()
        self._since_alarm = 1 if alarmed else self._since_alarm + 1
        every, longest = int(self._settings.every or 0), int(self._settings.longest or 0)
        due = now if alarmed or self._due is None or now - self._due > every else self._due
        self._due = due + max(every, min(every * self._since_alarm, longest))
        self._seen = windows
        self.last_round = now

    def spent(self, now: int, seconds: float) -> None:
        """A round that started at `now` (ns) has cost so many CPU seconds."""
        if self._budget:
            self._budget.spend(now, seconds)

    def released(self, reference: Values) -> None:
        """Another version runs, that learnt from windows `reference` (n, length, inputs)."""
        if self._watch:
            self._watch.learnt(reference)

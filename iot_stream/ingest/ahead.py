"""Readings from the future: a device's clock that is fast, or local time that was read in the wrong zone."""

from dataclasses import dataclass, field

from iot_stream.clock import SECOND

NEAR = 5 * 60 * SECOND  # what clocks that nobody sets may be apart


@dataclass
class FutureAlarm:
    _said: set[str] = field(default_factory=set)

    def look(self, device: str, newest: int, now: int) -> str:
        """What to say of a device whose newest reading is of that time; "" for nothing, or nothing new."""
        ahead = newest - now
        if ahead <= NEAR or device in self._said:
            return ""
        self._said.add(device)
        much = f"readings of {device} are {ahead / (60 * SECOND):.0f} min in the future"
        return f"{much}: is its clock right, and does its source's `zone` say where its local time is of?"

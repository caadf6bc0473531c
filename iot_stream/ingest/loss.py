"""Loss between device and collector: said when it is more than a bound, and when it is over."""

from dataclasses import dataclass, field

FORGET = 0.9  # of what was counted, a time that it is looked at
LEAST = 100  # readings by which to judge


@dataclass
class LossAlarm:
    """`bound`: share of a device's numbered readings that may be lost, of late."""

    bound: float
    _lost: dict[str, float] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _sounding: set[str] = field(default_factory=set)

    def look(self, device: str, lost: int, heard: int) -> str:
        """What to say of a device of which so many more readings were lost and heard; "" for nothing."""
        self._lost[device] = FORGET * self._lost.get(device, 0) + lost
        self._heard[device] = FORGET * self._heard.get(device, 0) + heard
        sent = self._lost[device] + self._heard[device]
        share = self._lost[device] / sent if sent else 0.0
        if device not in self._sounding and share > self.bound and sent >= LEAST:
            self._sounding.add(device)
            much = f"{device} loses {share:.1%} of its readings on the way, {self.bound:.1%} are allowed"
            return f"{much}: is the broker overloaded, its queue too short, the network bad?"
        if device in self._sounding and share < self.bound / 2:
            self._sounding.discard(device)
            return f"{device} loses no more than is allowed again"
        return ""

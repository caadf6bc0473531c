"""Loss between device and collector: said when it is more than a bound, and when it is over."""

from dataclasses import dataclass, field

FORGET = 0.9  # of what was counted, a time that it is looked at
LEAST = 100  # readings, or messages, by which to judge


@dataclass
class LossAlarm:
    """`bound`: share of what a device numbers, readings or messages, that may be lost, of late."""

    bound: float
    numbered: str = "readings"
    _lost: dict[str, float] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _sounding: set[str] = field(default_factory=set)
    _fresh: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, device: str, lost: int, heard: int) -> str:
        """As `look`, for who is told of every few: looks when there are enough to judge by."""
        before = self._fresh.pop(device, (0, 0))
        lost, heard = before[0] + lost, before[1] + heard
        if lost + heard >= LEAST:
            return self.look(device, lost, heard)
        self._fresh[device] = (lost, heard)
        return ""

    def look(self, device: str, lost: int, heard: int) -> str:
        """What to say of a device of which so many more readings were lost and heard; "" for nothing."""
        self._lost[device] = FORGET * self._lost.get(device, 0) + lost
        self._heard[device] = FORGET * self._heard.get(device, 0) + heard
        sent = self._lost[device] + self._heard[device]
        share = self._lost[device] / sent if sent else 0.0
        if device not in self._sounding and share > self.bound and sent >= LEAST:
            self._sounding.add(device)
            much = (
                f"{device} loses {share:.1%} of its {self.numbered} on the way, {self.bound:.1%} are allowed"
            )
            return f"{much}: is the broker overloaded, its queue too short, the network bad?"
        if device in self._sounding and share < self.bound / 2:
            self._sounding.discard(device)
            return f"{device} loses no more than is allowed again"
        return ""

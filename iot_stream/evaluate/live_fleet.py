"""What devices say, gathered: a line a version, not a line a device."""

import threading
import time
from collections.abc import Callable

from iot_stream import topics

QUIET_S = 3.0  # after which what is not complete is told as it stands


class LiveFleet:
    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._online: set[str] = set()
        self._ever: set[str] = set()
        self._swaps: dict[int, dict[str, float]] = {}  # version → device → how long readings waited (µs)
        self._untold: dict[int, float] = {}  # version, or 0 for who is online → when it last changed

    def take(self, topic: str, payload: bytes) -> bool:
        """Any message; whether it is one of those that are gathered. Raises msgspec.DecodeError."""
        if levels := topics.STATUS.levels(topic):
            self._meet(levels["device"], topics.decode(topics.Status, payload))
            return True
        if levels := topics.REPORT.levels(topic):
            report = topics.decode(topics.Report, payload)
            if report.event == "applied":
                self._swap(levels["device"], report)
            return report.event in ("applied", "health")
        return False

    def look(self) -> None:
        """Tells what has been as it is for a while; to be called again and again."""
        with self._lock:
            ripe = [what for what, at in self._untold.items() if time.monotonic() >= at + QUIET_S]
            for what in sorted(ripe):
                self._tell(what)

    def _meet(self, device: str, status: topics.Status) -> None:
        with self._lock:
            if status.online == (device in self._online):
                return
            self._ever.add(device)
            (self._online.add if status.online else self._online.discard)(device)
            self._untold[0] = time.monotonic()

    def _swap(self, device: str, report: topics.Report) -> None:
        with self._lock:
            swaps = self._swaps.setdefault(report.version, {})
            swaps[device] = report.swap_us
            self._untold[report.version] = time.monotonic()
            if len(swaps) == len(self._ever) and 0 not in self._untold:  # else more of them are to be met
                self._tell(report.version)

    def _tell(self, what: int) -> None:
        del self._untold[what]
        all_ = len(self._ever)
        if what == 0:
            without = "" if self._swaps else ", no version yet"
            self._say(f"devices  {len(self._online)} of {all_} online{without}")
        else:
            swaps = self._swaps[what]
            slowest = f"slowest swap {max(swaps.values()):.0f} µs"
            self._say(f"devices  version {what} on {len(swaps)} of {all_} devices, {slowest}")

"""What is refused, in the log: at once when it begins, then once a minute how much more there was."""

from dataclasses import dataclass, field

from iot_stream.errors import DataError

AGAIN_S = 60.0


@dataclass
class _Kind:
    """Of one reason: `count` since it was said last, at `said` on the monotonic clock; the newest of them."""

    count: int = 0
    said: float = float("-inf")
    newest: str = ""


@dataclass
class Refused:
    _kinds: dict[str, _Kind] = field(default_factory=dict)

    def add(self, device: str, error: DataError) -> None:
        kind = self._kinds.setdefault(error.reason, _Kind())
        kind.count += 1
        named = error.detail.startswith(f"{device}: ")
        kind.newest = error.detail if named else f"{device}: {error.detail}"

    def news(self, now: float) -> list[str]:
        """What to say at `now` (s on the monotonic clock)."""
        told = []
        for reason, kind in self._kinds.items():
            if kind.count and now >= kind.said + AGAIN_S:
                many = "a message" if kind.count == 1 else f"{kind.count} messages"
                told.append(f"{many} refused, {reason}: {kind.newest}; see `iot-stream quarantine list`")
                kind.count, kind.said = 0, now
        return told

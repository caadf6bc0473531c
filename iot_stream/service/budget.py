"""What rounds may cost: so many CPU seconds an hour, an hour's worth of which can be saved up."""

from iot_stream.units import Spending


class Budget:
    """A bucket that fills steadily; it is full at first. Times in ns on the pipeline's clock.

    Between any two moments rounds cost no more than the time between them is worth, an hour's worth, and as
    much as one of them cost more than the one before.
    """

    def __init__(self, allowed: Spending) -> None:
        self._allowed = allowed
        self._left = self._full = allowed.in_an_hour
        self._at: int | None = None
        self._last = 0.0  # what the last round cost

    def left(self, now: int) -> float:
        """CPU seconds that can be spent at `now`."""
        if self._at is not None:
            self._left = min(self._full, self._left + self._allowed.in_time(max(0, now - self._at)))
        self._at = now if self._at is None else max(now, self._at)
        return self._left

    def allows(self, now: int) -> bool:
        """Whether there is enough for another round like the last; for one that costs more than can ever be
        saved up, whether all is there."""
        return self.left(now) >= min(self._last, self._full)

    def spend(self, now: int, seconds: float) -> None:
        """A round that started at `now` has cost so many CPU seconds."""
        self._left = self.left(now) - seconds
        self._last = seconds

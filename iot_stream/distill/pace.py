"""How fast a training goes, and when it ends."""

import math

TENTHS = 10


class Pace:
    """The rate of each step: constant, or a cosine from `rate` to 0 (Loshchilov & Hutter, arXiv 1608.03983).

    With `plateau`, training may end early: where the mean loss of a tenth of the steps is not lower than that
    of the tenth before by this share, the rate falls in a straight line to 0 within one more tenth, so that
    what small rates have to give is had. It depends on the losses alone: the same seed ends at the same step.
    """

    def __init__(self, rate: float, schedule: str, steps: int, plateau: float = 0.0) -> None:
        self.end = steps
        self.block = max(1, steps // TENTHS)
        self._rate, self._cosine, self._steps, self._plateau = rate, schedule == "cosine", steps, plateau
        self._before = math.inf
        self._falls_at: int | None = None

    def rate(self, step: int) -> float:
        """Of a step, counted from 0."""
        if self._falls_at is not None and step >= self._falls_at:
            return self._slow(self._falls_at) * (self.end - step) / self.block
        return self._slow(step)

    def listens(self, done: int) -> bool:
        """Whether it wants the last block's loss, after so many steps."""
        return self._plateau > 0 and self._falls_at is None and done % self.block == 0

    def hear(self, done: int, loss: float) -> None:
        """The mean loss of the last `block` steps."""
        if loss > (1 - self._plateau) * self._before and done + self.block < self.end:
            self._falls_at, self.end = done, done + self.block
        self._before = loss

    def _slow(self, step: int) -> float:
        return self._rate * (1 + math.cos(math.pi * step / self._steps)) / 2 if self._cosine else self._rate

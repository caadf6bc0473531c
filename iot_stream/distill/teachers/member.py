"""What a teacher is made of: models that learn from labelled windows, and go on learning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from iot_stream.config.learning import TrainSettings
from iot_stream.distill.trainer import Trained
from iot_stream.readings import Values

State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Lessons:
    """Labelled windows `x` (n, length, channels), `y` (n,), and how much each counts, if not all alike."""

    x: Values
    y: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    @property
    def counts(self) -> NDArray[np.float64]:
        return np.ones(len(self.y)) if self.weights is None else self.weights


class Member(Protocol):
    """A model of scaled windows. It never changes: what has learnt more is another one."""

    @property
    def parameters(self) -> int: ...

    def logits(self, x: Values) -> Values:
        """(n, length, channels) → (n, classes)."""
        ...

    def tuned(
        self, fresh: Lessons, known: Lessons, settings: TrainSettings, seed: int, /
    ) -> tuple["Member", Trained]:
        """After `fresh` lessons, with those that it knew replayed."""
        ...

    def state(self) -> State:
        """All that its kind needs to make it again."""
        ...

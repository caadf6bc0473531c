"""What a teacher is made of: models that learn from labelled windows, and go on learning."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.registry import Registry
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ModelError
from iot_stream.labelling import NO_LABEL
from iot_stream.readings import Times, Values
from iot_stream.spec import Spec

State = Mapping[str, NDArray[Any]]

NO_COST = Trained({}, 0, 0.0, 0.0)
LEAST = 1e-6  # a probability below this says no more than that


@dataclass(frozen=True)
class Lessons:
    """Windows `x` (n, length, channels), their classes `y` (n,), −1 where nobody has told, how much each
    counts, if not all alike, and when they ended (n,; ns), below 0 in the bootstrap; without, they come in
    order of time."""

    x: Values
    y: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None
    ends: Times | None = None

    @property
    def counts(self) -> NDArray[np.float64]:
        return np.ones(len(self.y)) if self.weights is None else self.weights

    @property
    def labelled(self) -> "Lessons":
        """Those of a known class."""
        return self.rows(np.flatnonzero(self.y != NO_LABEL))

    @property
    def in_order(self) -> "Lessons":
        """In order of time."""
        return self if self.ends is None else self.rows(np.argsort(self.ends, kind="stable"))

    def rows(self, keep: NDArray[np.int64]) -> "Lessons":
        weights = None if self.weights is None else self.weights[keep]
        return replace(
            self,
            x=self.x[keep],
            y=self.y[keep],
            weights=weights,
            ends=None if self.ends is None else self.ends[keep],
        )


def check_lessons(lessons: Lessons, classes: tuple[str, ...]) -> None:
    """Raises ModelError where a class is in none of them."""
    missing = [name for k, name in enumerate(classes) if not (lessons.y == k).any()]
    if missing:
        raise ModelError(
            f"no labelled window of {', '.join(missing)} to learn from; widen recordings.bootstrap.teacher"
        )


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
        """After the `fresh` windows of the stream, labelled or not, with what was `known` replayed; itself
        where they hold nothing for it."""
        ...

    def state(self) -> State:
        """All that its kind needs to make it again."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A member that knows how the classes moved."""

    def as_now(self, x: Values, y: NDArray[np.int64], ends: Times, /) -> Values:
        """Windows (n, length, channels) of classes `y` (n,) that ended then, as they would look now."""
        ...


class Kind(Protocol):
    """Makes members of one name; a class with these two as class methods is one."""

    def trained(
        self,
        network: Network,
        spec: Spec,
        lessons: Lessons,
        settings: TrainSettings,
        seed: int,
        progress: Progress | None,
        checkpoints: Checkpoints | None,
        /,
    ) -> tuple[Member, Trained]:
        """Of the bootstrap's lessons, of scaled windows. Raises ModelError."""
        ...

    def restored(self, network: Network, spec: Spec, state: State, hardware: Hardware, /) -> Member:
        """From what `state` gave."""
        ...


KINDS: Registry[Kind] = Registry("teacher")
"""By the `arch` of a teacher or of an ensemble's member."""

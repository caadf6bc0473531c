"""Teachers that come ready: they take raw windows, say what they say, and learn nothing here."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.teachers.member import LEAST, NO_COST, Lessons, State
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ModelError
from iot_stream.readings import Values
from iot_stream.spec import Spec

LOGITS, PROBABILITIES = "logits", "probabilities"
ENOUGH = 8  # rows that sum to one are no coincidence

Speak = Callable[[Values], NDArray[np.floating]]
"""(n, length, inputs) raw windows, NaN where a value is missing → (n, classes)."""


class Ready(ABC):
    """A kind whose members come ready: what the bootstrap would teach they know."""

    @classmethod
    @abstractmethod
    def restored(
        cls, network: Network, spec: Spec, _state: State, _hardware: Hardware
    ) -> "ForeignMember": ...

    @classmethod
    def trained(
        cls,
        network: Network,
        spec: Spec,
        _lessons: Lessons,
        settings: TrainSettings,
        _seed: int,
        _progress: Progress | None,
        _checkpoints: Checkpoints | None,
    ) -> tuple["ForeignMember", Trained]:
        return cls.restored(network, spec, {}, settings), NO_COST


@dataclass(frozen=True)
class ForeignMember:
    """`gives` logits or probabilities, of the task's classes in the order `columns`."""

    name: str
    speak: Speak
    columns: tuple[int, ...]
    gives: str = LOGITS
    parameters: int = 0

    def logits(self, x: Values) -> Values:
        """Rows of NaN where it has no word. Raises ModelError."""
        found = np.asarray(self.speak(x))
        if found.shape != (len(x), len(self.columns)) or not np.issubdtype(found.dtype, np.number):
            shape = f"{found.dtype} {found.shape}"
            raise ModelError(
                f"{self.name}: {len(x)} windows gave {shape}, not ({len(x)}, {len(self.columns)}) numbers"
            )
        said = found[:, list(self.columns)].astype(np.float64)
        said[~np.isfinite(said).all(axis=1)] = np.nan
        alike = _sum_to_one(said)
        if self.gives == PROBABILITIES:
            if not alike[np.isfinite(said).all(axis=1)].all():
                raise ModelError(f"{self.name}: gives: probabilities, but rows do not sum to one")
            said = np.log(np.maximum(said, LEAST))
        elif len(said) >= ENOUGH and alike.all():
            raise ModelError(f"{self.name}: rows sum to one; say `gives: probabilities`")
        return said.astype(np.float32)

    def tuned(
        self, _fresh: Lessons, _known: Lessons, _settings: TrainSettings, _seed: int, /
    ) -> tuple["ForeignMember", Trained]:
        return self, NO_COST

    def state(self) -> State:
        """Nothing: it is made anew of what the configuration names."""
        return {}


def _sum_to_one(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray((rows >= -1e-6).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) < 1e-3))


def manner(name: str, options: dict[str, object], classes: tuple[str, ...]) -> tuple[tuple[int, ...], str]:
    """`classes` and `gives` taken out of a foreign teacher's options; raises ModelError."""
    gives, order = options.pop("gives", LOGITS), options.pop("classes", list(classes))
    if gives not in (LOGITS, PROBABILITIES):
        raise ModelError(f"{name}: gives: {gives!r} is neither logits nor probabilities")
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(classes):
        raise ModelError(f"{name}: classes: {order} are not {', '.join(classes)} in the order of its outputs")
    return tuple(order.index(each) for each in classes), str(gives)

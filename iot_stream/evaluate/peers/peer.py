"""What a peer is: a well-known model that learns from the labels and inputs of the student."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from numpy import float64, int64
from numpy.typing import NDArray

Rows = NDArray[float64]
Classes = NDArray[int64]
Settings = dict[str, Any]

ALWAYS = ""
"""The reason why a kind cannot run here, where there is none."""


class Shape(NamedTuple):
    """Of the task: so many inputs and classes; whatever is random comes from `seed`."""

    features: int
    classes: int
    seed: int


class Peer(Protocol):
    def learn(self, x: Rows, y: Classes) -> None:
        """Further labelled rows, (n, features) and (n,), oldest first."""

    def predict(self, x: Rows) -> Classes:
        """The class of each row (n,), −1 where it has none to say."""

    def size(self) -> dict[str, int]:
        """How large it has become: `parameters`, numbers that it decides by, or `bytes` in memory; empty
        where nobody can tell."""


@dataclass(frozen=True)
class Kind:
    """`refreshed`: at each round as the student is, or with each label as it comes. `grid`: what is tried on
    the bootstrap; of equals the first is taken. `absent`: why it cannot run here, `ALWAYS` if it can."""

    refreshed: Literal["round", "label"]
    grid: tuple[Settings, ...]
    make: Callable[[Shape, Settings], Peer]
    absent: Callable[[], str] = lambda: ALWAYS


def grid(**choices: tuple[Any, ...]) -> tuple[Settings, ...]:
    """All combinations; the last setting changes fastest."""
    found: list[Settings] = [{}]
    for name, values in choices.items():
        found = [settings | {name: value} for settings in found for value in values]
    return tuple(found)

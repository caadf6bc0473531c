"""Two versions side by side: where their contracts differ, and how far their weights are apart."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[np.float32]]

ABSENT = "—"


class Difference(msgspec.Struct, frozen=True):
    """Of two specs, at a place such as `cut.length`."""

    place: str
    one: str
    other: str


class Distance(msgspec.Struct, frozen=True):
    """Of one tensor in two versions. `apart`: the Euclidean distance, as a share of the first one's length;
    `most`: of a single weight; `cosine`: 1 where both point the same way."""

    tensor: str
    weights: int
    apart: float
    most: float
    cosine: float


def differences(one: Any, other: Any) -> list[Difference]:
    first, second = dict(_leaves("", one)), dict(_leaves("", other))
    return [
        Difference(place, first.get(place, ABSENT), second.get(place, ABSENT))
        for place in dict.fromkeys((*first, *second))
        if first.get(place) != second.get(place)
    ]


def _leaves(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Lists of plain values are one leaf: a word too many would shift all that follow."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{place}.{name}" if place else name, inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            yield from _leaves(f"{place}[{number}]", inner)
    else:
        yield place, msgspec.json.encode(value).decode()


def distances(one: Tensors, other: Tensors) -> list[Distance] | None:
    """Of all weights together, then of each tensor; None where the two are of different forms."""
    if {name: each.shape for name, each in one.items()} != {n: each.shape for n, each in other.items()}:
        return None
    pairs = {name: (one[name].ravel(), other[name].ravel()) for name in one}
    all_ = tuple(np.concatenate(side) for side in zip(*pairs.values(), strict=True))
    return [_distance("", *all_), *(_distance(name, *pair) for name, pair in pairs.items())]


def _distance(name: str, one: NDArray[np.float32], other: NDArray[np.float32]) -> Distance:
    first, second = one.astype(np.float64), other.astype(np.float64)
    long, length = np.linalg.norm(first), np.linalg.norm(second)
    apart = np.linalg.norm(second - first)
    return Distance(
        name,
        one.size,
        float(apart / long) if long else float(apart > 0),
        float(np.abs(second - first).max()),
        float(first @ second / (long * length)) if long and length else float(long == length),
    )

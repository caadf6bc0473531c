"""A peer's settings, chosen on the bootstrap alone, in the order of time, as the stream will ask it."""

import numpy as np
from numpy.typing import NDArray

from iot_stream.evaluate.peers import prequential
from iot_stream.evaluate.peers.bounds import evenly, most_rows
from iot_stream.evaluate.peers.peer import Classes, Kind, Rows, Settings, Shape

TRIAL = 4
"""A trial is made on so many times fewer rows than may be learnt from."""

PIECES = 4
"""So often a peer that is fitted anew is fitted within the second half."""


def choose(kind: Kind, x: Rows, y: Classes, shape: Shape) -> Settings:
    """The settings of the grid that tell most of the second half rightly, each row before it is learnt; of
    equals the first. `x` (n, features), `y` (n,) in order of time."""
    if len(kind.grid) == 1:
        return kind.grid[0]
    scores = [accuracy(kind, settings, x, y, shape) for settings in kind.grid]
    return kind.grid[int(np.argmax(scores))]


def accuracy(kind: Kind, settings: Settings, x: Rows, y: Classes, shape: Shape) -> float:
    """Of one setting, over the second half; of too few rows to halve 0."""
    kept = evenly(len(x), most_rows(shape.features) // TRIAL)
    x, y = x[kept], y[kept]
    half = len(x) // 2
    if not half:
        return 0.0
    peer = kind.make(shape, settings)
    peer.learn(x[:half], y[:half])
    rows = np.arange(len(x) - half)
    acts = rows if kind.refreshed == "label" else _last_of_piece(len(rows))
    said = prequential.said(peer, x[half:], rows, rows, y[half:], acts)
    return float((said == y[half:]).mean())


def _last_of_piece(count: int) -> NDArray[np.int64]:
    pieces = np.array_split(np.arange(count), min(PIECES, count))
    return np.concatenate([np.full(len(piece), piece[-1]) for piece in pieces])

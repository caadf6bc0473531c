"""The nearest of the newest labelled rows: a window of them is all that it knows."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from iot_stream.evaluate.peers.peer import Classes, Kind, Peer, Rows, Settings, Shape, grid


class Neighbours:
    """The commonest class among the `k` nearest (Euclid) of the last `window` rows (Cover & Hart 1967)."""

    def __init__(self, k: int, window: int) -> None:
        self._k, self._window = k, window
        self._x: Rows = np.zeros((0, 0))
        self._y: Classes = np.zeros(0, np.int64)

    def learn(self, x: Rows, y: Classes) -> None:
        self._x = np.concatenate([self._x.reshape(-1, x.shape[1]), x])[-self._window :]
        self._y = np.concatenate([self._y, y])[-self._window :]

    def predict(self, x: Rows) -> Classes:
        nearest = KNeighborsClassifier(min(self._k, len(self._y)), algorithm="brute")
        return np.asarray(nearest.fit(self._x, self._y).predict(x), np.int64)

    def size(self) -> dict[str, int]:
        return {"parameters": self._x.size + self._y.size}


def _knn(_shape: Shape, settings: Settings) -> Peer:
    return Neighbours(**settings)


KINDS = {"knn": Kind("label", grid(k=(5, 3, 1), window=(1000, 300)), _knn)}

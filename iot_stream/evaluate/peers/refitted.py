"""scikit-learn's classifiers, fitted anew on all labels so far: with few of them the strongest peers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.svm import SVC

from iot_stream.evaluate.peers.bounds import evenly, most_rows
from iot_stream.evaluate.peers.peer import Classes, Kind, Peer, Rows, Settings, Shape, grid


class Refitted:
    """A new estimator at every lesson, on all rows that have ever come; evenly fewer beyond `most_rows`."""

    def __init__(self, estimator: Callable[[], Any], size: Callable[[Any], int]) -> None:
        self._new, self._size = estimator, size
        self._x: list[Rows] = []
        self._y: list[Classes] = []
        self._fitted: Any = None

    def learn(self, x: Rows, y: Classes) -> None:
        self._x.append(x)
        self._y.append(y)
        rows, classes = np.concatenate(self._x), np.concatenate(self._y)
        kept = evenly(len(rows), most_rows(rows.shape[1]))
        rows, classes = rows[kept], classes[kept]
        # Nothing can be told apart yet: the estimators would refuse.
        few = not 1 < len(np.unique(classes)) < len(classes)
        self._fitted = (DummyClassifier() if few else self._new()).fit(rows, classes)

    def predict(self, x: Rows) -> Classes:
        return np.asarray(self._fitted.predict(x), np.int64)

    def size(self) -> dict[str, int]:
        return {"parameters": 1 if isinstance(self._fitted, DummyClassifier) else self._size(self._fitted)}


def _lda(_shape: Shape, settings: Settings) -> Peer:
    """Gaussian classes of one covariance, shrunk automatically (Ledoit & Wolf 2004)."""
    return Refitted(
        lambda: LinearDiscriminantAnalysis(solver="lsqr", **settings),
        lambda fitted: fitted.coef_.size + fitted.intercept_.size,
    )


def _svc(_shape: Shape, settings: Settings) -> Peer:
    """Support vectors, radial basis functions (Cortes & Vapnik 1995)."""
    return Refitted(
        lambda: SVC(kernel="rbf", **settings),
        lambda fitted: fitted.support_vectors_.size + fitted.dual_coef_.size + fitted.intercept_.size,
    )


def _extra_trees(shape: Shape, settings: Settings) -> Peer:
    """Extremely randomised trees (Geurts, Ernst & Wehenkel 2006)."""
    return Refitted(
        lambda: ExtraTreesClassifier(n_estimators=100, random_state=shape.seed, **settings), _in_trees
    )


def _in_trees(forest: ExtraTreesClassifier) -> int:
    """Of each node its input, threshold and two children; of each leaf the share of every class."""
    leaf = int(forest.n_classes_)
    trees = [each.tree_ for each in forest.estimators_]
    return sum(4 * int(tree.node_count - tree.n_leaves) + leaf * int(tree.n_leaves) for tree in trees)


KINDS = {
    "lda": Kind("round", grid(shrinkage=("auto",)), _lda),
    "svc": Kind("round", grid(C=(10.0, 1.0, 100.0), gamma=("scale", 0.001, 0.01, 0.1)), _svc),
    "extra_trees": Kind("round", grid(min_samples_leaf=(1, 3)), _extra_trees),
}

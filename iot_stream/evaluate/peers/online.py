"""river's stream learners: one label at a time, nothing kept but the model."""

from importlib.util import find_spec
from typing import Any

import numpy as np

from iot_stream.evaluate.peers.peer import ALWAYS, Classes, Kind, Peer, Rows, Settings, Shape, grid

TREES = 10
"""Of a forest; more of them in pure Python would take hours."""


class Online:
    """A classifier of river. Inputs are named by their number: sets of texts have another order in each
    process, and with it a forest would draw otherwise."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def learn(self, x: Rows, y: Classes) -> None:
        for row, k in zip(x.tolist(), y.tolist(), strict=True):
            self._model.learn_one(dict(enumerate(row)), k)

    def predict(self, x: Rows) -> Classes:
        said = (self._model.predict_one(dict(enumerate(row))) for row in x.tolist())
        return np.array([-1 if k is None else k for k in said], np.int64)

    def size(self) -> dict[str, int]:
        """As river counts itself."""
        return {"bytes": int(self._model._raw_memory_usage)}


def _arf(shape: Shape, settings: Settings) -> Peer:
    """Adaptive random forest (Gomes et al. 2017)."""
    from river.forest import ARFClassifier

    return Online(ARFClassifier(n_models=TREES, seed=shape.seed, **settings))


def _hat(shape: Shape, settings: Settings) -> Peer:
    """Hoeffding adaptive tree (Bifet & Gavaldà 2009)."""
    from river.tree import HoeffdingAdaptiveTreeClassifier

    return Online(HoeffdingAdaptiveTreeClassifier(seed=shape.seed, **settings))


def _softmax(_shape: Shape, settings: Settings) -> Peer:
    """Softmax regression by stochastic gradient descent on inputs scaled by their running mean and spread."""
    from river.linear_model import SoftmaxRegression
    from river.optim import SGD
    from river.preprocessing import StandardScaler

    return Online(StandardScaler() | SoftmaxRegression(SGD(settings["rate"])))


def _absent() -> str:
    return ALWAYS if find_spec("river") else "river is not installed: pip install 'iot-stream[peers]'"


KINDS = {
    "arf": Kind("label", grid(grace_period=(50, 20)), _arf, _absent),
    "hat": Kind("label", grid(grace_period=(200, 50)), _hat, _absent),
    "softmax": Kind("label", grid(rate=(0.01, 0.03, 0.1)), _softmax, _absent),
}

"""CapyMOA's stream learners: those of MOA, in a Java virtual machine within this process."""

import os
import shutil
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from iot_stream.evaluate.peers.online import TREES
from iot_stream.evaluate.peers.peer import ALWAYS, Classes, Kind, Peer, Rows, Settings, Shape, grid


class Moa:
    """A classifier of CapyMOA under its schema."""

    def __init__(self, schema: Any, model: Any) -> None:
        self._schema, self._model = schema, model

    def learn(self, x: Rows, y: Classes) -> None:
        from capymoa.core import LabeledInstance

        for row, k in zip(x, y.tolist(), strict=True):
            self._model.train(LabeledInstance.from_array(self._schema, row, k))

    def predict(self, x: Rows) -> Classes:
        from capymoa.core import Instance

        said = (self._model.predict(Instance.from_array(self._schema, row)) for row in x)
        return np.array([-1 if k is None else k for k in said], np.int64)

    def size(self) -> dict[str, int]:
        """Serialised in memory, which is how MOA counts; what it cannot serialise has no size."""
        from capymoa.core.io import save_model
        from jpype import JException

        held = BytesIO()
        try:
            save_model(self._model, held)
        except JException:
            return {}
        return {"bytes": held.tell()}


def _arf(shape: Shape, settings: Settings) -> Peer:
    """Adaptive random forest (Gomes et al. 2017)."""
    from capymoa.classifier import AdaptiveRandomForestClassifier

    schema = _schema(shape)
    return Moa(
        schema,
        AdaptiveRandomForestClassifier(schema, ensemble_size=TREES, random_seed=_seed(shape), **settings),
    )


def _srp(shape: Shape, settings: Settings) -> Peer:
    """Streaming random patches (Gomes, Read & Bifet 2019)."""
    from capymoa.classifier import StreamingRandomPatches

    schema = _schema(shape)
    return Moa(
        schema, StreamingRandomPatches(schema, ensemble_size=TREES, random_seed=_seed(shape), **settings)
    )


def _seed(shape: Shape) -> int:
    return shape.seed + 1  # MOA takes 0 for "none given" in places


def _schema(shape: Shape) -> Any:
    from capymoa.stream import Schema

    inputs = [f"x{number}" for number in range(shape.features)]
    classes = [str(k) for k in range(shape.classes)]
    return Schema.from_custom([*inputs, "class"], target="class", categories={"class": classes})


def _absent() -> str:
    if not find_spec("capymoa"):
        return "capymoa is not installed: pip install capymoa"
    home = os.environ.get("JAVA_HOME")
    if not (Path(home).is_dir() if home else shutil.which("java")):
        return "no JVM: install a Java runtime (apt install default-jre-headless), or let JAVA_HOME name one"
    return ALWAYS


KINDS = {
    "moa_arf": Kind("label", grid(max_features=(0.6, 0.1)), _arf, _absent),
    "moa_srp": Kind("label", grid(max_features=(0.6, 0.1)), _srp, _absent),
}

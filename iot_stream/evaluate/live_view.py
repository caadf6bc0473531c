"""The state of a run in a line, now and then: how right everyone is, by the labels that have come."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Pipeline
from iot_stream.evaluate import metrics
from iot_stream.evaluate.scores import NOTHING, Scores, collect
from iot_stream.store import Store

RIVALS = ("student", "static", "teacher")
RECENT = 200  # windows that all have spoken on and whose truth is known, or a quarter of those


class LiveView:
    def __init__(self, store: Store, name: str, pipeline: Pipeline, say: Callable[[str], None]) -> None:
        self._store, self._name, self._pipeline, self._say = store, name, pipeline, say

    def show(self) -> None:
        """By labels where there are any, else by agreement with the teacher; newest windows only."""
        versions = self._store.registry.versions(self._name)
        if not versions:
            return
        teacher = versions[0].provenance["teacher"]
        scores = collect(
            self._store, self._name, self._pipeline, self._store.journal.labels(self._name), teacher, 5000
        )
        known, basis = scores.truth, "labels"
        if not (known != NOTHING).any():
            known, basis = scores.said["teacher"], "the teacher's word"
        rivals = RIVALS if basis == "labels" else RIVALS[:2]
        parts = [
            f"{rival} {value:.2f} {'█' * round(20 * value):20}"
            for rival, value in _accuracies(scores, known, rivals).items()
        ]
        running = Counter(d.version for d in self._store.registry.devices(self._name) if d.online)
        fleet = ", ".join(
            f"{count} on {version or 'no version yet'}" for version, count in sorted(running.items())
        )
        if parts:
            self._say(f"NOW      {' '.join(parts)} by {basis}; devices: {fleet}")


def _accuracies(scores: Scores, known: NDArray[np.int64], rivals: Sequence[str]) -> dict[str, float]:
    """On windows that all have spoken on: static and teacher are asked later than a device speaks."""
    said = {rival: scores.said[rival] for rival in rivals}
    heard = {
        rival: column for rival, column in said.items() if ((column != NOTHING) & (known != NOTHING)).any()
    }
    common = np.flatnonzero(np.all([known != NOTHING, *(each != NOTHING for each in heard.values())], axis=0))
    recent = common[-max(RECENT, len(common) // 4) :]
    found = {rival: metrics.accuracy(column[recent], known[recent]) for rival, column in heard.items()}
    return {rival: value for rival, value in found.items() if value is not None}

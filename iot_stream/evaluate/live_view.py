"""The state of a run in a line, now and then: how right everyone is, by the labels that have come."""

from collections import Counter
from collections.abc import Callable

from iot_stream.config import Pipeline
from iot_stream.evaluate import metrics
from iot_stream.evaluate.scores import NOTHING, collect
from iot_stream.store import Store

RECENT = 200  # windows that someone knows the truth of, or a quarter of those looked at


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
        parts = []
        for rival in ("student", "static", "teacher"):
            said = scores.said[rival]
            both = (said != NOTHING) & (known != NOTHING)
            recent = max(RECENT, int(both.sum()) // 4)
            value = metrics.accuracy(said[both][-recent:], known[both][-recent:])
            if value is not None and not (basis != "labels" and rival == "teacher"):
                parts.append(f"{rival} {value:.2f} {'█' * round(20 * value):20}")
        running = Counter(d.version for d in self._store.registry.devices(self._name) if d.online)
        fleet = ", ".join(f"{count} on {version}" for version, count in sorted(running.items()))
        if parts:
            self._say(f"NOW      {' '.join(parts)} by {basis}; devices: {fleet}")

"""What a trigger is shown live: fresh windows with the words of the teacher and of the version that runs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Pipeline
from iot_stream.device.model import Model
from iot_stream.distill.drift import Fresh
from iot_stream.readings import Values
from iot_stream.service import versions
from iot_stream.service.members import Members
from iot_stream.store import Store
from iot_stream.store.journal import WindowSet

WAITING = 100_000
"""So many windows at most wait for their teacher; the oldest go first."""

Key = tuple[str, int]  # device, start


class _Window(NamedTuple):
    end: int
    x: Values


class Watching:
    """Joins the student's windows to the teacher's words, whichever come first. It knows what came since the
    process began: what is older has been looked at, or is a round's matter."""

    def __init__(self, store: Store, name: str, pipeline: Pipeline) -> None:
        self._store, self._name, self._pipeline = store, name, pipeline
        self._windows: dict[Key, _Window] = {}
        self._words: dict[Key, Values] = {}
        self._models: dict[str, tuple[int, Model]] = {}  # by cohort

    def cut(self, windows: WindowSet) -> None:
        """Windows of the student's that are new."""
        keys = zip(windows.devices.tolist(), windows.starts.tolist(), strict=True)
        for key, end, x in zip(keys, windows.ends.tolist(), windows.x, strict=True):
            self._windows[key] = _Window(end, x)
        _forget(self._windows)

    def heard(self, windows: WindowSet, logits: Values) -> None:
        """Windows of the teacher's that are new, and what it says of them (n, classes)."""
        keys = zip(windows.devices.tolist(), windows.starts.tolist(), strict=True)
        self._words.update(zip(keys, logits, strict=True))
        _forget(self._words)

    def fresh(self, members: Members, cohort: str) -> Fresh:
        """What has come of the cohort in pairs since it was asked last, oldest first, of what may be learnt
        from."""
        keys = [key for key in self._words if key in self._windows and members.of(key[0]) == cohort]
        found = [(key, self._windows.pop(key), self._words.pop(key)) for key in keys]
        found.sort(key=lambda each: each[1].end)
        if found:
            found = [each for each, keep in zip(found, self._allowed(found), strict=True) if keep]
        if not found:
            nothing = np.zeros((0, len(self._pipeline.classes)), np.float32)
            return Fresh(np.zeros((0, 1, 1), np.float32), nothing, nothing)
        x = np.stack([window.x for _, window, _ in found])
        return Fresh(x, np.stack([words for _, _, words in found]), self._running(cohort).logits(x))

    def _allowed(self, found: list[tuple[Key, _Window, Values]]) -> NDArray[np.bool_]:
        devices = np.array([key[0] for key, _, _ in found])
        starts = np.array([key[1] for key, _, _ in found], np.int64)
        ends = np.array([window.end for _, window, _ in found], np.int64)
        return self._store.scope.allowed(self._name, devices, starts, ends)

    def _running(self, cohort: str) -> Model:
        version = self._store.registry.newest(self._name, cohort)
        assert version is not None, "the bootstrap has released one"
        number, model = self._models.get(cohort, (0, None))
        if model is None or number != version.version:
            model = versions.packed_version(self._store, version).model()
            self._models[cohort] = version.version, model
        return model


def _forget(waiting: dict[Key, _Window] | dict[Key, Values]) -> None:
    for key in list(waiting)[: max(0, len(waiting) - WAITING)]:
        del waiting[key]

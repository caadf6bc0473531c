"""The devices of a replay: which cohort each is in at a time, and what each cohort's students were."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.config.cohorts import ALL, DEVICE, DRIFT
from iot_stream.device.model import Model
from iot_stream.distill import clusters
from iot_stream.distill.material import Material
from iot_stream.distill.student import Packed
from iot_stream.errors import ConfigError
from iot_stream.evaluate.replay import rivals
from iot_stream.evaluate.replay.plan import Waiting
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.service.learning import Prepared
from iot_stream.service.triggers import Trigger

STUDENT = "student"
LEARNING = (STUDENT, rivals.LABELS_ONLY, rivals.CONTROL)
"""Lanes: those that go through the rounds."""


@dataclass(frozen=True)
class Version:
    """Acts on windows that end after `since` (ns)."""

    since: int
    packed: Packed


class Cohort(Waiting):
    """`versions` of each lane, in order; `running` is the student's newest."""

    def __init__(self, prepared: Prepared, versions: dict[str, list[Version]], scored: int = 0) -> None:
        learner = prepared.learner
        super().__init__(Trigger.of(learner.pipeline, 0, 0, learner.bootstrap.x), scored)
        self.versions = versions
        self.running: Model = self.newest(STUDENT).model()

    def newest(self, lane: str) -> Packed:
        return self.versions[lane][-1].packed

    def past(self, count: int) -> list[bytes]:
        """The student's last versions of the newest one's form."""
        spec = self.newest(STUDENT).spec
        alike = [each.packed.resume for each in self.versions[STUDENT] if each.packed.spec == spec]
        return alike[max(0, len(alike) - count) :]

    def release(self, since: int, packed: Packed) -> None:
        self.versions[STUDENT].append(Version(since, packed))
        self.running = packed.model()


class Fleet:
    def __init__(self, prepared: Prepared, devices: Sequence[str]) -> None:
        """Raises ConfigError for cohorts that recordings do not tell."""
        self._prepared, self._settings = prepared, prepared.learner.pipeline.cohorts
        if self._settings.by not in (ALL, DEVICE, DRIFT):
            raise ConfigError(
                f"cohorts.by: recordings have no tag {self._settings.by!r}; what can be replayed is "
                "all, device and drift"
            )
        alone = self._settings.by == DEVICE
        self._stays = {device: [(-1, device if alone else ALL)] for device in devices}
        names = dict.fromkeys(stays[-1][1] for stays in self._stays.values())
        self.cohorts = {
            name: Cohort(prepared, {lane: [Version(-1, prepared.first)] for lane in LEARNING})
            for name in names
        }

    def of(self, device: str) -> str:
        return self._stays[device][-1][1]

    def devices(self, cohort: str) -> list[str]:
        return [device for device in self._stays if self.of(device) == cohort]

    @property
    def largest(self) -> Cohort:
        name, _ = Counter(self.of(device) for device in self._stays).most_common(1)[0]
        return self.cohorts[name]

    def cohorts_of(self, devices: NDArray[np.str_]) -> NDArray[np.str_]:
        names, places = np.unique(devices, return_inverse=True)
        return np.array([self.of(name) for name in names.tolist()], np.str_)[places]

    def rows(self, devices: NDArray[np.str_], cohort: str) -> NDArray[np.bool_]:
        return np.asarray(self.cohorts_of(devices) == cohort)

    def moves(self, material: Material) -> dict[str, str]:
        """Device → cohort, by what their windows have become like; nothing where that does not count."""
        if self._settings.by != DRIFT:
            return {}
        now = {device: self.of(device) for device in self._stays}
        return clusters.moves(material, self._prepared.learner.bootstrap, self._settings, now)

    def move(self, moves: dict[str, str], now: int) -> list[str]:
        """From `now` (ns) on; returns the cohorts that are new. Each begins with what the first of its
        devices ran."""
        new = [name for name in dict.fromkeys(moves.values()) if name not in self.cohorts]
        for name in new:
            parent = self.cohorts[self.of(next(device for device, to in moves.items() if to == name))]
            first = {lane: [Version(now, parent.newest(lane))] for lane in LEARNING}
            self.cohorts[name] = Cohort(self._prepared, first)
        for device, name in moves.items():
            self._stays[device].append((now, name))
        return new

    def speak(self, lane: str, stream: Stream) -> NDArray[np.int64]:
        """Of each window the word of the version that was active at its end, in its device's cohort."""
        said = np.full(len(stream), labelling.NO_LABEL)
        where = self._where(stream)
        for name, cohort in self.cohorts.items():
            mine = np.flatnonzero(where == name)
            begins = np.array([version.since for version in cohort.versions[lane]], np.int64)
            active = np.maximum(np.searchsorted(begins, stream.ends[mine], side="left") - 1, 0)
            for number in np.unique(active).tolist():
                rows = mine[active == number]
                model = cohort.versions[lane][number].packed.model()
                said[rows] = labelling.named(model.logits(stream.x[rows]))
        return said

    def _where(self, stream: Stream) -> NDArray[np.str_]:
        """The cohort of each window's device at the window's end."""
        where = np.empty(len(stream), object)
        for device, stays in self._stays.items():
            rows = np.flatnonzero(stream.devices == device)
            begins = np.array([since for since, _ in stays], np.int64)
            place = np.searchsorted(begins, stream.ends[rows], side="left") - 1
            where[rows] = np.array([name for _, name in stays], object)[place]
        return where.astype(np.str_)

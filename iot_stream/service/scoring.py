"""What teacher and rivals say of every window, kept in the store, so that none is passed twice; and what a
round may learn from."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.config import Pipeline
from iot_stream.cut import Cut
from iot_stream.device.model import Model
from iot_stream.distill import sampler
from iot_stream.distill.material import Material
from iot_stream.distill.teachers import Teacher
from iot_stream.readings import Values
from iot_stream.service import learning
from iot_stream.service.watching import Watching
from iot_stream.store import Store
from iot_stream.store.journal import WindowSet

SCORE = 4096
TEACHER = "teacher"


def newest(store: Store, name: str, pipeline: Pipeline, cut: Cut) -> WindowSet:
    """As many of a pipeline's windows as a round looks at."""
    shape = (cut.length, len(cut.inputs))
    return store.journal.windows(name, cut.id, shape, newest=sampler.reach(pipeline.sample))


class Scoring:
    """`teacher` as the last round left it; `scored`: of each device the windows on which it has a
    word; `excluded` windows that are not in the last material. `watching` is told of everything, where a
    trigger wants it."""

    def __init__(
        self,
        store: Store,
        name: str,
        pipeline: Pipeline,
        teacher: Teacher,
        rivals: Mapping[str, Model],
        watching: Watching | None,
    ) -> None:
        self._store, self._name, self._pipeline = store, name, pipeline
        self._student_cut, self._teacher_cut = pipeline.cut(pipeline.student), pipeline.cut(pipeline.teacher)
        self.teacher, self._rivals, self._watching = teacher, rivals, watching
        registry, speaker = store.registry, self._model_name(TEACHER)
        registry.set_teacher(name, teacher.key)
        self._teacher_at = registry.scored_up_to(name, speaker, self._teacher_cut.id)
        static = self._model_name(learning.STATIC)
        self._student_at = registry.scored_up_to(name, static, self._student_cut.id)
        self._silence = np.full(len(pipeline.classes), np.nan, np.float32)
        self.scored = Counter(registry.output_counts(name, speaker, self._silence.tobytes()))
        self.excluded = 0

    def hear_teacher(self) -> None:
        """Raises TeacherAway where it cannot speak now: the windows wait for it."""
        while self._score_next(TEACHER):
            pass

    def hear_rivals(self) -> None:
        while self._score_next(*self._rivals):
            pass

    def _score_next(self, *models: str) -> int:
        teacher = models == (TEACHER,)
        cut = self._teacher_cut if teacher else self._student_cut
        after = self._teacher_at if teacher else self._student_at
        windows = self._store.journal.windows(
            self._name, cut.id, (cut.length, len(cut.inputs)), after=after, limit=SCORE
        )
        if not len(windows):
            return 0
        rows = []
        for model in models:
            logits = self.teacher.logits(windows.x) if teacher else self._rivals[model].logits(windows.x)
            spoken = labelling.spoken(logits)
            logits = np.where(spoken[:, None], logits, self._silence)
            label = self._model_name(model)
            if self._watching and teacher:
                self._watching.heard(windows, logits)
            columns = (
                windows.devices.tolist(),
                windows.ends.tolist(),
                windows.starts.tolist(),
                windows.arrived.tolist(),
            )
            rows += [
                (self._name, label, device, end, start, arrived, content)
                for device, end, start, arrived, content in zip(*columns, _bytes_of(logits), strict=True)
            ]
        with self._store.write() as tx:
            self._store.registry.add_outputs(tx, rows)
        if teacher:
            self._teacher_at = int(windows.ids[-1])
            self.scored.update(windows.devices[spoken].tolist())
        else:
            self._student_at = int(windows.ids[-1])
            if self._watching:
                self._watching.cut(windows)
        return len(windows)

    def _model_name(self, model: str) -> str:
        """Outputs are kept by what made them: another teacher's word is not this one's."""
        return f"{model}:{self.teacher.key[:16]}"

    def material(self) -> Material:
        """All stored windows that the teacher has spoken on, with the labels that have come."""
        cut, classes = self._student_cut, self._pipeline.classes
        windows = self._newest(cut)
        since = int(windows.ends.min()) if len(windows) else 0
        said = self._store.registry.outputs(self._name, self._model_name(TEACHER), since)
        place = {(device, start): i for i, (device, _, start, _, _) in enumerate(said)}
        keys = zip(windows.devices.tolist(), windows.starts.tolist(), strict=True)
        found = np.array([place.get(key, -1) for key in keys], np.int64)
        windows = windows.rows(found >= 0)
        logits = _logits_of([said[i][4] for i in found[found >= 0]], len(classes))
        heard = labelling.spoken(logits)
        windows, logits = windows.rows(heard), logits[heard]
        keep = self._store.scope.allowed(self._name, windows.devices, windows.starts, windows.ends)
        self.excluded = int((~keep).sum())
        windows, logits = windows.rows(keep), logits[keep]
        labels, mixed = labelling.join(
            windows.devices, windows.starts, windows.ends, self._store.journal.labels(self._name)
        )
        labels[mixed] = labelling.NO_LABEL
        material = Material(windows.devices, windows.starts, windows.ends, windows.x, logits, labels)
        return self._with_teacher_x(material)

    def _newest(self, cut: Cut) -> WindowSet:
        return newest(self._store, self._name, self._pipeline, cut)

    def _with_teacher_x(self, material: Material) -> Material:
        windows = self._newest(self._teacher_cut)
        keys = zip(windows.devices.tolist(), windows.starts.tolist(), strict=True)
        place = {key: row for row, key in enumerate(keys)}
        keys = zip(material.devices.tolist(), material.starts.tolist(), strict=True)
        found = np.array([place.get(key, -1) for key in keys], np.int64)
        return replace(material.rows(found >= 0), teacher_x=windows.x[found[found >= 0]])


def _bytes_of(logits: Values) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(logits, np.float32)]


def _logits_of(rows: list[bytes], classes: int) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), classes)

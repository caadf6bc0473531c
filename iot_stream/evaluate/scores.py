"""What everyone said of every stored window, beside the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.config import Pipeline
from iot_stream.evaluate.persistence import Word, repeated
from iot_stream.readings import Label, Times
from iot_stream.store import Store

NOTHING = -1


@dataclass(frozen=True)
class Scores:
    """n windows in order of their end: truth and each rival's class, −1 where there is none."""

    devices: NDArray[np.str_]
    starts: Times
    ends: Times
    truth: NDArray[np.int64]
    said: dict[str, NDArray[np.int64]]
    versions: NDArray[np.int64]  # of the student, 0 where it said nothing

    def __len__(self) -> int:
        return len(self.ends)

    def rows(self, keep: NDArray[np.bool_]) -> "Scores":
        said = {name: values[keep] for name, values in self.said.items()}
        return Scores(
            self.devices[keep],
            self.starts[keep],
            self.ends[keep],
            self.truth[keep],
            said,
            self.versions[keep],
        )


def collect(
    store: Store, name: str, pipeline: Pipeline, truth: list[Label], teacher: str, newest: int = 0
) -> Scores:
    """`truth` from a ledger or the labels; `teacher`: the key of its outputs; `newest` 0: all windows."""
    cut = pipeline.cut(pipeline.student)
    windows = store.journal.windows(
        name, cut.id, (cut.length, len(cut.inputs)), newest=newest, limit=10_000_000
    )
    windows = windows.rows(np.argsort(windows.ends, kind="stable"))
    true, _ = labelling.join(windows.devices, windows.starts, windows.ends, truth)
    since = int(windows.ends[0]) if len(windows) else 0
    place = {
        key: i for i, key in enumerate(zip(windows.devices.tolist(), windows.ends.tolist(), strict=True))
    }
    student, versions = _student(store, name, place, since)
    said = {"student": student}
    for model in ("static", "static_all"):
        rows = store.registry.outputs(name, f"{model}:{teacher[:16]}", since)
        said[model] = _classes(rows, place, len(windows))
    words = store.registry.outputs(name, f"teacher:{teacher[:16]}", since)
    said["teacher"] = _classes(words, place, len(windows))
    heard = [
        Word(came, end, device, int(np.frombuffer(logits, np.float32).argmax()))
        for device, end, _, came, logits in words
        if np.isfinite(np.frombuffer(logits, np.float32)).all()
    ]
    said["persistence"] = repeated(windows.devices, windows.ends, windows.arrived, heard)
    return Scores(windows.devices, windows.starts, windows.ends, true, said, versions)


def _student(
    store: Store, name: str, place: dict[tuple[str, int], int], since: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    said = np.full(len(place), NOTHING, np.int64)
    versions = np.zeros(len(place), np.int64)
    for prediction in store.journal.predictions(name, since):
        i = place.get((prediction.device, prediction.time))
        if i is not None:
            said[i], versions[i] = prediction.value, prediction.version
    return said, versions


def _classes(
    rows: list[tuple[str, int, int, int, bytes]], place: dict[tuple[str, int], int], count: int
) -> NDArray[np.int64]:
    said = np.full(count, NOTHING, np.int64)
    for device, end, _, _, logits in rows:
        i = place.get((device, end))
        if i is not None:
            said[i] = labelling.named(np.frombuffer(logits, np.float32)[None])[0]
    return said

"""Stored windows with all that is known of them, a batch at a time, so that any number fits in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.config import Network, Pipeline
from iot_stream.labelling import NO_LABEL
from iot_stream.readings import Label, Times, Values
from iot_stream.store import Store
from iot_stream.store.journal import Prediction, WindowSet

BATCH = 4096
TEACHER = "teacher"


@dataclass(frozen=True)
class Batch:
    """Windows (n,) of many devices, in the order in which they were cut.

    Attributes:
        x: (n, length, inputs) float32 as they were read, NaN where a value is missing.
        devices: the device of each.
        starts, ends: times of its first and last reading, in ns since 1970 UTC.
        labels: the class at its end as an index, −1 where nobody knows.
        mixed: whether the label changes inside; such a window is scored, but not learnt from.
        said, p, versions: the class that the device named, how sure it was, and the version that it ran;
            −1, NaN and 0 where it has said nothing.
        teacher: the class that the teacher names, −1 where it has not spoken.
    """

    x: Values
    devices: NDArray[np.str_]
    starts: Times
    ends: Times
    labels: NDArray[np.int64]
    mixed: NDArray[np.bool_]
    said: NDArray[np.int64]
    p: NDArray[np.float32]
    versions: NDArray[np.int64]
    teacher: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Batch":
        """Some of them."""
        return Batch(*(getattr(self, field.name)[keep] for field in fields(self)))

    @classmethod
    def together(cls, batches: list["Batch"]) -> "Batch":
        """Several as one; there is at least one."""
        return cls(*(np.concatenate([getattr(b, f.name) for b in batches]) for f in fields(cls)))


def batches(
    store: Store, name: str, pipeline: Pipeline, network: Network, *, newest: int = 0, size: int = BATCH
) -> Iterator[Batch]:
    """Windows of one of the pipeline's networks, all or the `newest` so many, oldest first.

    The last batch may be smaller; where there is no window there is one batch of none.
    """
    cut = pipeline.cut(network)
    shape = cut.length, len(cut.inputs)
    teacher = _teacher_of(store, name)
    after = _before_newest(store, name, cut.id, newest) if newest else 0
    while True:
        found = store.journal.windows(name, cut.id, shape, after=after, limit=size)
        if len(found) or not after:
            yield _with_all_known(store, name, found, teacher)
        if len(found) < size:
            return
        after = int(found.ids[-1])


def _with_all_known(store: Store, name: str, found: WindowSet, teacher: str) -> Batch:
    count = len(found)
    labels, mixed = np.full(count, NO_LABEL), np.zeros(count, bool)
    said, versions = np.full(count, NO_LABEL), np.zeros(count, np.int64)
    p, taught = np.full(count, np.nan, np.float32), np.full(count, NO_LABEL)
    for device in np.unique(found.devices).tolist():
        rows = np.flatnonzero(found.devices == device)
        starts, ends = found.starts[rows], found.ends[rows]
        since, until = int(starts.min()), int(ends.max())
        known = _labels(store, name, device, since, until)
        labels[rows], mixed[rows] = labelling.join(found.devices[rows], starts, ends, known)
        place = dict(zip(ends.tolist(), rows.tolist(), strict=True))
        for each in _predictions(store, name, device, since, until):
            if (row := place.get(each.time)) is not None:
                said[row], p[row], versions[row] = each.value, each.p, each.version
        spoken = [
            (place[end], logits)
            for end, logits in _outputs(store, name, teacher, device, since, until)
            if end in place
        ]
        if spoken:
            logits = np.frombuffer(b"".join(row[1] for row in spoken), np.float32).reshape(len(spoken), -1)
            taught[[row[0] for row in spoken]] = labelling.named(logits)
    return Batch(found.x, found.devices, found.starts, found.ends, labels, mixed, said, p, versions, taught)


def _teacher_of(store: Store, name: str) -> str:
    """The name under which the present teacher's outputs are kept; nothing has it before there is one."""
    return f"{TEACHER}:{store.registry.teacher(name)[:16]}"


# --- by keys of the store, so that a batch costs the same however much there is; bounds are included ---


def _before_newest(store: Store, name: str, cut: str, count: int) -> int:
    """The id beyond which there are the newest so many windows."""
    query = "SELECT id FROM windows WHERE pipeline = ? AND cut = ? ORDER BY id DESC LIMIT 1 OFFSET ?"
    rows = store.read(query, name, cut, count)
    return int(rows[0][0]) if rows else 0


def _labels(store: Store, name: str, device: str, since: int, until: int) -> list[Label]:
    query = (
        'SELECT device, start, "end", value FROM labels WHERE pipeline = ? AND device = ?'
        ' AND start <= ? AND "end" >= ? ORDER BY start'
    )
    return [Label(*row) for row in store.read(query, name, device, until, since)]


def _predictions(store: Store, name: str, device: str, since: int, until: int) -> list[Prediction]:
    query = (
        "SELECT device, time, version, value, p FROM predictions"
        " WHERE pipeline = ? AND device = ? AND time BETWEEN ? AND ?"
    )
    return [Prediction(*row) for row in store.read(query, name, device, since, until)]


def _outputs(
    store: Store, name: str, model: str, device: str, since: int, until: int
) -> list[tuple[int, bytes]]:
    """(end, logits)"""
    query = (
        'SELECT "end", logits FROM outputs'
        ' WHERE pipeline = ? AND model = ? AND device = ? AND "end" BETWEEN ? AND ?'
    )
    return store.read(query, name, model, device, since, until)

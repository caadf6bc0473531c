"""Is the student as good as promised: right by the labels, and at one with the teacher, of late.

All are held against each other on the same windows: teacher and static are asked later than the device
speaks, so that the newest windows, which may be the hard ones, are told by the student alone."""

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from iot_stream import labelling
from iot_stream.store import Store
from iot_stream.watch.metrics import Sample

NEWEST = 1000  # labels, or predictions: enough for a percent, few enough to ask for every time
STUDENT, STATIC, TEACHER = "student", "static", "teacher"

Window = tuple[str, int]  # device and end


def rivals_of(store: Store, pipeline: str) -> tuple[str, str] | None:
    """Under which names static and teacher stand among the outputs; None before there is a teacher."""
    key = store.registry.teacher(pipeline)[:16]
    return (f"{STATIC}:{key}", f"{TEACHER}:{key}") if key else None


def samples(store: Store, pipeline: str) -> Iterator[Sample]:
    rivals = rivals_of(store, pipeline)
    if rivals is None:
        return
    yield from _accuracy(store, pipeline, rivals)
    yield from _agreement(store, pipeline, rivals)


def _accuracy(store: Store, pipeline: str, rivals: tuple[str, str]) -> Iterator[Sample]:
    judged: dict[str, dict[Window, tuple[int, int]]] = {}  # model → window → what it said, what is true
    for device, end, value, label in store.overview.predictions_under(pipeline, NEWEST):
        judged.setdefault(STUDENT, {}).setdefault((device, end), (value, label))
    rows = store.overview.outputs_under(pipeline, rivals, NEWEST)
    for (model, device, end, _, label), value in zip(rows, named(row[3] for row in rows), strict=True):
        if value != labelling.NO_LABEL:
            judged.setdefault(_bare(model), {}).setdefault((device, end), (value, label))
    common = set.intersection(*map(set, judged.values())) if judged else set()
    for model, windows in judged.items() if common else ():
        all_, right = Counter[int](), Counter[int]()
        for value, label in map(windows.__getitem__, common):
            all_[label] += 1
            right[label] += value == label
        balanced = sum(right[label] / n for label, n in all_.items()) / len(all_)
        yield Sample("accuracy_ratio", right.total() / all_.total(), (pipeline, model))
        yield Sample("balanced_accuracy_ratio", balanced, (pipeline, model))
        yield Sample("judged_windows", all_.total(), (pipeline, model))


def _agreement(store: Store, pipeline: str, rivals: tuple[str, str]) -> Iterator[Sample]:
    said: dict[str, dict[Window, int]] = {STUDENT: {}, STATIC: {}, TEACHER: {}}
    for device, end, value in store.overview.newest_predictions(pipeline, NEWEST):
        said[STUDENT][device, end] = value
    rows = store.overview.outputs_beside(pipeline, rivals, NEWEST)
    for row, value in zip(rows, named(row.logits for row in rows), strict=True):
        if value != labelling.NO_LABEL:
            said[_bare(row.model)][row.device, row.end] = value
    spoken = [windows.keys() for windows in said.values() if windows]
    common = set.intersection(*map(set, spoken)) if said[TEACHER] else set()
    for model in (STUDENT, STATIC):
        if common and said[model]:
            same = sum(said[model][window] == said[TEACHER][window] for window in common)
            yield Sample("agreement_ratio", same / len(common), (pipeline, model))


def named(logits: Iterable[bytes]) -> list[int]:
    """The class that each row names, −1 where it says nothing."""
    rows = list(logits)
    if not rows:
        return []
    named = labelling.named(np.frombuffer(b"".join(rows), np.float32).reshape(len(rows), -1))
    found: list[int] = named.tolist()
    return found


def _bare(model: str) -> str:
    """Without the key of its teacher."""
    return model.partition(":")[0]

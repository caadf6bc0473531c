"""Without recordings: the first student is distilled on the first windows that the teacher has taught."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import safetensors.numpy

from iot_stream.config import Pipeline
from iot_stream.distill.teachers import Teacher
from iot_stream.errors import NotTaughtYet
from iot_stream.labelling import enough_classes, named
from iot_stream.service.bootstrap import Bootstrap
from iot_stream.service.models import Models

KIND = "cold start"


def bootstrap(
    models: Models, name: str, pipeline: Pipeline, teacher: Teacher, heard: Callable[[], Bootstrap]
) -> Bootstrap:
    """As it was when it first was enough, whatever has been heard since; raises NotTaughtYet."""
    key = f"{name}:{KIND}:{pipeline.cut(pipeline.student).id}:{teacher.key}"
    kept = models.model(key)
    if kept:
        arrays = safetensors.numpy.load(kept[0])
        return Bootstrap(devices=np.array(kept[1]["devices"], np.str_), **arrays)
    found = heard()
    said = named(teacher.logits(found.teacher_x))
    counts = np.bincount(said[said >= 0], minlength=len(pipeline.classes))
    n_min = pipeline.gate.n_min
    if counts.sum() < n_min or not enough_classes(said, n_min):
        so_far = ", ".join(f"{n} {each}" for n, each in zip(counts.tolist(), pipeline.classes, strict=True))
        topic = pipeline.teacher.topic
        if topic is not None and len(found.ends) and not counts.any():
            so_far += f"; {len(found.ends)} windows have come, none that a word on {topic.topic} belongs to"
        raise NotTaughtYet(
            f"waiting for the teacher: {n_min} windows of at least two classes are needed, so far {so_far}"
        )
    taught = found.rows(said >= 0)
    arrays = {field.name: getattr(taught, field.name) for field in fields(taught) if field.name != "devices"}
    report = {"devices": taught.devices.tolist(), "windows": len(taught.ends)}
    models.put_model(key, KIND, safetensors.numpy.save(arrays), report)
    return taught

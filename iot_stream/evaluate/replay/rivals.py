"""The rivals that learn: same rounds, same steps, other material, no gate to hold them back."""

from dataclasses import replace

import msgspec
import numpy as np

from iot_stream.config.learning import DistillSettings
from iot_stream.distill import sampler
from iot_stream.distill.material import Material
from iot_stream.distill.student import Packed
from iot_stream.service.stages import Learner

LABELS_ONLY, CONTROL = "labels_only", "control"


def labels_only(learner: Learner, running: Packed, stream: Material, now: int, seed: int) -> Packed:
    """The round's steps on labels alone: those of the stream that have come, and the bootstrap's.

    Without a late label there is nothing to learn, and the student stays as it is.
    """
    fresh = stream.rows(stream.labels >= 0)
    if not len(fresh):
        return running
    known = learner.bootstrap.rows(learner.bootstrap.labels >= 0)
    settings = msgspec.structs.replace(
        learner.pipeline.distill, alpha=0.0, beta=learner.pipeline.distill.beta or 1.0
    )
    return _round(learner, running, _by_label(fresh), _by_label(known), settings, now, seed)


def control(learner: Learner, running: Packed, now: int, seed: int) -> Packed:
    """The round's steps on the bootstrap alone: what further training does by itself."""
    nothing = learner.bootstrap.rows(np.zeros(len(learner.bootstrap), bool))
    return _round(learner, running, nothing, learner.bootstrap, learner.pipeline.distill, now, seed)


def _by_label(material: Material) -> Material:
    """Without a teacher's word: classes, by which the reservoir is balanced, are the labels'."""
    classes = material.logits.shape[1]
    return replace(material, logits=np.eye(classes, dtype=np.float32)[material.labels])


def _round(
    learner: Learner,
    running: Packed,
    stream: Material,
    bootstrap: Material,
    settings: DistillSettings,
    now: int,
    seed: int,
) -> Packed:
    batch = sampler.draw(stream, bootstrap, learner.pipeline.sample, now)
    architecture = learner.architecture
    net, _ = architecture.further(
        running.resume, batch.material, batch.weights, settings, seed, learner.anchor
    )
    return architecture.pack(net)

"""Small material and students for the tests of explanations."""

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import DistillSettings
from iot_stream.cut import Cut
from iot_stream.distill.explain.account import Evidence
from iot_stream.distill.material import Material
from iot_stream.distill.sampler import Batch
from iot_stream.distill.student import Architecture, Packed, spec_for

CLASSES = ("empty", "occupied")
SECOND = 1_000_000_000
SETTINGS = DistillSettings(first_steps=300, steps=60, batch=64, rate=0.02)


def material(x: NDArray[np.floating], truth: NDArray[np.int64], begin: int = 0, device: str = "") -> Material:
    """Windows a second apart, of one device or of two in turn; the teacher is sure of the truth."""
    count = len(x)
    starts = (begin + np.arange(count)) * SECOND
    devices = np.array([device or f"room-{i % 2}" for i in range(count)])
    logits = np.where(np.arange(2) == truth[:, None], 4.0, 0.0).astype(np.float32)
    ends = starts + (x.shape[1] - 1) * SECOND // max(1, x.shape[1])
    return Material(devices, starts, ends, x.astype(np.float32), logits, np.full(count, -1, np.int64))


def readings(
    rng: np.random.Generator, count: int, telling: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Three inputs, one of which tells the class."""
    truth = rng.integers(0, 2, count)
    x = rng.standard_normal((count, 1, 3))
    x[:, 0, telling] += 4.0 * truth - 2.0
    return x, truth


def architecture(bootstrap: Material, inputs: tuple[str, ...], length: int = 1) -> Architecture:
    cut = Cut(inputs, inputs, length, length)
    return Architecture.of(Network("mlp"), spec_for(bootstrap, cut, CLASSES, False), 0)


def student(shape: Architecture, learnt: Material) -> Packed:
    net, _ = shape.first(learnt, SETTINGS, 0)
    return shape.pack(net)


def evidence(stream: Material, judged: Material, bootstrap: Material, since: int = 0) -> Evidence:
    batch = Batch(
        stream.and_then(bootstrap), np.ones(len(stream) + len(bootstrap)), len(stream), len(bootstrap)
    )
    everything = stream.and_then(judged)
    return Evidence(
        everything, stream, judged, judged.said, "teacher", batch, bootstrap, everything.ends > since
    )

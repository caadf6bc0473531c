"""Which encoding a candidate gets: by what the gate says of it, and by its bytes."""

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from iot_stream.artifact import blobs, delta
from iot_stream.config import Gate, Network, Pipeline, Source, Task, Window
from iot_stream.distill.material import Material
from iot_stream.distill.models import build
from iot_stream.distill.student import Architecture, Packed
from iot_stream.service import packing
from iot_stream.service.stages import Learner
from iot_stream.spec import Spec

CLASSES = ("a", "b", "c")
LENGTH, WINDOWS = 40, 400


def learner(hidden: int) -> Learner:
    """Of a student of one hidden layer, under a gate that lets out what is no worse."""
    network = Network("mlp", ("x", "y"), {"hidden": [hidden]})
    pipeline = Pipeline(
        window=Window(length=LENGTH),
        task=Task(classify=CLASSES),
        sources=(Source(channels={"x": "x", "y": "y"}),),
        student=network,
        gate=Gate(n_min=20, delta=0.05),
    )
    golden = windows(3).tobytes()
    spec = Spec(pipeline.cut(network), CLASSES, (0.0, 0.0), (1.0, 1.0), golden=golden)
    nothing: Any = None
    return Learner(pipeline, Architecture.of(network, spec, 0), nothing, b"", nothing, nothing)


def windows(count: int) -> np.ndarray:
    """Of two channels, the second always 0."""
    x = np.random.default_rng(count).normal(size=(count, LENGTH, 2)).astype(np.float32)
    x[:, :, 1] = 0
    return x


def net(hidden: int, seed: int = 0) -> nn.Module:
    return build("mlp", LENGTH, 2, 3, seed=seed, hidden=[hidden])


def changed(student: nn.Module, by: float) -> nn.Module:
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in student.parameters():
            weight += by * torch.randn_like(weight) ** 3 / 4 * weight.std()  # few change much, as in training
    return student


def judged_by(of: Learner, student: nn.Module) -> Material:
    """Windows on which this student is right."""
    x = windows(WINDOWS)
    times = np.arange(WINDOWS, dtype=np.int64)
    return Material(
        np.full(WINDOWS, "d"), times, times, x, of.architecture.logits(student, x), np.full(WINDOWS, -1)
    )


def chosen(of: Learner, candidate: nn.Module, running: Packed, judged: Material) -> packing.Choice:
    nothing = judged.rows(np.zeros(0, np.int64))
    return packing.Packing(of, of.architecture, candidate, running, judged, nothing).chosen()


def test_a_large_student_travels_as_a_change_that_makes_the_whole() -> None:
    of, hidden = learner(200), 200
    running = of.architecture.pack(net(hidden))
    candidate = changed(net(hidden), 0.03)
    judged = judged_by(of, candidate)
    choice = chosen(of, candidate, running, judged)
    assert choice.verdict.passed
    packed = choice.candidate
    assert packed.base == blobs.address(running.weights)
    assert delta.apply(running.weights, packed.delta) == packed.weights
    assert len(packed.delta) <= len(zlib.compress(of.architecture.pack(candidate).weights, 9)) / 2
    assert choice.told["delta_bytes"] == len(packed.delta)
    assert abs(choice.told["accuracy_change"]) <= packing.COST
    packed.model().self_test()


def test_a_small_one_goes_whole() -> None:
    of = learner(16)
    candidate = changed(net(16), 0.1)
    judged = judged_by(of, candidate)
    choice = chosen(of, candidate, of.architecture.pack(net(16)), judged)
    assert choice.verdict.passed
    assert choice.candidate.delta == b""
    assert choice.told == {"name": "int8", "bytes": len(choice.candidate.weights)}


def test_a_change_that_costs_accuracy_is_not_made() -> None:
    """Another student altogether: four bits cannot tell the way there."""
    of, hidden = learner(200), 200
    candidate = net(hidden, seed=5)
    judged = judged_by(of, candidate)
    choice = chosen(of, candidate, of.architecture.pack(net(hidden)), judged)
    assert choice.verdict.passed
    assert choice.candidate.delta == b""


def test_where_eight_bits_do_not_do_sixteen_are_taken() -> None:
    of, hidden = learner(16), 16
    running = of.architecture.pack(changed(net(hidden), 2.0))
    candidate = net(hidden)
    with torch.no_grad():  # a weight that nothing ever meets, beside which the others round to nothing
        first = next(weight for weight in candidate.parameters() if weight.ndim == 2)
        first[:, 1] = 2e4
    judged = judged_by(of, candidate)
    choice = chosen(of, candidate, running, judged)
    assert choice.verdict.passed
    assert choice.told["name"] == choice.candidate.encoding == "fp16"
    choice.candidate.model().self_test()
    with torch.no_grad():
        first[:, 1] = 1e6  # more than float16 holds
    assert not chosen(of, candidate, running, judged).verdict.passed


@pytest.mark.parametrize("hidden", [16, 200])
def test_what_the_gate_rejects_stays_rejected(hidden: int) -> None:
    of = learner(hidden)
    judged = judged_by(of, net(hidden))
    worse = changed(net(hidden), 3.0)
    choice = chosen(of, worse, of.architecture.pack(net(hidden)), judged)
    assert choice.verdict.outcome == "rejected"
    assert choice.candidate.encoding == "int8"

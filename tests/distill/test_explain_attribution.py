"""Integrated gradients against the axiom of completeness, and against what can be computed by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from iot_stream.distill.explain.attribution import Attribution, integrated
from iot_stream.distill.explain.bands import Bands
from iot_stream.distill.models import build


def linear(weights: list[list[float]]) -> nn.Module:
    layer = nn.Linear(len(weights[0]), 2, bias=True)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        layer.bias.copy_(torch.tensor([0.3, -0.7]))
    return nn.Sequential(nn.Flatten(), layer)


def test_of_a_linear_model_each_input_has_its_weight_times_its_value() -> None:
    model = linear([[1.0, -2.0, 0.0], [0.5, 1.0, 0.0]])
    x = np.array([[[2.0, 1.0, 9.0]], [[-1.0, -3.0, 5.0]]], np.float32)
    found = integrated(model, x, None)
    # Two classes: the log-odds are the difference of the logits, here with slopes 0.5 and -3.
    named = [1, 0]
    for row, sign in enumerate([-1 if k == 1 else 1 for k in named]):
        np.testing.assert_allclose(
            found.parts[row, :, 0], sign * np.array([0.5, -3.0, 0.0]) * x[row, 0], atol=1e-5
        )
    assert found.gap < 1e-6
    np.testing.assert_allclose(found.shares((2,))[2], 0.0, atol=1e-9)


@pytest.mark.parametrize("arch", ["mlp", "mobilenet1d", "resnet1d"])
@pytest.mark.parametrize("classes", [2, 5])
def test_attributions_add_up_to_the_decision(arch: str, classes: int) -> None:
    model = build(arch, length=32, channels=3, classes=classes, seed=1)
    x = np.random.default_rng(0).standard_normal((12, 32, 3)).astype(np.float32)
    bands = Bands.of(32, 0.01)
    assert bands is not None
    found = integrated(model, x, bands, points=64)
    assert found.parts.shape == (12, 3, len(bands.names))
    scale = np.abs(found.whole).max()
    np.testing.assert_allclose(found.parts.sum(axis=(1, 2)), found.whole, atol=0.05 * scale)
    assert found.gap < 0.05


def test_by_frequency_nothing_is_lost() -> None:
    model = build("mlp", length=33, channels=2, classes=3, seed=0)
    x = np.random.default_rng(3).standard_normal((6, 33, 2)).astype(np.float32)
    whole = integrated(model, x, None)
    by_band = integrated(model, x, Bands.of(33, 1.0))
    np.testing.assert_allclose(by_band.parts.sum(axis=2), whole.parts[:, :, 0], rtol=1e-6, atol=1e-9)


def test_batches_change_nothing_and_the_model_stays_as_it_was() -> None:
    model = build("mobilenet1d", length=32, channels=2, classes=2, seed=0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = np.random.default_rng(1).standard_normal((7, 32, 2)).astype(np.float32)
    one, other = (integrated(model, x, None, batch=batch) for batch in (5, 4096))
    np.testing.assert_allclose(one.parts, other.parts, rtol=1e-4, atol=1e-5)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_shares_of_nothing_are_nothing() -> None:
    nothing = Attribution(np.zeros((3, 2, 1)), np.zeros(3))
    assert nothing.gap == 0
    assert nothing.shares((2,)).tolist() == [0.0, 0.0]


@settings(max_examples=60)
@given(length=st.integers(8, 300), period=st.one_of(st.just(0.0), st.floats(1e-9, 1e5)))
def test_each_frequency_is_in_one_band(length: int, period: float) -> None:
    bands = Bands.of(length, period)
    assert bands is not None
    assert (bands.masks.sum(axis=0) == 1).all()
    assert len(bands.names) == len(set(bands.names)) == len(bands.masks)


@pytest.mark.parametrize(
    ("length", "period", "names"),
    [
        (256, 1 / 12_800, ("level", "50–100 Hz", "150–500 Hz", "0.55–1.85 kHz", "1.9–6.4 kHz")),
        (8, 3600.0, ("level", "swings of 8 h", "swings of 4 h", "swings of 2 h to 2.67 h")),
    ],
)
def test_bands_are_named_as_a_person_says_it(length: int, period: float, names: tuple[str, ...]) -> None:
    bands = Bands.of(length, period)
    assert bands is not None
    assert bands.names == names
    assert Bands.of(7, period) is None


def test_a_pure_tone_is_in_its_own_band() -> None:
    bands = Bands.of(64, 1 / 64)
    assert bands is not None
    tone = np.sin(2 * np.pi * 20 * np.arange(64) / 64)[None, :, None] * 3
    strengths = bands.strengths(tone)[0, 0]
    assert np.argmax(strengths) == next(i for i, n in enumerate(bands.names[1:]) if n == "14–32 Hz")
    np.testing.assert_allclose(strengths.max(), 3 / np.sqrt(2))
    np.testing.assert_allclose(np.sort(strengths)[:-1], 0, atol=1e-9)

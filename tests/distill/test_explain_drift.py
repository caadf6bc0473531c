"""Distances against scipy's, and what counts as drift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import wasserstein_distance

from iot_stream.config import Network
from iot_stream.cut import Cut
from iot_stream.distill.explain import drift, words
from iot_stream.distill.explain.bands import Bands
from iot_stream.distill.explain.distances import GRID, quantiles, wasserstein
from iot_stream.distill.explain.units import Units
from iot_stream.distill.explain.why import Drift
from iot_stream.spec import Spec
from tests.distill.explaining import CLASSES, material

UNITS = Units(("heat", "noise", "light"), np.arange(3))


def drifted(
    recent: np.ndarray, bootstrap: np.ndarray, before: np.ndarray | None = None, bands: Bands | None = None
) -> Drift:
    older = bootstrap[:0] if before is None else before
    boot, late, old = (material(x, np.zeros(len(x), np.int64)) for x in (bootstrap, recent, older))
    return drift.measured(boot, late, old, UNITS, bands)


@settings(max_examples=25)
@given(
    arrays.arrays(np.float64, GRID, elements=st.floats(-1e3, 1e3)),
    arrays.arrays(np.float64, GRID, elements=st.floats(-1e3, 1e3)),
)
def test_the_distance_of_samples_of_the_grids_size_is_exact(a: np.ndarray, b: np.ndarray) -> None:
    found = wasserstein(quantiles(a[:, None]), quantiles(b[:, None]))[0]
    assert found == pytest.approx(wasserstein_distance(a, b), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("m", "n"), [(5000, 700), (97, 4000), (30, 30)])
def test_the_distance_of_other_samples_is_close(m: int, n: int) -> None:
    rng = np.random.default_rng(m)
    a, b = rng.standard_normal(m), 1.5 * rng.standard_normal(n) + 0.7
    found = wasserstein(quantiles(a[:, None]), quantiles(b[:, None]))[0]
    assert found == pytest.approx(wasserstein_distance(a, b), abs=0.02)


def test_missing_values_are_left_out_and_nothing_gives_no_distance() -> None:
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    found = quantiles(values)
    assert found[0, 0] == 1.0
    assert found[-1, 0] == 3.0
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(quantiles(np.zeros((0, 2)))).all()


def test_a_shift_is_told_in_standard_deviations_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    bootstrap = rng.standard_normal((800, 1, 3)) * [1.0, 5.0, 1.0] + [0.0, 20.0, 3.0]
    recent = rng.standard_normal((400, 1, 3)) * [1.0, 5.0, 1.0] + [0.0, 29.0, 3.0]
    found = drifted(recent, bootstrap)
    assert next(iter(found.channels)) == "noise"
    assert found.channels["noise"].distance == pytest.approx(9 / 5, abs=0.15)
    (sentence,) = words.drift(found, 400)
    assert sentence.startswith(
        "What drifted from the bootstrap, in 400 windows since the last round: noise by 1."
    )
    assert "heat" not in sentence


def test_what_the_bootstrap_itself_does_is_no_drift() -> None:
    """Days and nights: a night alone is far from the whole, but nights were in the bootstrap."""
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(8) % 2, 100)
    bootstrap = rng.standard_normal((800, 1, 3)) + 3.0 * day[:, None, None]
    night = rng.standard_normal((100, 1, 3))
    found = drifted(night, bootstrap)
    assert found.channels["heat"].distance > 0.5
    (sentence,) = words.drift(found, 100)
    assert sentence.startswith("Nothing drifted beyond what the bootstrap itself varies by")


def test_an_old_drift_is_not_called_new() -> None:
    rng = np.random.default_rng(2)
    bootstrap, before, recent = (
        rng.standard_normal((300, 1, 3)) + np.array([0.0, 0.0, far]) for far in (0.0, 2.0, 2.0)
    )
    told = words.drift(drifted(recent, bootstrap, before), 300)
    assert "light by 2.1 standard deviations" in told[0]
    assert told[1].startswith("It is not new")
    told = words.drift(drifted(recent, bootstrap, bootstrap), 300)
    assert told[1].startswith("New since the round before: light moved by 2.")


def test_a_channel_that_falls_silent_is_told() -> None:
    rng = np.random.default_rng(3)
    bootstrap, recent = (rng.standard_normal((200, 1, 3)) for _ in range(2))
    recent[:, :, 1] = np.nan
    found = drifted(recent, bootstrap)
    assert found.channels["noise"].distance == 0
    assert "noise is missing in 100 % of recent readings (0 % in the bootstrap)." in words.drift(found, 200)


def test_a_constant_that_moves_is_told_in_its_own_unit() -> None:
    bootstrap, recent = np.zeros((100, 1, 3)), np.zeros((100, 1, 3))
    recent[:, :, 2] = 40.0
    (sentence,) = words.drift(drifted(recent, bootstrap), 100)
    assert "light, which never changed in the bootstrap, by 40 in its own unit" in sentence


def test_a_new_hum_is_found_at_its_frequency() -> None:
    rng = np.random.default_rng(4)
    bands = Bands.of(64, 1 / 64)
    bootstrap, recent = (rng.standard_normal((200, 64, 3)) for _ in range(2))
    recent[:, :, 1] += np.sin(2 * np.pi * 20 * np.arange(64) / 64)
    found = drifted(recent, bootstrap, bands=bands)
    assert found.bands[0][:2] == ("noise", "14–32 Hz")
    said = words.drift(found, 200)
    assert said[0].startswith(
        "In 200 windows since the last round, swings changed in strength: of noise at 14–32 Hz"
    )
    assert not any("Nothing drifted" in sentence for sentence in said)


def test_too_few_windows_are_said_to_be_too_few() -> None:
    assert words.drift(None, 7) == ["Only 7 windows came since the last round: too few to say what drifted."]
    assert words.drift(None, 0) == ["No window came since the last round: too few to say what drifted."]


def test_pictures_are_told_by_region() -> None:
    inputs = tuple(f"p{i}" for i in range(6 * 6))
    cut = Cut(inputs, inputs, 1, 1)
    spec = Spec(cut, CLASSES, (0.0,) * 36, (1.0,) * 36)
    units = Units.of_model(Network("mobilenet_v2", (), (("width", 6),)), spec)
    assert units.names == (
        *("top left", "top", "top right", "left", "middle", "right"),
        *("bottom left", "bottom", "bottom right"),
    )
    picture = np.zeros((1, 1, 36), np.float32)
    picture.reshape(6, 6)[4:, :2] = 1.0
    assert units.means(picture)[0, 0].tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert units.added(picture[0].astype(np.float64))[0].tolist() == [0, 0, 0, 0, 0, 0, 4, 0, 0]
    assert Units.of_model(Network("mlp"), spec).names == inputs

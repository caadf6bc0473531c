"""Derived channels against their formulas, computed the slow way."""

import math

import numpy as np
import pytest

from iot_stream.derive import FUNCTIONS, Derived
from iot_stream.errors import ConfigError

RNG = np.random.default_rng(0)
TIMES = np.cumsum(RNG.integers(1, 90, 200)) * 1_000_000_000 + 1_424_357_000_000_000_000
X = RNG.normal(400, 120, 200)
Y = RNG.uniform(5, 95, 200)
X[[0, 17, 18, 199]] = np.nan
TAU = 600 * 1_000_000_000


def moving_mean(x: np.ndarray) -> np.ndarray:
    """m ← m + (1 − exp(−Δt/τ))·(x − m), Δt since the last known value."""
    out, mean, last = np.full(len(x), np.nan), math.nan, 0
    for i in range(len(x)):
        if not math.isnan(x[i]):
            share = 1 - math.exp(-(int(TIMES[i]) - last) / TAU)
            mean = x[i] if math.isnan(mean) else mean + share * (x[i] - mean)
            last = int(TIMES[i])
            out[i] = mean
    return out


def differences(x: np.ndarray) -> np.ndarray:
    out, last = np.full(len(x), np.nan), math.nan
    for i in range(len(x)):
        if not math.isnan(x[i]):
            out[i] = 0 if math.isnan(last) else x[i] - last
            last = x[i]
    return out


def humidity(t: float, rh: float) -> float:
    """Vapour pressure over R_v·T: 216.7·e/T with e in hPa."""
    return 216.7 * rh / 100 * 6.112 * math.exp(17.62 * t / (243.12 + t)) / (273.15 + t)


ORACLES = {
    "log(x)": np.log(np.maximum(X, 1e-6)),
    "log1p(x)": np.array([math.copysign(math.log(1 + abs(v)), v) for v in X]),
    "diff(x)": differences(X),
    "absolute_humidity(x, y)": np.array([humidity(t, rh) for t, rh in zip(X, Y, strict=True)]),
    "ema(x, 10 min)": moving_mean(X),
    "minus_ema(x, 10 min)": X - moving_mean(X),
    "spread(x, 10 min)": np.sqrt(moving_mean(differences(X) ** 2)),
}


def test_every_function_has_an_oracle_and_a_meaning() -> None:
    assert {text.split("(")[0] for text in ORACLES} == set(FUNCTIONS)
    assert all(known.meaning for known in FUNCTIONS.values())


@pytest.mark.parametrize("text", ORACLES)
def test_function_is_its_formula(text: str) -> None:
    derived = Derived.parse("out", text)
    columns = [{"x": X, "y": Y}[name] for name in derived.channels]
    np.testing.assert_allclose(derived.apply(TIMES, columns, {}), ORACLES[text], rtol=1e-9)


def test_absolute_humidity_of_a_known_state() -> None:
    """Saturated air of 20 °C holds 17.3 g/m³ of water."""
    out = Derived.parse("w", "absolute_humidity(t, rh)").apply(
        TIMES[:1], [np.array([20.0]), np.array([100.0])], {}
    )
    assert out[0] == pytest.approx(17.3, abs=0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lgo(x)", "is log meant"),
        ("log", "not of the form"),
        ("log(x, y)", r"takes \(channel\)"),
        ("ema(x)", r"takes \(channel, duration\)"),
        ("ema(x, 3)", "not a duration"),
        ("ema(x, 0 s)", "longer than nothing"),
        ("log(log(x))", "not of the form"),
    ],
)
def test_a_wrong_expression_says_what_is_right(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Derived.parse("out", text)

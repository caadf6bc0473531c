"""Derived channels against their formulas, computed the slow way."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.signal import iirpeak, lfilter

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


def moving_deviation(x: np.ndarray) -> np.ndarray:
    """Of all values so far, weighed by how little of each has decayed."""
    out, known, weights, last = np.full(len(x), np.nan), [], [], 0
    for i in range(len(x)):
        if not math.isnan(x[i]):
            share = 1 - math.exp(-(int(TIMES[i]) - last) / TAU) if known else 1
            weights = [weight * (1 - share) for weight in weights] + [share]
            known.append(x[i])
            last = int(TIMES[i])
            mean = np.average(known, weights=weights)
            out[i] = math.sqrt(np.average((np.array(known) - mean) ** 2, weights=weights))
    return out


def hour(time: int) -> float:
    moment = datetime.fromtimestamp(time / 1e9, UTC)
    return moment.hour + moment.minute / 60 + moment.second / 3600


ORACLES = {
    "log(x)": np.log(np.maximum(X, 1e-6)),
    "log1p(x)": np.array([math.copysign(math.log(1 + abs(v)), v) for v in X]),
    "diff(x)": differences(X),
    "absolute_humidity(x, y)": np.array([humidity(t, rh) for t, rh in zip(X, Y, strict=True)]),
    "ema(x, 10 min)": moving_mean(X),
    "minus_ema(x, 10 min)": X - moving_mean(X),
    "spread(x, 10 min)": np.sqrt(moving_mean(differences(X) ** 2)),
    "deviation(x, 10 min)": moving_deviation(X),
    "day_sine()": np.array([math.sin(2 * math.pi * hour(t) / 24) for t in TIMES]),
    "day_cosine()": np.array([math.cos(2 * math.pi * hour(t) / 24) for t in TIMES]),
    "weekend()": np.array([datetime.fromtimestamp(t / 1e9, UTC).weekday() >= 5 for t in TIMES]),
}


def test_every_function_has_an_oracle_and_a_meaning() -> None:
    assert {text.split("(")[0] for text in ORACLES} | {"band"} == set(FUNCTIONS)
    assert all(known.meaning for known in FUNCTIONS.values())


@pytest.mark.parametrize("text", ORACLES)
def test_function_is_its_formula(text: str) -> None:
    derived = Derived.parse("out", text)
    columns = [{"x": X, "y": Y}[name] for name in derived.channels]
    np.testing.assert_allclose(derived.apply(TIMES, columns, {}), ORACLES[text], rtol=1e-9, atol=1e-9)


GRID = 1_424_357_000_000_000_000 + np.arange(4000) * 1_000_000  # 1 kHz


def test_a_band_is_what_scipy_filters_and_averages() -> None:
    noise = RNG.normal(0, 1, len(GRID))
    low, high = 50.0, 80.0
    b, a = iirpeak(math.sqrt(low * high), math.sqrt(low * high) / (high - low), fs=1000)
    filtered = lfilter(b, a, noise)
    share = 1 - math.exp(-0.001 / 0.1)
    squares = lfilter([share], [1, share - 1], filtered**2)
    found = Derived.parse("out", "band(x, 50 Hz, 80 Hz, 100 ms)").apply(GRID, [noise], {})
    # The first reading tells no step yet: what it set off has died away after a second.
    np.testing.assert_allclose(found[1000:], np.sqrt(squares[1000:]), rtol=1e-6)


@pytest.mark.parametrize(("hertz", "heard"), [(63, 0.707), (5, 0.04), (400, 0.05)])
def test_a_band_hears_a_tone_inside_and_none_outside(hertz: float, heard: float) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(len(GRID)) / 1000)
    level = Derived.parse("out", "band(x, 50 Hz, 80 Hz, 100 ms)").apply(GRID, [tone], {})[-1]
    assert level == pytest.approx(heard, rel=0.05) if heard > 0.5 else level < heard


def test_a_band_does_not_ring_over_a_hole() -> None:
    tone = np.sin(2 * np.pi * 63 * np.arange(len(GRID)) / 1000)
    band = Derived.parse("out", "band(x, 50 Hz, 80 Hz, 1 ms)")
    times = GRID.copy()
    times[2000:] += 50_000_000
    level = band.apply(times, [tone], {})
    assert level[2002:2010].max() < level[1980:2000].max() / 2  # begins anew
    tone[3000] = np.nan
    level = band.apply(times, [tone], {})
    assert np.isnan(level[3000])
    assert level[3002:3010].max() < level[2980:3000].max() / 2


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
        ("day_sine(x)", r"takes \(\), got"),
        ("band(x, 5 Hz, 10 s)", r"takes \(channel, frequency, frequency, duration\)"),
        ("band(x, 9 Hz, 5 Hz, 1 s)", "must rise"),
        ("band(x, 9 Hz, loud, 1 s)", "not a rate"),
        ("log(log(x))", "not of the form"),
    ],
)
def test_a_wrong_expression_says_what_is_right(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Derived.parse("out", text)

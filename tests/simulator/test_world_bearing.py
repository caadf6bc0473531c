"""The bearing's physics against textbook figures and against its own spectrum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.world import world
from simulator.world.bearing import CLASSES, RATE_HZ, SKF_6205, Geometry, defect_orders, load_zone

BEARING = world("bearing")
SECONDS = int(RATE_HZ)


def vibration(kind: str, seed: int = 0, regime: str = "commissioned", **changes: float) -> np.ndarray:
    """A second of the drive end's signal, in counts."""
    machine = BEARING.machine(CLASSES.index(kind), seed)
    return machine.burst(10**18, BEARING.condition(regime, **changes), SECONDS).values[:, 0]


def envelope_peak(signal: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Frequency (Hz) of the strongest line of the squared envelope in a band, and its height over the median.

    Envelope analysis (Randall & Antoni 2011, section 5): band-pass around the resonances, demodulate.
    """
    spectrum = np.fft.fft(signal)
    frequency = np.fft.fftfreq(signal.size, 1 / RATE_HZ)
    spectrum[(frequency < 1500) | (frequency > 6000)] = 0  # analytic: positive frequencies only
    envelope = np.abs(np.fft.ifft(spectrum)) ** 2
    lines = np.abs(np.fft.rfft(envelope - envelope.mean()))
    at = np.fft.rfftfreq(signal.size, 1 / RATE_HZ)
    band = (at >= low) & (at <= high)
    best = int(np.argmax(np.where(band, lines, 0)))
    return float(at[best]), float(lines[best] / np.median(lines[band]))


def test_defect_orders_are_those_published_for_the_6205() -> None:
    # Case Western Reserve University Bearing Data Center, drive end: multiples of running speed.
    orders = defect_orders(SKF_6205)
    assert orders["inner"] == pytest.approx(5.4152, abs=2e-3)
    assert orders["outer"] == pytest.approx(3.5848, abs=2e-3)
    assert orders["cage"] == pytest.approx(0.39828, abs=2e-4)
    assert orders["ball"] == pytest.approx(4.7135, abs=2e-3)


@given(st.integers(3, 30), st.floats(1, 20), st.floats(30, 200), st.floats(0, 0.7))
def test_every_ball_passes_one_race_or_the_other(balls: int, ball: float, pitch: float, angle: float) -> None:
    orders = defect_orders(Geometry(balls, ball, pitch, angle))
    assert orders["inner"] + orders["outer"] == pytest.approx(balls)
    assert orders["outer"] == pytest.approx(balls * orders["cage"])
    assert orders["cage"] < 0.5


@pytest.mark.parametrize("kind", ["ball", "inner", "outer"])
@pytest.mark.parametrize("regime", ["light", "commissioned", "medium", "heavy"])
def test_strikes_come_at_the_defect_frequency_of_the_speed(kind: str, regime: str) -> None:
    expected = defect_orders(SKF_6205)[kind] * BEARING.condition(regime)["speed"] / 60
    found, height = envelope_peak(vibration(kind, regime=regime), expected * 0.75, expected * 1.25)
    assert found == pytest.approx(expected, rel=0.03)
    assert height > 5


def test_a_healthy_bearing_has_no_such_line() -> None:
    shaft = BEARING.condition()["speed"] / 60
    _, healthy = envelope_peak(vibration("healthy"), 3 * shaft, 6 * shaft)
    _, outer = envelope_peak(vibration("outer"), 3 * shaft, 6 * shaft)
    assert outer > 2 * healthy


def test_inner_strikes_swell_once_a_revolution_and_outer_ones_do_not() -> None:
    shaft = BEARING.condition()["speed"] / 60
    band = 0.8 * shaft, 1.2 * shaft
    found, inner = envelope_peak(vibration("inner"), *band)
    _, outer = envelope_peak(vibration("outer"), *band)
    assert found == pytest.approx(shaft, rel=0.03)
    assert inner > 2 * outer


@given(st.floats(-10, 10), st.floats(0, 4))
def test_load_zone_is_a_share_that_falls_away_from_the_load(angle: float, load: float) -> None:
    here, further = load_zone(np.array([angle, angle + 2 * np.pi]), load)
    assert 0 <= here <= 1
    assert here == pytest.approx(further, abs=1e-9)
    assert load_zone(np.array([0.0]), load)[0] == 1
    half_turn = load_zone(np.linspace(0, np.pi, 50), load)
    assert (np.diff(half_turn) <= 1e-12).all()


def test_more_load_narrows_the_load_zone() -> None:
    far = np.array([2.5])
    assert load_zone(far, 3.0)[0] < load_zone(far, 0.0)[0]


def test_values_are_counts_of_a_16_bit_converter() -> None:
    quiet, loud = vibration("outer"), vibration("outer", gain=50.0)
    for signal in (quiet, loud):
        assert np.array_equal(signal, np.round(signal))
        assert signal.min() >= -32768
        assert signal.max() <= 32767
    assert np.abs(quiet).max() < 32767  # as installed it never clips
    assert np.abs(loud).max() >= 32767


def test_gain_scales_the_signal() -> None:
    np.testing.assert_allclose(vibration("inner", gain=0.5), vibration("inner") * 0.5, atol=1)


def test_wear_strengthens_the_strikes_and_not_a_healthy_bearing() -> None:
    def kurtosis(signal: np.ndarray) -> float:
        centred = signal - signal.mean()
        return float((centred**4).mean() / (centred**2).mean() ** 2)

    assert kurtosis(vibration("outer", wear=1.0)) > kurtosis(vibration("outer"))
    np.testing.assert_array_equal(vibration("healthy", wear=1.0), vibration("healthy"))


def test_a_worse_mounting_loses_the_upper_resonance() -> None:
    def share_above(signal: np.ndarray, hertz: float) -> float:
        power = np.abs(np.fft.rfft(signal)) ** 2
        return float(power[np.fft.rfftfreq(signal.size, 1 / RATE_HZ) > hertz].sum() / power.sum())

    assert share_above(vibration("outer", path=1.0), 4200) < 0.7 * share_above(vibration("outer"), 4200)


def test_another_build_rings_at_other_frequencies() -> None:
    def strongest(signal: np.ndarray) -> float:
        power = np.convolve(np.abs(np.fft.rfft(signal)) ** 2, np.ones(200), "same")
        power[:1500] = 0
        return float(np.argmax(power))

    builds = [strongest(vibration("outer", machine=float(number))) for number in range(4)]
    assert max(builds) > 1.1 * min(builds)


def test_classes_go_round_by_index() -> None:
    labels = [BEARING.machine(index, 0).burst(0, BEARING.condition(), 8).label for index in range(8)]
    assert labels == [0, 1, 2, 3, 0, 1, 2, 3]

"""Many devices, ten features, two classes: the founding article's set, with a rule to learn.

A device holds one operating point for a while and reads it with noise and a small offset of its own.
The class is a nonlinear rule of the operating point. Drift turns the rule (`angle`), so that a model of
the old rule errs more the further it has turned, and moves the features (`shift`), by which a teacher of
all regimes can tell them apart; with `shift` at 0 it is pure concept drift, which only labels reveal.
"""

import numpy as np
from numpy.typing import NDArray

from simulator.world.base import Burst, Condition, World, sample_times

CLASSES = ("normal", "alert")
FEATURES_COUNT = 10
RATE_HZ = 10.0
HOLD_NS = 6_400_000_000
"""How long a device stays at one operating point: 64 readings at the nominal rate."""

REGIMES: dict[str, dict[str, float]] = {
    "commissioned": {"angle": 0.0, "shift": 0.0, "noise": 0.15},
    "worn": {"angle": 30.0, "shift": 0.5, "noise": 0.15},
    "heavy": {"angle": 75.0, "shift": 1.0, "noise": 0.15},
}
"""`angle` by which the rule has turned, in degrees; `shift` of all features; `noise` of a reading."""

MARGIN = 0.5
"""Operating points nearer to the rule's boundary than this do not occur: a reading decides its class."""


def rule(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Score of operating points (n, 10), positive for `alert`: a bent boundary that turns with `angle`.

    In the turned features u it is u₀ + sin(2·u₁) + u₂·u₃ / 2: one straight, one waved, one product.
    """
    turn = float(np.deg2rad(angle))
    turned = points.copy()
    for first, second in ((0, 4), (1, 5), (2, 6)):
        a, b = points[:, first], points[:, second]
        turned[:, first] = np.cos(turn) * a - np.sin(turn) * b
        turned[:, second] = np.sin(turn) * a + np.cos(turn) * b
    return np.asarray(turned[:, 0] + np.sin(2 * turned[:, 1]) + 0.5 * turned[:, 2] * turned[:, 3])


class FeatureMachine:
    """One device: its own offset (a twentieth of a feature's spread) and its own times of change."""

    def __init__(self, index: int, seed: int) -> None:
        self._key = (seed, index)
        own = np.random.default_rng(self._key)
        self._offset = 0.05 * own.standard_normal(FEATURES_COUNT)
        self._phase_ns = int(own.integers(HOLD_NS))
        self._held: tuple[tuple[int, float], NDArray[np.float64], int] | None = None

    def burst(self, start_ns: int, condition: Condition, readings: int | None = None) -> Burst:
        """Readings of the operating point that holds at `start_ns` (one point for the whole burst)."""
        number = 1 if readings is None else readings
        point, label = self._holding((start_ns + self._phase_ns) // HOLD_NS, condition["angle"])
        noise = np.random.default_rng([*self._key, start_ns]).standard_normal((number, FEATURES_COUNT))
        values = point + self._offset + condition["shift"] + condition["noise"] * noise
        return Burst(sample_times(start_ns, number, RATE_HZ), values.astype(np.float32), label)

    def _holding(self, hold: int, angle: float) -> tuple[NDArray[np.float64], int]:
        """Operating point and class of a hold; the last one is kept, for finding it is most of the work."""
        if self._held is None or self._held[0] != (hold, angle):
            point = self._operating_point(hold, angle)
            self._held = (hold, angle), point, int(rule(point[None], angle)[0] > 0)
        return self._held[1:]

    def _operating_point(self, hold: int, angle: float) -> NDArray[np.float64]:
        candidates = np.random.default_rng([*self._key, 1, hold]).standard_normal((64, FEATURES_COUNT))
        return np.asarray(candidates[np.argmax(np.abs(rule(candidates, angle)) > MARGIN)])


FEATURES = World(
    name="features",
    channels=tuple(f"f{number}" for number in range(FEATURES_COUNT)),
    classes=CLASSES,
    rate_hz=RATE_HZ,
    readings=1,
    period_ns=round(1e9 / RATE_HZ),
    regimes=REGIMES,
    default_regime="commissioned",
    machine=FeatureMachine,
)

"""Vibration of a motor's ball bearing, computed from geometry and dynamics.

A local defect strikes once each time a rolling element passes it. The rates follow from geometry
(`defect_orders`); each strike excites the structural resonances of the housing, which ring down;
its strength follows the load that the defect carries at that moment (Stribeck's load zone); the
rolling elements slip a little, so strikes are not quite periodic. Under that lie the shaft's
harmonics and a broadband noise of rolling that grows with load and speed and rings the same
resonances.

Sources: Randall & Antoni, "Rolling element bearing diagnostics: a tutorial", Mechanical Systems and
Signal Processing 25 (2011), sections 2 and 3 (defect frequencies, slip of 1 to 2 %, resonances);
McFadden & Smith, "Model for the vibration produced by a single point defect in a rolling element
bearing", Journal of Sound and Vibration 96 (1984) (load zone, transfer path).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.world.base import Burst, Condition, World, sample_times

CLASSES = ("healthy", "ball", "inner", "outer")
CHANNELS = ("drive_end", "fan_end")
RATE_HZ = 12_800.0
READINGS = 512
PERIOD_NS = 1_000_000_000

COUNTS_PER_G = 2048.0
"""Sensitivity of the simulated accelerometer: an int16 converter with a range of ±16 g."""

REGIMES: dict[str, dict[str, float]] = {
    name: {"load": load, "speed": speed, "gain": 1.0, "path": 0.0, "wear": 0.0, "machine": 0.0}
    for name, load, speed in (
        ("light", 0.0, 3500.0),
        ("commissioned", 1.0, 2900.0),
        ("medium", 2.0, 2400.0),
        ("heavy", 3.0, 2050.0),
    )
}
"""`load` in hp, `speed` in revolutions a minute; `gain` and `path` of the sensor's mounting (1 and 0 as
installed; with `path` at 1 nothing of the upper resonances comes through, as with a magnet on paint);
`wear` of the defect (0 = fresh, 1 = twice as strong); `machine` 0 for the build that was commissioned,
1, 2, … for others, with other resonances."""

SLIP = 0.012
"""Standard deviation of the interval between strikes, relative (Randall & Antoni: 1 to 2 %)."""


@dataclass(frozen=True)
class Geometry:
    """A ball bearing: number of balls, ball and pitch diameter in mm, contact angle in radians."""

    balls: int
    ball_diameter: float
    pitch_diameter: float
    contact_angle: float = 0.0


SKF_6205 = Geometry(balls=9, ball_diameter=7.94, pitch_diameter=39.04)
"""The drive-end bearing of the Case Western Reserve University test rig."""


def defect_orders(geometry: Geometry) -> dict[str, float]:
    """Strikes per revolution of the shaft, outer race at rest (Randall & Antoni 2011, section 2).

    `cage` is the fundamental train frequency (FTF), `outer` the ball pass frequency of the outer
    race (BPFO), `inner` of the inner race (BPFI), `ball` the ball spin frequency (BSF) twice, for a
    defect on a ball strikes both races in one spin.
    """
    ratio = geometry.ball_diameter / geometry.pitch_diameter * np.cos(geometry.contact_angle)
    spin = geometry.pitch_diameter / (2 * geometry.ball_diameter) * (1 - ratio**2)
    return {
        "cage": float(0.5 * (1 - ratio)),
        "outer": float(0.5 * geometry.balls * (1 - ratio)),
        "inner": float(0.5 * geometry.balls * (1 + ratio)),
        "ball": float(2 * spin),
    }


ORDERS = defect_orders(SKF_6205)
TURNS = {"outer": 0.0, "inner": 1.0, "ball": ORDERS["cage"]}
"""How fast each kind of defect turns through the load zone, in revolutions of the shaft."""

STRENGTH = 4.5
"""Of a fresh defect's strike at nominal speed, where the white force of rolling has a deviation of 0.12."""

RESONANCE_HZ = np.array([[2900.0, 4700.0], [2100.0, 3900.0]])
"""Two structural modes of each channel: rows are drive end and fan end."""

DAMPING = np.array([[0.045, 0.04], [0.05, 0.045]])
MODE_GAIN = np.array([[1.0, 0.5], [0.45, 0.25]])
PATH_DELAY_S = np.array([0.0, 0.0004])
"""The fan end hears the drive-end bearing through the frame: weaker and later."""

FAN_BLADES = 7
TONE_ORDERS = np.array([1, 2, 3, FAN_BLADES, 2 * FAN_BLADES])
"""Unbalance, misalignment (grows with load), looseness; the cooling fan's blades and their harmonic."""

TONE_G = np.array([0.1, 0.06, 0.03, 0.2, 0.06])
TONE_GAIN = np.array([[1.0, 0.8], [1.0, 0.8], [1.0, 0.8], [0.5, 1.5], [0.5, 1.5]])

RING_S = 0.012
"""What happened this long before a burst has rung down to under 1 %."""


def load_zone(angle: NDArray[np.float64], load: float) -> NDArray[np.float64]:
    """Share of the peak contact load at `angle` (radians) from the load's direction, 0 to 1.

    Stribeck's distribution (1 − (1 − cos ψ) / 2ε)^1.5 of point contact. A preloaded bearing (ε above
    1) carries load all around; radial load (hp) narrows the zone.
    """
    extent = 2.2 - 0.1 * load
    return np.asarray(np.clip(1 - (1 - np.cos(angle)) / (2 * extent), 0.0, 1.0) ** 1.5)


class BearingMachine:
    """A motor with one bearing; class `CLASSES[index % 4]`, individual to a few per cent."""

    def __init__(self, index: int, seed: int) -> None:
        self.label = index % len(CLASSES)
        self._key = (seed, index)
        own = np.random.default_rng(self._key)
        self._resonance = RESONANCE_HZ * (1 + 0.02 * own.standard_normal((2, 2)))
        self._damping = DAMPING * (1 + 0.1 * own.standard_normal((2, 2)))
        self._gain = 1 + 0.06 * own.standard_normal(2)
        self._severity = 1 + 0.12 * own.standard_normal()
        self._noise = 1 + 0.1 * own.standard_normal()
        self._tones = TONE_G * (1 + 0.2 * own.standard_normal(len(TONE_G)))

    def burst(self, start_ns: int, condition: Condition, readings: int | None = None) -> Burst:
        """One burst of both channels as the converter's counts (whole numbers of an int16)."""
        number = READINGS if readings is None else readings
        chance = np.random.default_rng([*self._key, start_ns])
        shaft_hz = condition["speed"] / 60 * (1 + 0.004 * chance.standard_normal())
        clock = np.arange(-round(RING_S * RATE_HZ), number) / RATE_HZ
        force = self._rolling(chance, clock, condition) + self._strikes(chance, clock, shaft_hz, condition)
        vibration = self._through_structure(force, condition)[-number:]
        vibration += self._shaft(chance, clock[-number:], shaft_hz, condition["load"])
        vibration += 0.02 * chance.standard_normal(vibration.shape)
        counts = np.round(vibration * self._gain * condition["gain"] * COUNTS_PER_G)
        values = np.clip(counts, -32768, 32767).astype(np.float32)
        return Burst(sample_times(start_ns, number, RATE_HZ), values, self.label)

    def _rolling(
        self, chance: np.random.Generator, clock: NDArray[np.float64], condition: Condition
    ) -> NDArray[np.float64]:
        """Force of rough surfaces rolling on each other: white, stronger with load and speed."""
        level = self._noise * (0.10 + 0.02 * condition["load"]) * condition["speed"] / 2900
        return np.asarray(level * chance.standard_normal(clock.size))

    def _strikes(
        self, chance: np.random.Generator, clock: NDArray[np.float64], shaft_hz: float, condition: Condition
    ) -> NDArray[np.float64]:
        """Force of the defect's strikes; each falls between two samples and is shared out to both."""
        force = np.zeros(clock.size)
        kind = CLASSES[self.label]
        if kind == "healthy":
            return force
        interval = 1 / (ORDERS[kind] * shaft_hz)
        intervals = interval * (1 + SLIP * chance.standard_normal(int((clock[-1] - clock[0]) / interval) + 8))
        times = clock[0] - interval * chance.random() + np.cumsum(intervals)
        times = times[(times >= clock[0]) & (times < clock[-1])]
        angle = 2 * np.pi * (chance.random() * (kind != "outer") + TURNS[kind] * shaft_hz * times)
        load, speed = condition["load"], condition["speed"]
        peak = self._severity * STRENGTH * (1 + condition["wear"]) * (0.7 + 0.15 * load) * speed / 2900
        strength = peak * load_zone(angle, load) * (1 + 0.1 * chance.standard_normal(times.size))
        position = (times - clock[0]) * RATE_HZ
        before = position.astype(int)
        np.add.at(force, before, strength * (1 - (position - before)))
        np.add.at(force, before + 1, strength * (position - before))
        return force

    def _through_structure(self, force: NDArray[np.float64], condition: Condition) -> NDArray[np.float64]:
        """What each channel hears of a force: its two modes ring, later at the far end; (samples, 2)."""
        build = np.random.default_rng(int(condition["machine"])).uniform(0.8, 1.25, (2, 2))
        resonance = self._resonance * (build if condition["machine"] else 1.0)
        after = np.arange(force.size)[:, None, None] / RATE_HZ - PATH_DELAY_S[:, None]
        swing = np.sin(2 * np.pi * resonance * np.sqrt(1 - self._damping**2) * after)
        decay = np.exp(-2 * np.pi * resonance * self._damping * np.maximum(after, 0.0)) * (after >= 0)
        path = MODE_GAIN * np.array([1.0, 1.0 - condition["path"]])
        response = (path * swing * decay).sum(axis=2)
        length = 2 * force.size
        spectrum = np.fft.rfft(force, length)[:, None] * np.fft.rfft(response, length, axis=0)
        return np.asarray(np.fft.irfft(spectrum, length, axis=0)[: force.size])

    def _shaft(
        self, chance: np.random.Generator, clock: NDArray[np.float64], shaft_hz: float, load: float
    ) -> NDArray[np.float64]:
        """Tones of the turning parts, by harmonics of the shaft; (samples, 2)."""
        phase = 2 * np.pi * (chance.random(len(TONE_ORDERS)) + TONE_ORDERS * shaft_hz * clock[:, None])
        tones = np.sin(phase) * self._tones * (1 + 0.15 * load * (TONE_ORDERS < FAN_BLADES))
        return np.asarray(tones @ TONE_GAIN)


BEARING = World(
    name="bearing",
    channels=CHANNELS,
    classes=CLASSES,
    rate_hz=RATE_HZ,
    readings=READINGS,
    period_ns=PERIOD_NS,
    regimes=REGIMES,
    default_regime="commissioned",
    machine=BearingMachine,
)

import numpy as np

from simulator.world import world
from simulator.world.features import HOLD_NS, MARGIN, rule

FEATURES = world("features")
START = 1_700_000_000_000_000_000


def sample(angle: float, number: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Noiseless operating points of many devices, each from another hold, and their labels."""
    condition = FEATURES.condition(angle=angle, noise=0.0)
    bursts = [FEATURES.machine(index, 3).burst(START + index * HOLD_NS, condition) for index in range(number)]
    return np.concatenate([b.values for b in bursts]).astype(float), np.array([b.label for b in bursts])


def test_the_label_is_the_rule_of_what_is_read() -> None:
    for angle in (0.0, 60.0):
        points, labels = sample(angle)
        # A device's own offset may carry a point over the boundary, though not often.
        assert ((rule(points, angle) > 0) == labels).mean() > 0.97


def test_the_rule_is_not_linear() -> None:
    points, labels = sample(0.0, 2000)
    design = np.column_stack([points, np.ones(len(points))])
    train, test = slice(0, 1500), slice(1500, None)
    weights, *_ = np.linalg.lstsq(design[train], 2.0 * labels[train] - 1, rcond=None)
    assert ((design[test] @ weights > 0) == labels[test]).mean() < 0.9


def test_drift_turns_the_rule() -> None:
    points, _ = sample(0.0)
    old = rule(points, 0.0) > 0
    agreement = [float((old == (rule(points, angle) > 0)).mean()) for angle in (0.0, 20.0, 60.0)]
    assert agreement[0] == 1.0
    assert agreement[0] > agreement[1] > agreement[2]
    assert agreement[2] < 0.8


def test_the_rule_turns_without_changing_lengths() -> None:
    # A turn of the plane by 360 degrees is none.
    points = np.random.default_rng(0).standard_normal((50, 10))
    np.testing.assert_allclose(rule(points, 360.0), rule(points, 0.0), atol=1e-9)


def test_a_device_holds_its_operating_point_and_then_leaves_it() -> None:
    machine = FEATURES.machine(0, 0)
    condition = FEATURES.condition(noise=0.0)
    step = HOLD_NS // 64
    values = [machine.burst(START + k * step, condition).values[0] for k in range(128)]
    changes = [k for k in range(1, 128) if not np.array_equal(values[k], values[k - 1])]
    assert len(changes) == 2
    assert changes[1] - changes[0] == 64


def test_noise_of_readings_is_as_conditioned() -> None:
    burst = FEATURES.machine(0, 0).burst(START, FEATURES.condition(noise=0.3), 4000)
    np.testing.assert_allclose(burst.values.std(axis=0), 0.3, rtol=0.1)


def test_shift_moves_every_feature() -> None:
    machine = FEATURES.machine(0, 0)
    moved, still = (machine.burst(START, FEATURES.condition(shift=shift)).values for shift in (0.5, 0.0))
    np.testing.assert_allclose(moved - still, 0.5, atol=1e-5)


def test_operating_points_keep_their_distance_from_the_boundary() -> None:
    machine = FEATURES.machine(0, 0)
    points = np.array([machine._operating_point(hold, 0.0) for hold in range(200)])
    assert (np.abs(rule(points, 0.0)) > MARGIN).all()

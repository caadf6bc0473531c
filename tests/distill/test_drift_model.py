"""The drift model against hand calculation, scikit-learn and scipy."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import EmpiricalCovariance

from iot_stream.distill.teachers import drift_model
from iot_stream.distill.teachers.drift_model import Belief, Regime, Walk, followed, settled, strangeness


def one(mean: float, variance: float) -> Belief:
    return Belief(np.array([[mean]]), np.array([[variance]]))


def test_kalmans_update_by_hand() -> None:
    # Prior N(1, 4); three rows of variance 1 with mean 5: gain 4/(4 + 1/3) = 12/13.
    after = one(1, 4).observed(np.array([3.0]), np.array([[15.0]]))
    assert after.means[0, 0] == pytest.approx(1 + 12 / 13 * 4)
    assert after.variances[0, 0] == pytest.approx(4 * (1 - 12 / 13))
    assert after.stepped(np.array([2.0])).variances[0, 0] == pytest.approx(4 / 13 + 2)


def test_nothing_observed_changes_nothing() -> None:
    after = one(1, 4).observed(np.array([0.0]), np.array([[0.0]]))
    assert (after.means[0, 0], after.variances[0, 0]) == pytest.approx((1, 4))


def test_densities_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    z, belief = rng.normal(size=(20, 3)), Belief(rng.normal(size=(2, 3)), rng.uniform(0.1, 5, (2, 3)))
    wanted = [
        multivariate_normal(mean, np.diag(1 + spread)).logpdf(z)
        for mean, spread in zip(belief.means, belief.variances, strict=True)
    ]
    wanted = np.array(wanted).T + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(belief.log_densities(z), wanted)


def test_expectation_maximisation_step_by_step() -> None:
    """The same in loops: posterior of each class, then each class's mean of all it may have."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(40, 2)) + np.where(np.arange(40) % 2, 4, -4)[:, None]
    y = np.where(np.arange(40) < 6, np.arange(40) % 2, -1)
    before = Belief(np.array([[-2.0, -2.0], [2.0, 2.0]]), np.full((2, 2), 3.0))
    means, spread = np.zeros((2, 2)), np.zeros((2, 2))
    weights = np.array([[float(y[i] == k) for k in (0, 1)] for i in range(40)])
    for _ in range(1 + drift_model.ITERATIONS):
        for k in (0, 1):
            for d in (0, 1):
                n = weights[:, k].sum()
                gain = 3.0 / (3.0 + 1 / n)
                mean = (weights[:, k] * z[:, d]).sum() / n
                means[k, d] = before.means[k, d] + gain * (mean - before.means[k, d])
                spread[k, d] = 3.0 * (1 - gain)
        for i in range(6, 40):
            p = [multivariate_normal(means[k], np.diag(1 + spread[k])).pdf(z[i]) for k in (0, 1)]
            weights[i] = drift_model.UNLABELLED * np.array(p) / sum(p)
    found = settled(z, y, before)
    np.testing.assert_allclose(found.means, means, atol=2e-3)
    np.testing.assert_allclose(found.variances, spread, atol=2e-3)


def drifting(regimes: int, seed: int, rows: int = 300, labels: float = 1.0) -> tuple[list[Regime], list[Any]]:
    """Three classes in five dimensions that walk far along two of them, alone in their own ways."""
    rng = np.random.default_rng(seed)
    mix = np.eye(5) + 0.2 * rng.normal(size=(5, 5))
    walk = np.diag([3.0, 3.0, 0.1, 0.1, 0.1])
    means = 3 * rng.normal(size=(3, 5))
    found, truth = [], []
    for _ in range(regimes):
        y = rng.integers(0, 3, rows)
        x = (means[y] + rng.normal(size=(rows, 5))) @ mix
        found.append(Regime(x, np.where(rng.random(rows) < labels, y, -1)))
        truth.append((means @ mix, y))
        means = means + rng.normal(size=(3, 5)) @ walk
    return found, truth


def test_the_basis_makes_both_covariances_diagonal() -> None:
    regimes, truth = drifting(40, 2)
    walk = Walk.of(regimes, 3)
    apart = np.concatenate(
        [(r.x - mean[y]) @ walk.basis for r, (mean, y) in zip(regimes, truth, strict=True)]
    )
    within = EmpiricalCovariance(assume_centered=True).fit(apart).covariance_
    np.testing.assert_allclose(within, np.eye(5), atol=0.15)
    moves = np.concatenate([(b - a) @ walk.basis for (a, _), (b, _) in pairwise(truth)])
    np.testing.assert_allclose(np.diag(moves.T @ moves / len(moves)), walk.steps, rtol=0.3, atol=0.05)
    # Two directions of drift, of nine times the variance within a class; the prior adds a little to all.
    np.testing.assert_allclose(np.sort(walk.steps)[-2:], 9, rtol=0.35)
    assert (np.sort(walk.steps)[:3] < 0.2).all()


def test_one_regime_walks_as_far_as_its_classes_are_wide() -> None:
    walk = Walk.of(drifting(1, 3)[0], 3)
    np.testing.assert_allclose(walk.steps, drift_model.PRIOR_STEP)


def test_adapted_means_track_the_truth_without_a_label() -> None:
    regimes, truth = drifting(12, 4)
    bare = [*regimes[:6], *(Regime(r.x, np.full_like(r.y, -1)) for r in regimes[6:])]
    walk = Walk.of(bare, 3)
    beliefs = followed(bare, walk, 3)
    off = [
        np.linalg.norm((mean @ walk.basis) - belief.means, axis=1).max()
        for belief, (mean, _) in zip(beliefs, truth, strict=True)
    ]
    moved = np.linalg.norm((truth[6][0] - truth[5][0]) @ walk.basis, axis=1).max()
    assert max(off[:6]) < 0.5
    assert off[6] < moved / 3


def test_a_class_that_is_absent_keeps_its_place_and_grows_uncertain() -> None:
    regimes, _ = drifting(4, 5)
    gone = regimes[3].y != 2
    regimes[3] = Regime(regimes[3].x[gone], regimes[3].y[gone])
    walk = Walk.of(regimes, 3)
    beliefs = followed(regimes, walk, 3)
    np.testing.assert_allclose(beliefs[3].means[2], beliefs[2].means[2])
    assert (beliefs[3].variances[2] > beliefs[2].variances[2]).all()
    assert (beliefs[3].variances[0] < 0.1).all()


def test_a_regime_without_rows_is_a_step_and_no_more() -> None:
    regimes, _ = drifting(3, 6)
    empty = Regime(regimes[0].x[:0], regimes[0].y[:0])
    walk = Walk.of(regimes, 3)
    beliefs = followed([empty, regimes[0], empty, regimes[1]], walk, 3)
    np.testing.assert_allclose(beliefs[2].means, beliefs[1].means)
    np.testing.assert_allclose(beliefs[2].variances, beliefs[1].variances + walk.steps)


@pytest.mark.parametrize("labels", [0.0, 1.0], ids=["bare", "labelled"])
def test_rows_of_a_new_regime_are_strange_and_others_are_not(labels: float) -> None:
    regimes, _ = drifting(8, 7)
    walk = Walk.of(regimes[:6], 3)
    belief = followed(regimes[:6], walk, 3)[-1]
    same = Regime(regimes[5].x, regimes[5].y if labels else np.full_like(regimes[5].y, -1))
    new = Regime(regimes[6].x, regimes[6].y if labels else np.full_like(regimes[6].y, -1))
    assert strangeness(same.x @ walk.basis, same.y, belief, walk).mean() < -0.5
    assert strangeness(new.x @ walk.basis, new.y, belief, walk).mean() > 0.5

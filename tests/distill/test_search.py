import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config.learning import DistillSettings, SearchSettings
from iot_stream.distill.material import Material
from iot_stream.distill.search import candidates, halving, walk_forward

TRUTH = np.arange(100) % 2


def _settings(**search: int) -> DistillSettings:
    return DistillSettings(temperature=2.0, rate=0.01, alpha=1.0, beta=0.0, search=SearchSettings(**search))


def _logits(right: float) -> np.ndarray:
    """Right on this share of either class."""
    said = np.where(np.arange(100) < round(100 * right), TRUTH, 1 - TRUTH)
    return np.eye(2, dtype=np.float32)[said]


def _material(n: int, span_s: int = 0) -> Material:
    ends = np.arange(n) * SECOND
    return Material(
        np.full(n, "d"),
        ends - span_s * SECOND,
        ends,
        np.zeros((n, 1, 1), np.float32),
        np.zeros((n, 2), np.float32),
        np.full(n, -1),
    )


def test_halving_finds_the_best_of_many_within_its_budget():
    wanted, taken = 0.02, []

    def trial(settings: DistillSettings, share: float, seed: int) -> np.ndarray:
        taken.append(settings.steps)
        return _logits(1 - min(1, abs(np.log(settings.rate / wanted))) / 2)

    found = halving(_settings(candidates=27, steps=900, keep=3), False, TRUTH, trial, 0)
    assert found.settings.rate == pytest.approx(wanted, rel=0.02)
    assert sum(taken) <= 900


def test_halving_profiles_all_on_a_tenth_first_then_gives_fewer_more_steps():
    seen = []

    def trial(settings: DistillSettings, share: float, seed: int) -> np.ndarray:
        seen.append((share, settings.steps))
        return _logits(0.5)

    halving(_settings(candidates=9, steps=600, keep=3), False, TRUTH, trial, 0)
    assert seen == [(0.1, 33)] * 9 + [(1.0, 100)] * 3


def test_among_equals_the_configured_settings_stay():
    settings = _settings(candidates=9, steps=90)
    found = halving(settings, True, TRUTH, lambda *_: _logits(0.7), 3)
    assert found.settings == settings


def test_a_trial_is_judged_by_balanced_accuracy():
    # 90 of one class: who always says that one is right nine times in ten, and knows nothing.
    truth = (np.arange(100) >= 90).astype(np.int64)
    lazy, fair = np.zeros(100, np.int64), truth.copy()
    fair[:20] = 1
    answers = iter([lazy, fair, lazy, fair])
    found = halving(
        _settings(candidates=2, steps=10, keep=2),
        False,
        truth,
        lambda *_: np.eye(2, dtype=np.float32)[next(answers)],
        0,
    )
    assert [trial["balanced"] for trial in found.trials] == pytest.approx([0.5, (70 / 90 + 1) / 2])


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_candidates_stay_near_what_is_configured(seed, labelled):
    settings = _settings(candidates=20)
    found = candidates(settings, settings.search, labelled, seed)
    assert found[0] == settings
    assert len(found) == 20
    for each in found:
        assert 1 <= each.temperature <= 4
        assert 0.01 / 3 <= each.rate <= 0.03
        assert each.alpha + each.beta == pytest.approx(1.0)
        assert labelled or each.beta == 0
    assert found == candidates(settings, settings.search, labelled, seed)


def test_walk_forward_tries_on_the_newest_and_trains_on_what_ended_before_it_began():
    learnt = _material(100, span_s=5)
    older, newest = walk_forward(learnt)
    assert newest.sum() == 20
    assert learnt.ends[older].max() < learnt.starts[newest].min()


def test_walk_forward_of_nothing_is_nothing():
    older, newest = walk_forward(_material(0))
    assert (len(older), len(newest)) == (0, 0)

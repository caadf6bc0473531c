import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config import Gate, Sample
from iot_stream.distill.material import Material
from iot_stream.distill.sampler import balanced, draw, hold_out, reach
from iot_stream.units import Duration


def _material(ends_s: np.ndarray, classes: np.ndarray) -> Material:
    n = len(ends_s)
    ends = (ends_s * SECOND).astype(np.int64)
    return Material(
        np.full(n, "d"),
        ends,
        ends,
        np.arange(n, dtype=np.float32).reshape(n, 1, 1),
        np.eye(3, dtype=np.float32)[classes],
        np.full(n, -1),
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.booleans())
def test_hold_out_never_trains_on_what_judges(seed, n, blocks):
    rng = np.random.default_rng(seed)
    stream = _material(np.sort(rng.uniform(0, 1000, n)), rng.integers(0, 3, n))
    gate = Gate(n_min=10, block=Duration(50 * SECOND) if blocks else None)
    trains, judges = hold_out(stream, int(rng.uniform(0, 1000) * SECOND), gate)
    assert not (trains & judges).any()
    if not blocks and judges.any() and trains.any():
        assert stream.ends[judges].min() > stream.ends[trains].max()


def test_hold_out_judges_by_the_newest_share_of_what_is_new():
    stream = _material(np.arange(100.0), np.arange(100) % 3)
    trains, judges = hold_out(stream, 49 * SECOND, Gate(share=0.2, n_min=5))
    assert stream.ends[judges].tolist() == [s * SECOND for s in range(90, 100)]
    assert trains.sum() == 90


def test_hold_out_takes_more_where_the_gate_needs_it_but_never_more_than_half():
    stream = _material(np.arange(100.0), np.arange(100) % 3)
    assert hold_out(stream, -1, Gate(share=0.2, n_min=24))[1].sum() == 30
    assert hold_out(stream, -1, Gate(share=0.2, n_min=80))[1].sum() == 50


def test_hold_out_judges_each_device_by_its_own_newest_whatever_its_clock():
    early, late = (
        _material(np.arange(50.0), np.arange(50) % 3),
        _material(np.arange(50.0) + 1000, np.arange(50) % 3),
    )
    both = early.and_then(dataclasses.replace(late, devices=np.full(50, "e")))
    _, judges = hold_out(both, -1, Gate(share=0.2, n_min=5))
    assert (judges[:50].sum(), judges[50:].sum()) == (10, 10)


def test_hold_out_by_blocks_keeps_the_same_blocks_apart_for_ever():
    gate = Gate(share=0.2, block=Duration(10 * SECOND), n_min=5)
    early = _material(np.arange(100.0), np.arange(100) % 3)
    late = _material(np.arange(200.0), np.arange(200) % 3)
    trained_late = set(late.ends[hold_out(late, -1, gate)[0]].tolist())
    judged_early = set(early.ends[hold_out(early, -1, gate)[1]].tolist())
    assert judged_early == {s * SECOND for block in (0, 50) for s in range(block, block + 10)}
    assert not judged_early & trained_late


def test_hold_out_by_blocks_reaches_back_to_find_a_second_class():
    night = np.concatenate([np.arange(300) % 2, np.zeros(300, np.int64)])
    stream = _material(np.arange(600.0), night)
    gate = Gate(share=0.2, block=Duration(10 * SECOND), n_min=20)
    _, judges = hold_out(stream, 300 * SECOND, gate)
    assert len(set(night[judges].tolist())) == 2


def test_draw_weighs_recent_windows_by_age():
    stream = _material(np.array([0.0, 10.0]), np.array([0, 1]))
    empty = stream.rows(np.zeros(2, bool))
    batch = draw(stream, empty, Sample(recent=2, decay=Duration(10 * SECOND)), 10 * SECOND)
    assert batch.weights[1] / batch.weights[0] == pytest.approx(np.e)


def test_draw_shares_between_recent_and_reservoir():
    stream, boot = (
        _material(np.arange(50.0), np.arange(50) % 3),
        _material(np.arange(300.0), np.arange(300) % 3),
    )
    batch = draw(stream, boot, Sample(recent=40, reservoir=100, share=0.7), 50 * SECOND)
    assert (batch.recent, batch.reservoir) == (40, 100)
    assert batch.weights[:40].sum() == pytest.approx(0.7)
    assert batch.weights[40:].sum() == pytest.approx(0.3)


def test_what_a_round_looks_at_fills_the_recent_windows_and_the_reservoir():
    settings = Sample(recent=5, reservoir=10)
    stream = _material(np.arange(400.0), np.arange(400) % 3)
    near = stream.rows(np.arange(400)[-reach(settings) :])
    batch = draw(near, stream.rows(np.zeros(400, bool)), settings, 400 * SECOND)
    assert (batch.recent, batch.reservoir) == (5, 10)
    assert batch.material.ends[:5].tolist() == stream.ends[-5:].tolist()


@given(st.lists(st.integers(0, 2), min_size=1, max_size=200), st.integers(0, 100))
def test_balanced_is_even_over_classes(classes, size):
    material = _material(np.arange(float(len(classes))), np.array(classes))
    rows = balanced(material, size)
    assert len(rows) == min(size, len(classes))
    assert len(set(rows.tolist())) == len(rows)
    counts = np.bincount(np.array(classes)[rows], minlength=3)
    have = np.bincount(classes, minlength=3)
    short = counts < have
    if short.any():  # a class that could give more gives no less than any other
        assert counts[short].min() >= counts.max() - 1

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config import Sample
from iot_stream.distill.material import Material
from iot_stream.distill.sampler import balanced, by_disagreement, draw, reach
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


def test_balanced_is_even_over_time_not_over_windows():
    # Nine quiet hours with a window a minute, one busy with sixty: the busy hour gets no more than its share.
    quiet, busy = np.arange(0.0, 9 * 3600, 60), np.arange(9 * 3600.0, 10 * 3600)
    material = _material(np.concatenate([quiet, busy]), np.zeros(len(quiet) + len(busy), int))
    rows = balanced(material, 200)
    share = (rows >= len(quiet)).mean()
    assert len(rows) == 200
    assert share == pytest.approx(0.1, abs=0.03)


def test_windows_that_the_student_gets_wrong_weigh_more_and_shares_stay():
    stream, boot = (
        _material(np.arange(40.0), np.arange(40) % 3),
        _material(np.arange(40.0), np.arange(40) % 3),
    )
    batch = draw(stream, boot, Sample(recent=40, reservoir=40, share=0.7), 40 * SECOND)
    sure = 50 * batch.material.logits
    batch = dataclasses.replace(batch, material=dataclasses.replace(batch.material, logits=sure))
    student = sure.copy()
    student[3] = np.roll(student[3], 1)  # wholly wrong: total variation 1
    weighed = by_disagreement(batch, student, 4.0)
    assert weighed.weights[3] / weighed.weights[2] == pytest.approx(5 * batch.weights[3] / batch.weights[2])
    assert weighed.weights[:40].sum() == pytest.approx(0.7)
    assert weighed.weights[40:].tolist() == pytest.approx(batch.weights[40:].tolist())

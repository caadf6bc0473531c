import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config import Gate
from iot_stream.distill.material import Material
from iot_stream.distill.split import apart, old_regimes, split, whole_span
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


NOTHING = _material(np.zeros(0), np.zeros(0, int))


def hold_out(stream: Material, since: int, gate: Gate) -> tuple[np.ndarray, np.ndarray]:
    parts = split(stream, NOTHING, stream.ends > since, gate)
    return parts.trains, parts.judges


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 400),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([None, 0.05]),
)
def test_split_never_trains_on_what_judges(seed, n, blocks, labels, old_drop):
    rng = np.random.default_rng(seed)
    stream = _material(np.sort(rng.uniform(0, 1000, n)), rng.integers(0, 3, n))
    stream = dataclasses.replace(stream, labels=np.where(rng.random(n) < 0.1, rng.integers(0, 3, n), -1))
    block = Duration(50 * SECOND) if blocks else None
    gate = Gate(n_min=10, block=block, labels=labels, old_drop=old_drop)
    since = int(rng.uniform(0, 1000) * SECOND)
    parts = split(stream, stream, stream.ends > since, gate)
    assert not (parts.trains & (parts.judges | parts.old)).any()
    assert not (parts.judges & parts.old).any()
    assert not (parts.bootstrap_trains & parts.bootstrap_old).any()
    if not blocks and not labels and parts.judges.any() and parts.trains.any():
        assert stream.ends[parts.judges].min() > stream.ends[parts.trains].max()


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


def _windows(n: int, device: str = "d") -> Material:
    """Of four seconds, one a second: each overlaps three before it."""
    ends = np.arange(4.0, 4.0 + n)
    whole = _material(ends, np.arange(n) % 3)
    return dataclasses.replace(whole, starts=whole.ends - 4 * SECOND, devices=np.full(n, device))


def test_what_is_kept_apart_for_old_regimes_stays_so_whatever_comes_later():
    gate, boot = Gate(old_drop=0.05, n_min=5), _windows(50)
    early, late = (
        split(stream := _windows(n), boot, stream.ends > (n - 100) * SECOND, gate) for n in (1000, 3000)
    )
    assert early.old.any()
    assert not (early.old & late.trains[:1000]).any()
    assert not (early.trains & late.old[:1000]).any()


def test_no_reading_of_an_old_regime_that_judges_is_ever_trained_on():
    stream = _windows(2000)
    parts = split(stream, _windows(50), stream.ends > 1900 * SECOND, Gate(old_drop=0.05, n_min=5))
    trained = {
        second
        for start, end in zip(stream.starts[parts.trains], stream.ends[parts.trains], strict=True)
        for second in range(start // SECOND, end // SECOND + 1)
    }
    assert parts.old.any()
    assert not trained & set((stream.ends[parts.old] // SECOND).tolist())


def test_old_regimes_are_about_a_tenth_of_each_device_and_of_the_bootstrap():
    boot = _windows(4000, "a")
    stream = _windows(4000, "a").and_then(_windows(4000, "b"))
    parts = split(stream, boot, np.zeros(8000, bool), Gate(old_drop=0.05))
    shares = [parts.old[:4000].mean(), parts.old[4000:].mean(), parts.bootstrap_old.mean()]
    assert all(0.03 < share < 0.2 for share in shares)
    assert (parts.old[:4000] != parts.old[4000:]).any()  # devices draw lots of their own
    old = old_regimes(stream, boot, parts)
    assert len(old) == min(1000, parts.old.sum() + parts.bootstrap_old.sum())


def test_without_a_bound_on_old_regimes_everything_but_the_newest_trains():
    stream = _windows(1000)
    parts = split(stream, stream, stream.ends > 900 * SECOND, Gate(n_min=5))
    assert not parts.old.any()
    assert parts.bootstrap_trains.all()
    assert not apart(stream, Gate(), whole_span(stream)).touched.any()


def test_late_labels_are_shared_out_so_that_neither_gate_nor_training_starves():
    # As at 10 % of labels, known 100 windows late: none of the newest has one.
    stream = _material(np.arange(4000.0), np.arange(4000) % 3)
    known = (np.arange(4000) % 10 == 0) & (np.arange(4000) < 3900)
    stream = dataclasses.replace(stream, labels=np.where(known, np.arange(4000) % 3, -1))
    for seen in (2000, 3000, 4000):
        so_far = stream.rows(np.arange(seen))
        parts = split(so_far, NOTHING, so_far.ends > (seen - 50) * SECOND, Gate(labels=0.3, n_min=20))
        assert 40 <= (so_far.labels[parts.judges] >= 0).sum() <= 45
        assert (so_far.labels[parts.trains] >= 0).sum() > 0.6 * known[:seen].sum()


def test_a_label_kept_for_the_gate_never_trains():
    stream = _material(np.arange(4000.0), np.arange(4000) % 3)
    stream = dataclasses.replace(stream, labels=np.arange(4000) % 3)
    gate = Gate(labels=0.3, n_min=20)
    first = stream.rows(np.arange(1000))
    early = split(first, NOTHING, first.ends > 950 * SECOND, gate)
    late = split(stream, NOTHING, stream.ends > 3950 * SECOND, gate)
    kept = np.flatnonzero(early.judges[:900])
    assert len(kept) > 0
    assert not late.trains[kept].any()


@pytest.mark.parametrize("counts", [[120], [61, 59], [41, 40, 39], [7] * 17 + [1], [1] * 120])
def test_where_half_is_enough_for_the_gate_rounding_leaves_enough(counts: list[int]):
    """Twice `n_min` new windows, of however many devices, are a round that can be judged."""
    devices = [
        _named(_material(np.arange(500.0, 500 + n), np.arange(n) % 3), f"d{i}") for i, n in enumerate(counts)
    ]
    stream = functools.reduce(Material.and_then, devices)
    trains, judges = hold_out(stream, 0, Gate(n_min=60))
    assert judges.sum() >= sum(counts) // 2
    assert (trains | judges).all()


def _named(material: Material, device: str) -> Material:
    return dataclasses.replace(material, devices=np.full(len(material), device))

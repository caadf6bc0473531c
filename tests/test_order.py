"""Readings of one device put in order of time, whatever the network did to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.order import Rows, Sorter
from iot_stream.readings import Block

START = 1_424_357_000_000_000_000
LATENESS = 1000
FOREVER = 10**15


def sorter(*sources: int, channels: tuple[str, ...] = ("a",), wait: int = FOREVER) -> Sorter:
    return Sorter(channels, sources or (0,), LATENESS, wait)


def block(
    first: int, count: int = 1, seq: int = -1, boot: str = "", step: int = 10, source: int = 0
) -> Block:
    """Readings at `first`, `first + step` …, whose value is their time."""
    times = START + first + step * np.arange(count)
    values = (times - START).astype(np.float32)[:, None]
    return Block("d", ("a",), times, values, boot, seq, source)


def push(target: Sorter, *blocks: Block) -> list[int]:
    """Times that come out, from START."""
    out: list[int] = []
    for each in blocks:
        times, values, _ = target.push(each, int(each.times[-1]))
        np.testing.assert_array_equal(values[:, 0], (times - START).astype(np.float32))
        out += (times - START).tolist()
    return out


@st.composite
def deliveries(draw: st.DrawFn, numbered: bool) -> tuple[list[Block], list[Block]]:
    """Blocks of one device as sent, and as they arrive: overtaken within the bound, doubled, lost."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=15))
    sent, seq, time = [], 0, 0
    for size in sizes:
        sent.append(block(time, size, seq if numbered else -1, "boot" if numbered else "", step=10))
        seq, time = seq + size, time + 10 * size + draw(st.sampled_from([0, 0, 0, 50, 400, 3000]))
    arrivals = []
    for each in sent:
        for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 0]))):
            arrivals.append((int(each.times[-1]) + draw(st.integers(0, LATENESS - 1)), len(arrivals), each))
    return sent, [each for _, _, each in sorted(arrivals, key=lambda a: a[:2])]


@given(deliveries(numbered=True), st.data())
def test_numbered_blocks_come_out_in_order_once_and_what_is_lost_is_counted(
    delivery: tuple[list[Block], list[Block]], data: st.DataObject
) -> None:
    sent, arrived = delivery
    target = sorter()
    out: list[int] = []
    for each in arrived:
        out += push(target, each)
        if data.draw(st.booleans()):
            snapshot = target.snapshot()
            target = sorter()
            target.restore(snapshot)
            assert target.snapshot() == snapshot
    times = target.idle(FOREVER + START).times
    out += (times - START).tolist()
    expected = sorted({time for each in arrived for time in (each.times - START).tolist()})
    assert out == expected
    came = {each.seq for each in arrived}
    first, last = min(came, default=0), max(came, default=-1)
    gone = [each for each in sent if first < each.seq < last and each.seq not in came]
    assert target.lost == sum(map(len, gone))
    assert target.late == sum(len(each) for each in arrived) - len(expected)  # the copies


@given(deliveries(numbered=True))
def test_a_row_says_how_many_never_came_before_it(delivery: tuple[list[Block], list[Block]]) -> None:
    sent, arrived = delivery
    target = sorter()
    found = [target.push(each, int(each.times[-1])) for each in arrived] + [target.idle(FOREVER + START)]
    number = {time: i for i, time in enumerate(time for each in sent for time in each.times.tolist())}
    place = -1
    for rows in found:
        for time, missed in zip(rows.times.tolist(), rows.missed.tolist(), strict=True):
            place += 1 + missed
            assert place == number[time]


@given(deliveries(numbered=False), st.data())
def test_readings_without_numbers_come_out_in_order(
    delivery: tuple[list[Block], list[Block]], data: st.DataObject
) -> None:
    _, arrived = delivery
    target = sorter()
    out: list[int] = []
    for each in arrived:
        out += push(target, each)
        if data.draw(st.booleans()):
            snapshot = target.snapshot()
            target = sorter()
            target.restore(snapshot)
    times = target.idle(FOREVER + START).times
    out += (times - START).tolist()
    assert out == sorted(out)
    assert set(out) == {time for each in arrived for time in (each.times - START).tolist()}
    assert target.lost == 0


@given(st.data())
def test_interleaved_readings_without_numbers_come_out_in_order(data: st.DataObject) -> None:
    """Batches that overlap in time, as from a gateway that collects each sensor on its own."""
    moments = data.draw(st.lists(st.integers(0, 3000), min_size=1, max_size=40, unique=True))
    owners = [data.draw(st.integers(0, 3)) for _ in moments]
    batches = [sorted(m for m, owner in zip(moments, owners, strict=True) if owner == k) for k in range(4)]
    batches = [batch for batch in batches if batch and batch[-1] - batch[0] < LATENESS]
    target = sorter()
    out: list[int] = []
    for batch in sorted(batches, key=lambda b: b[-1]):
        times = START + np.array(batch)
        out += push(target, Block("d", ("a",), times, np.array(batch, np.float32)[:, None]))
    times = target.idle(FOREVER + START).times
    assert out + (times - START).tolist() == sorted(m for batch in batches for m in batch)
    assert target.late == 0


def test_push_gives_the_next_number_at_once() -> None:
    target = sorter()
    assert push(target, block(0, seq=0, boot="x")) == [0]
    assert push(target, block(10, seq=1, boot="x")) == [10]


def test_a_missing_number_is_waited_for_within_the_bound_only() -> None:
    target = sorter()
    assert push(target, block(0, seq=0, boot="x"), block(20, seq=2, boot="x")) == [0]
    assert push(target, block(10, seq=1, boot="x")) == [10, 20]
    assert push(target, block(40, seq=4, boot="x")) == []
    assert push(target, block(40 + LATENESS, seq=5, boot="x")) == [40, 40 + LATENESS]
    assert target.lost == 1
    assert push(target, block(30, seq=3, boot="x")) == []
    assert target.late == 1


def test_idle_ends_the_waiting_when_nothing_more_comes() -> None:
    target = sorter()
    push(target, block(0, seq=0, boot="x"), block(20, seq=2, boot="x"))
    arrived = START + 20
    assert len(target.idle(arrived + LATENESS - 1)[0]) == 0
    assert (target.idle(arrived + LATENESS)[0] - START).tolist() == [20]
    assert target.lost == 1


def test_a_new_boot_ends_the_waiting_and_counts_from_zero() -> None:
    target = sorter()
    assert push(target, block(0, seq=0, boot="x"), block(20, seq=2, boot="x")) == [0]
    assert push(target, block(50, seq=0, boot="y")) == [20, 50]
    assert target.lost == 1
    assert push(target, block(60, seq=1, boot="y")) == [60]


def test_a_straggler_of_the_former_boot_is_late_and_disturbs_nothing() -> None:
    target = sorter()
    push(target, block(0, seq=0, boot="x"), block(50, seq=0, boot="y"))
    assert push(target, block(10, seq=1, boot="x")) == []
    assert push(target, block(55, seq=9, boot="x")) == []
    assert push(target, block(60, seq=1, boot="y")) == [60]
    assert (target.late, target.lost) == (2, 0)


def test_a_clock_set_back_makes_readings_late() -> None:
    target = sorter()
    assert push(target, block(100, seq=0, boot="x"), block(50, seq=1, boot="x")) == [100]
    assert push(target, block(110, seq=2, boot="x")) == [110]
    assert target.late == 1


def test_blocks_of_a_source_that_is_not_ours_are_left_alone() -> None:
    assert push(sorter(1), block(0, seq=0, boot="x", source=0)) == []


# --- joined sources


def numbered(block: Block, seq: int) -> Block:
    return Block(block.device, block.channels, block.times, block.values, block.boot, seq, block.source)


def channel(name: str, source: int, *readings: tuple[int, float]) -> Block:
    times = np.array([START + time for time, _ in readings])
    values = np.array([[value] for _, value in readings], np.float32)
    return Block("d", (name,), times, values, source=source, boot=name, seq=0)


def rows(result: Rows) -> list[tuple[int, list[float]]]:
    return list(zip((result.times - START).tolist(), result.values.tolist(), strict=True))


def test_a_row_waits_for_its_late_channel_and_joins_it() -> None:
    target = sorter(0, 1, channels=("co2", "light"))
    assert rows(target.push(channel("co2", 0, (0, 400), (10, 500), (20, 600)), START)) == []
    joined = rows(target.push(channel("light", 1, (0, 1), (10, 2)), START))
    assert joined == [(0, [400, 1]), (10, [500, 2])]
    again = numbered(channel("light", 1, (20, 3)), 2)
    assert rows(target.push(again, START)) == [(20, [600, 3])]


def test_a_row_waits_for_another_source_no_longer_than_it_may() -> None:
    target = sorter(0, 1, channels=("co2", "light"), wait=100)
    assert rows(target.push(channel("co2", 0, (0, 400), (100, 500)), START))[0][0] == 0
    assert target.late == 0
    assert rows(target.push(channel("light", 1, (0, 1), (90, 2)), START)) == [
        (90, [pytest.approx(float("nan"), nan_ok=True), 2])
    ]
    assert target.late == 1


@given(st.data())
def test_joined_rows_are_those_of_a_table_merged_by_time(data: st.DataObject) -> None:
    table: dict[int, list[float]] = {}
    arrivals: list[tuple[int, Block]] = []
    for source, name in enumerate(("a", "b", "c")):
        times = sorted(data.draw(st.sets(st.integers(0, 60), min_size=1, max_size=30)))
        seq = 0
        while times:
            take = data.draw(st.integers(1, len(times)))
            part, times = times[:take], times[take:]
            for time in part:
                table.setdefault(time, [float("nan")] * 3)[source] = 100 * source + time
            each = channel(name, source, *[(time, 100 * source + time) for time in part])
            arrivals.append((part[-1] + data.draw(st.integers(0, 40)), numbered(each, seq)))
            seq += take
    target = sorter(0, 1, 2, channels=("a", "b", "c"))
    out = []
    for _, each in sorted(arrivals, key=lambda a: (a[0], a[1].source, a[1].seq)):
        out += rows(target.push(each, START))
        snapshot = target.snapshot()
        target = sorter(0, 1, 2, channels=("a", "b", "c"))
        target.restore(snapshot)
    end = min(max(time for time, row in table.items() if row[k] == row[k]) for k in range(3))
    expected = [(time, row) for time, row in sorted(table.items()) if time <= end]
    assert [time for time, _ in out] == [time for time, _ in expected]
    np.testing.assert_array_equal([row for _, row in out], [row for _, row in expected])
    assert (target.late, target.lost) == (0, 0)

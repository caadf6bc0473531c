"""The collector's tables: once and only once, bounded, in order."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.columns import Columns
from iot_stream.readings import Block, Label
from iot_stream.store import Store, journal, known
from iot_stream.store.faults import QUARANTINE_BYTES, QUARANTINE_ROWS
from iot_stream.store.journal import Prediction
from iot_stream.store.known import Device
from iot_stream.store.segment import pack, unpack
from iot_stream.windows import Windows
from tests.streams import START


def block(
    seq: int = -1, boot: str = "", count: int = 2, device: str = "d", source: int = 0, at: int = 0
) -> Block:
    times = START + at + np.arange(count) * 10
    values = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    return Block(device, ("a", "b"), times, values, boot, seq, source)


def append(store: Store, *blocks: Block, pipeline: str = "p") -> list[bool]:
    """Each in a segment of its own."""
    with store.write() as tx:
        return [
            store.journal.append(tx, pipeline, Columns.of([each]), START + i)[0]
            for i, each in enumerate(blocks)
        ]


def windows(*starts: int) -> Windows:
    begin = np.array(starts, np.int64)
    return Windows(begin, begin + 5, np.arange(len(starts) * 6, dtype=np.float32).reshape(-1, 3, 2))


def add_windows(store: Store, *starts: int, cut: str = "c", device: str = "d", arrived: int = START) -> None:
    with store.write() as tx:
        store.journal.add_windows(tx, "p", cut, [(device, windows(*starts), arrived)])


# --- readings


def test_a_block_comes_back_as_it_went_in(store: Store) -> None:
    sent = Block("d", ("a",), START + np.arange(2), np.array([[1.5], [np.nan]], np.float32), "x", 3, 1, True)
    append(store, sent)
    (entry,) = store.journal.after("p", 0, 10)
    assert entry.arrived == START
    np.testing.assert_array_equal(entry.block.times, sent.times)
    assert entry.block.values.tobytes() == sent.values.tobytes()
    assert entry.block.packed() == sent.packed()


def test_a_redelivery_is_seen_by_its_number(store: Store) -> None:
    assert append(store, block(0, "x"), block(2, "x"), block(0, "x")) == [True, True, False]
    assert append(store, block(0, "y"), block(0, "x", source=1), block(0, "x", device="e")) == [True] * 3
    assert append(store, block(0, "x"), pipeline="q") == [True]
    assert store.journal.readings("p") == {"d": 8, "e": 2}
    assert ("d", 0, "x", 2, 2) in store.journal.numbers("p")


def test_a_redelivery_without_numbers_is_seen_by_its_times(store: Store) -> None:
    assert append(store, block(), block(at=10), block()) == [True, True, False]


def test_after_goes_on_from_a_position_within_a_pipeline(store: Store) -> None:
    append(store, *(block(i * 2, "x") for i in range(5)))
    append(store, block(0, "x"), pipeline="q")
    first = store.journal.after("p", 0, 3)
    rest = store.journal.after("p", first[-1].id, 100)
    assert [entry.block.seq for entry in first + rest] == [0, 2, 4, 6, 8]


def test_now_is_the_clock_of_the_newest_block(store: Store) -> None:
    assert store.journal.now("p") == 0
    append(store, block(0, "x"), block(2, "x"))
    assert store.journal.now("p") == START + 1


def test_blocks_of_one_segment_that_follow_each_other_come_as_one(store: Store) -> None:
    with store.write() as tx:
        sent = [block(0, "x"), block(0, "y", device="e"), block(2, "x"), block(5, "x"), block(0, "z")]
        store.journal.append(tx, "p", Columns.of(sent), START)
    got = [entry.block for entry in store.journal.after("p", 0, 10)]
    assert [(each.device, each.boot, each.seq, len(each)) for each in got] == [
        ("d", "x", 0, 4), ("d", "x", 5, 2), ("d", "z", 0, 2), ("e", "y", 0, 2),
    ]  # fmt: skip
    np.testing.assert_array_equal(got[0].times, np.concatenate([sent[0].times, sent[2].times]))
    np.testing.assert_array_equal(got[0].values, np.concatenate([sent[0].values, sent[2].values]))


@given(st.data())
def test_a_segment_gives_each_devices_readings_in_order(data: st.DataObject) -> None:
    """Whatever comes together: numbered or not, of one channel or two, as lists or as arrays."""
    blocks = []
    for number in range(data.draw(st.integers(1, 12))):
        count, names = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([("a",), ("b",), ("a", "b")]))
        times = [START + number * 10 + i for i in range(count)]
        values = [float(number * 100 + i) for i in range(count * len(names))]
        device, boot = data.draw(st.sampled_from("de")), data.draw(st.sampled_from(["", "x"]))
        seq, source = (number * 4, data.draw(st.integers(0, 1))) if boot else (-1, 0)
        sent = Block(device, names, times, values, boot, seq, source)
        blocks.append(sent.holding(sent.times, sent.values) if data.draw(st.booleans()) else sent)
    kept = list(unpack(*pack(Columns.of(blocks))))

    def told(each: Block) -> list[tuple[object, ...]]:
        where = (each.device, each.channels, each.boot, each.source)
        rows = zip(each.times.tolist(), each.values.tolist(), strict=True)
        return [
            (*where, each.seq + i if each.numbered else -1, time, tuple(row))
            for i, (time, row) in enumerate(rows)
        ]

    for device in "de":
        assert [row for each in kept if each.device == device for row in told(each)] == [
            row for each in blocks if each.device == device for row in told(each)
        ]


def test_what_is_infinite_is_kept_as_missing(store: Store) -> None:
    append(store, Block("d", ("a",), [START, START + 1], [1e39, None]))
    (entry,) = store.journal.after("p", 0, 10)
    assert np.isnan(entry.block.values).all()


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=30))
def test_numbers_are_new_unless_all_of_them_have_been_heard(blocks: list[tuple[int, int]]) -> None:
    device, heard = Device(), set[int]()
    for seq, count in blocks:
        numbers = set(range(seq, seq + count))
        assert device.news("x", seq, count) == (not numbers <= heard)
        heard |= numbers
    assert {n for a, b in batched(device.boots.get("x", [])) for n in range(a, b)} == heard


def batched(ranges: list[int]) -> Iterator[tuple[int, int]]:
    return zip(ranges[::2], ranges[1::2], strict=True)


def test_what_is_known_is_bounded() -> None:
    device = Device()
    for boot in range(100):
        device.news(str(boot), 0, 1)
    for number in range(10_000):
        device.news("full of gaps", 2 * number, 1)
    assert len(device.boots) == known.BOOTS
    assert len(device.boots["full of gaps"]) == 2 * known.RANGES
    assert device.news("full of gaps", 20_000, 1)
    assert not device.news("full of gaps", 19_998, 1)


def test_another_process_goes_on_from_the_store(place: Path | str) -> None:
    first = Store(place)
    append(first, block(0, "x"), block())
    with first.write() as tx:
        first.journal.save_known(tx, "p")
    append(first, block(2, "x"), block(at=10))
    first.close()
    second = Store(place)
    assert second.journal.readings("p") == {"d": 8}
    redelivered = append(second, block(0, "x"), block(), block(2, "x"), block(at=10), block(4, "x"))
    assert redelivered == [False] * 4 + [True]
    assert second.journal.readings("p") == {"d": 10}
    second.close()


def test_what_two_collectors_write_is_known_to_both(place: Path | str) -> None:
    one, other = Store(place), Store(place)
    assert append(one, block(0, "x")) == [True]
    assert append(other, block(0, "x"), block(2, "x")) == [False, True]
    assert append(one, block(2, "x"), block(4, "x")) == [False, True]
    one.close()
    other.close()


def test_what_was_rolled_back_is_new_when_it_comes_again(store: Store) -> None:
    append(store, block(0, "x"))
    with suppress(InterruptedError), store.write() as tx:
        store.journal.append(tx, "p", Columns.of([block(2, "x"), block()]), START)
        raise InterruptedError
    assert append(store, block(0, "x"), block(2, "x"), block()) == [False, True, True]


# --- windows


def test_a_window_is_there_once_under_its_key(store: Store) -> None:
    add_windows(store, 10, 20, 30)
    add_windows(store, 20, 30, 40)
    add_windows(store, 20, cut="other")
    add_windows(store, 20, device="e")
    found = store.journal.windows("p", "c", (3, 2))
    assert sorted(zip(found.devices.tolist(), found.starts.tolist(), strict=True)) == [
        ("d", 10), ("d", 20), ("d", 30), ("d", 40), ("e", 20),
    ]  # fmt: skip
    np.testing.assert_array_equal(found.x[1], windows(10, 20).x[1])
    assert store.journal.window_count("p", "c") == 5
    assert ("c", "d", 4, 10, 45) in store.journal.window_stats("p")


def test_windows_are_read_on_from_an_id_or_the_newest(store: Store) -> None:
    add_windows(store, *range(0, 100, 10))
    everything = store.journal.windows("p", "c", (3, 2))
    later = store.journal.windows("p", "c", (3, 2), after=int(everything.ids[6]))
    assert later.starts.tolist() == [70, 80, 90]
    newest = store.journal.windows("p", "c", (3, 2), newest=2)
    assert newest.starts.tolist() == [80, 90]
    assert store.journal.windows("p", "c", (3, 2), limit=1).starts.tolist() == [0]
    assert everything.rows(everything.starts > 50).starts.tolist() == [60, 70, 80, 90]


def test_no_windows_have_their_shape_too(store: Store) -> None:
    none = store.journal.windows("p", "c", (3, 2))
    assert (len(none), none.x.shape) == (0, (0, 3, 2))


# --- labels, predictions, counters


def test_a_later_label_for_the_same_time_corrects_the_former(store: Store) -> None:
    with store.write() as tx:
        for value in (0, 1):
            store.journal.add_label(tx, "p", Label("d", 5, 9, value), START)
        store.journal.add_label(tx, "p", Label.at("d", 5, 0), START)
    assert sorted(store.journal.labels("p"), key=lambda label: label.end) == [
        Label("d", 5, 5, 0),
        Label("d", 5, 9, 1),
    ]


def test_the_first_prediction_of_a_window_counts(store: Store) -> None:
    with store.write() as tx:
        store.journal.add_predictions(
            tx, "p", [Prediction("d", 5, 1, 0, 0.9), Prediction("d", 7, 1, 1, 0.8)], START
        )
        store.journal.add_predictions(tx, "p", [Prediction("d", 5, 2, 1, 0.7)], START)
    assert store.journal.predictions("p") == [Prediction("d", 5, 1, 0, 0.9), Prediction("d", 7, 1, 1, 0.8)]
    assert store.journal.predictions("p", since=6) == [Prediction("d", 7, 1, 1, 0.8)]


def test_quarantine_keeps_the_newest_and_cuts_the_long(store: Store) -> None:
    with store.write() as tx:
        for i in range(QUARANTINE_ROWS + 50):
            store.faults.quarantine(
                tx, i, "p", "d", "t", "malformed", "x" * 9999, b"y" * (QUARANTINE_BYTES + 1)
            )
    rows = store.read("SELECT at, length(detail), length(payload) FROM quarantine ORDER BY at")
    assert len(rows) == QUARANTINE_ROWS
    assert rows[0] == (50, 500, QUARANTINE_BYTES)


# --- retention


def test_retention_forgets_a_piece_at_a_time_what_is_too_old(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RETENTION_ROWS", 4)
    monkeypatch.setattr(journal, "RETENTION_SEGMENTS", 4)
    append(store, *(block(i * 2, "x") for i in range(10)))  # arrived at START … START + 9
    append(store, block(0, "x"), pipeline="q")
    for i in range(10):
        add_windows(store, i, arrived=START + i)
        with store.write() as tx:
            store.journal.add_label(tx, "p", Label.at("d", i, 0), START + i)
            store.journal.add_predictions(tx, "p", [Prediction("d", i, 1, 0, 1.0)], START + i)
    gone = []
    for _ in range(4):
        with store.write() as tx:
            gone.append(store.journal.retain(tx, "p", START + 7))
    assert gone == [16, 12, 0, 0]
    assert [entry.block.seq for entry in store.journal.after("p", 0, 100)] == [14, 16, 18]
    assert store.journal.windows("p", "c", (3, 2)).starts.tolist() == [7, 8, 9]
    assert [label.start for label in store.journal.labels("p")] == [7, 8, 9]
    assert [prediction.time for prediction in store.journal.predictions("p")] == [7, 8, 9]
    assert store.journal.readings("q") == {"d": 2}


def test_oldest_are_those_that_every_cutter_has_cut(store: Store) -> None:
    append(store, *(block(i * 2, "x") for i in range(10)))  # arrived at START … START + 9
    assert store.journal.oldest("p", 3) is None
    with store.write() as tx:
        store.memory.save_cutters(tx, "p", "student", 9, {})
        store.memory.save_cutters(tx, "p", "teacher", 5, {})
    assert store.journal.oldest("p", 3) == START + 3
    assert store.journal.oldest("p", 5) is None


def test_used_falls_when_rows_go_though_the_file_stays(store: Store) -> None:
    append(store, *(block(i * 2, "x") for i in range(2000)))
    full = store.used()
    assert 2000 * 10 < full < 2000 * 1000
    gone = 1
    while gone:
        with store.write() as tx:
            gone = store.journal.retain(tx, "p", START + 10_000)
    assert store.used() < full / 2


def test_ids_go_on_after_retention_has_emptied_a_table(store: Store) -> None:
    """A cutter, or a distiller, that goes on from its last id must not miss what comes next."""
    append(store, block(0, "x"), block(2, "x"))
    add_windows(store, 1, 2)
    position = store.journal.after("p", 0, 100)[-1].id
    newest = int(store.journal.windows("p", "c", (3, 2)).ids[-1])
    with store.write() as tx:
        store.journal.retain(tx, "p", START + 100)
    assert store.journal.readings("p") == {}
    append(store, block(4, "x"))
    add_windows(store, 3)
    assert [entry.block.seq for entry in store.journal.after("p", position, 100)] == [4]
    assert store.journal.windows("p", "c", (3, 2), after=newest).starts.tolist() == [3]


def test_what_has_been_received_never_falls(store: Store) -> None:
    append(store, block(0, "boot", 5), block(-1, device="e", count=3, at=1))
    with store.write() as tx:
        store.journal.save_known(tx, "p")
    append(store, block(5, "boot", 4))
    assert store.journal.received("p") == store.journal.readings("p") == {"d": 9, "e": 3}
    with store.write() as tx:
        store.journal.retain(tx, "p", START + 1)
    assert store.journal.readings("p") == {"e": 3}
    assert store.journal.received("p") == {"d": 9, "e": 3}
    append(store, block(0, "boot", 5))
    assert store.journal.received("p") == {"d": 9, "e": 3}


def test_readings_with_numbers_are_those_whose_loss_can_be_told(store: Store) -> None:
    append(store, block(0, "boot", 5), block(-1, device="e", count=3, at=1))
    assert store.journal.numbered("p") == {"d": 5, "e": 0}
    with store.write() as tx:
        store.journal.save_known(tx, "p")
    append(store, block(5, "boot", 4), block(-1, device="e", count=1, at=9))
    assert store.journal.numbered("p") == {"d": 9, "e": 0}
    assert store.journal.numbered("p", [0]) == {"d": 9, "e": 4}  # its messages have numbers
    with store.write() as tx:
        store.journal.retain(tx, "p", START + 1)
    assert store.journal.numbered("p")["d"] == 9


def test_windows_that_are_there_already_are_not_new(store: Store) -> None:
    with store.write() as tx:
        assert store.journal.add_windows(tx, "p", "c", [("d", windows(1, 2), START)]) == 2
        assert store.journal.add_windows(tx, "p", "c", [("d", windows(2, 3), START)]) == 1

"""What a page asks of one thing, of either engine."""

import numpy as np
import pytest

from iot_stream.columns import Columns
from iot_stream.readings import Block, Label
from iot_stream.store import Store, inspection
from iot_stream.store.journal import Prediction
from iot_stream.store.rollouts import RUNNING, Rollout
from iot_stream.windows import Windows
from tests.service.running import NAME
from tests.streams import START
from tests.watch.stores import SECOND, end_round, join, release


def arrive(store: Store, arrived: int, *blocks: Block) -> None:
    with store.write() as tx:
        store.journal.append(tx, NAME, Columns.of(list(blocks)), arrived)


def block(device: str, first: int, values: list[list[float]], names: tuple[str, ...] = ("a", "b")) -> Block:
    times = START + (first + np.arange(len(values))) * SECOND
    return Block(device, names, times, np.array(values, np.float32))


def told(found: list[Block]) -> list[tuple[int, list[float]]]:
    return [
        ((time - START) // SECOND, row)
        for each in found
        for time, row in zip(each.times.tolist(), each.values.tolist(), strict=True)
    ]


def test_readings_of_one_device_are_found_among_those_of_others(store: Store) -> None:
    arrive(
        store,
        10,
        block("other", 0, [[9, 9]]),
        block("pump", 0, [[1, 2], [3, 4]]),
        block("fan", 0, [[7]], ("a",)),
    )
    arrive(store, 20, block("other", 1, [[9, 9]]))
    arrive(
        store, 30, block("fan", 1, [[7]], ("a",)), block("pump", 2, [[5, 6]]), block("pump", 3, [[7]], ("b",))
    )
    found = store.inspection.readings(NAME, "pump", 0, 30)
    assert told(found.blocks) == [(0, [1, 2]), (1, [3, 4]), (2, [5, 6]), (3, [7])]
    assert [each.channels for each in found.blocks] == [("a", "b"), ("a", "b"), ("b",)]
    assert found.whole
    assert store.inspection.readings(NAME, "pump", 0, 30, after=found.segment) == ([], found.segment, True)
    assert told(store.inspection.readings(NAME, "pump", 0, 29).blocks) == [(0, [1, 2]), (1, [3, 4])]
    assert told(store.inspection.readings(NAME, "pump", 11, 30).blocks) == [(2, [5, 6]), (3, [7])]
    assert store.inspection.readings(NAME, "pum", 0, 30).blocks == []


def test_what_each_source_brought_of_late(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.inspection.arrived(NAME, 2) == {}
    arrive(store, 10, block("pump", 0, [[1, 2]]).of_source(1))
    for second in range(20, 140):
        arrive(store, second, block("pump", second, [[1, 2]]))
    assert store.inspection.arrived(NAME, 3) == {0: 139, 1: 10}
    monkeypatch.setattr(inspection, "MOST_HEADS", 1)
    assert store.inspection.arrived(NAME, 3) == {0: 139}


def test_of_too_much_the_newest_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for second in range(120):
        arrive(store, second, block("pump", second, [[second, 0]]))
    monkeypatch.setattr(inspection, "MOST_BYTES", 2000)
    found = store.inspection.readings(NAME, "pump", 0, 200)
    seconds = [second for second, _ in told(found.blocks)]
    assert not found.whole
    assert 0 < len(seconds) < 120
    assert seconds == list(range(120 - len(seconds), 120))


def test_rounds_and_versions_come_page_by_page(store: Store) -> None:
    for number in range(5):
        end_round(
            store, number, "released", 100 + number, 200 + number, cohort="ab"[number % 2], version=number
        )
        release(store, number + 1, cohort="ab"[number % 2])
    first = store.inspection.rounds(NAME, 2)
    assert [row.id for row in first] == ["r4", "r3"]
    assert [row.id for row in store.inspection.rounds(NAME, 2, before=first[-1].started)] == ["r2", "r1"]
    assert [row.id for row in store.inspection.rounds(NAME, 9, cohort="b")] == ["r3", "r1"]
    found = store.inspection.round(NAME, "r3")
    assert found is not None
    assert (found.cohort, found.ended) == ("b", 203)
    assert store.inspection.round("another", "r3") is None
    assert [row.version for row in store.inspection.versions(NAME, 9)] == [5, 4, 3, 2, 1]
    assert [row.version for row in store.inspection.versions(NAME, 9, cohort="b")] == [4, 2]
    one = store.inspection.version(NAME, "a", 3)
    assert one is not None
    assert (one.weights, one.encoding) == ("w", "int8")
    assert store.inspection.version(NAME, "b", 3) is None


def test_sizes_are_those_of_what_is_there(store: Store) -> None:
    with store.write() as tx:
        small, large = (store.registry.put_artifact(tx, b"x" * size) for size in (3, 5000))
    assert store.inspection.sizes([small, large, small, "gone"]) == {small: 3, large: 5000}
    assert store.inspection.sizes([]) == {}


def test_devices_are_counted_by_what_they_run(store: Store) -> None:
    join(store, "a", 1)
    join(store, "b", 1)
    join(store, "c", 2, cohort="north")
    assert store.inspection.running(NAME) == {("all", 1): 2, ("north", 2): 1}


def test_what_happened_to_a_device_is_told_newest_first(store: Store) -> None:
    for version in (1, 2, 3):
        store.registry.add_event(NAME, "pump", "applied", version, START, f'{{"version":{version}}}')
        store.registry.add_event(NAME, "fan", "health", version, START, "{}")
    events = store.inspection.events(NAME, "pump", 2)
    assert [(each.event, each.version, each.report) for each in events] == [
        ("applied", 3, '{"version":3}'),
        ("applied", 2, '{"version":2}'),
    ]
    with store.write() as tx:
        store.faults.count(tx, NAME, "pump", "lost", 7)
        store.faults.count(tx, NAME, "fan", "lost")
        store.faults.quarantine(tx, START, NAME, "pump", "t", "malformed", "", b"")
    assert store.inspection.problems(NAME, "pump") == {"lost": 7}
    assert [store.inspection.quarantined(NAME, device) for device in ("pump", "fan")] == [1, 0]
    assert store.inspection.status(NAME, "pump") == ""
    join(store, "pump", 3)
    assert store.inspection.status(NAME, "pump") == "{}"


def test_what_was_said_of_a_time_is_found_oldest_first(store: Store) -> None:
    with store.write() as tx:
        for end in range(10):
            store.journal.add_predictions(tx, NAME, [Prediction("pump", end, 1, end % 2, 0.5)], end)
            store.registry.add_outputs(tx, [(NAME, "teacher:k", "pump", end, end, end, bytes([end]))])
            store.journal.add_label(tx, NAME, Label("pump", 2 * end, 2 * end + 1, 1), end)
    ask = store.inspection
    assert [each.time for each in ask.predictions(NAME, "pump", 3, 7, 3)] == [5, 6, 7]
    assert ask.outputs(NAME, "teacher:k", "pump", 3, 7, 2) == [(6, b"\x06"), (7, b"\x07")]
    assert [each.start for each in ask.labels(NAME, "pump", 5, 8, 9)] == [4, 6, 8]
    assert ask.predictions(NAME, "fan", 3, 7, 3) == []


def test_labels_are_counted_with_those_that_meet_a_window(store: Store) -> None:
    """Windows of ten, hop five, and one that a pause made long: 0…9, 5…14, 10…19, 15…60."""
    starts, ends = np.array([0, 5, 10, 15]), np.array([9, 14, 19, 60])
    x = np.zeros((4, 10, 1), np.float32)
    with store.write() as tx:
        for device in ("pump", "fan"):
            store.journal.add_windows(tx, NAME, "cut", [(device, Windows(starts, ends, x), START)])
        others = Windows(starts + 1, ends + 1, x)
        store.journal.add_windows(tx, NAME, "other", [("pump", others, START)])
        for start, end in [(0, 8), (0, 9), (9, 9), (10, 13), (10, 14), (20, 59), (59, 70), (61, 90)]:
            store.journal.add_label(tx, NAME, Label("pump", start, end, 1), START)
        store.journal.add_label(tx, NAME, Label("pmup", 0, 90, 1), START)
    ask = store.inspection
    assert ask.labelled(NAME, "cut") == [("pmup", 1, 0, 0, 1, 0), ("pump", 8, 0, 61, 7, 4)]
    assert ask.labelled(NAME, "former") == [("pmup", 1, 0, 0, 1, 0), ("pump", 8, 0, 61, 7, 0)]
    assert ask.labelled("another", "cut") == []


def test_the_newest_decisions_are_told(store: Store) -> None:
    with store.write() as tx:
        for stage in range(3):
            rollout = Rollout("all", 2, RUNNING, stage, 0, 0)
            store.rollouts.save(tx, NAME, rollout, "someone", f"to stage {stage}", "because")
    assert [each.what for each in store.inspection.decisions(NAME, 2)] == ["to stage 2", "to stage 1"]


def test_predictions_that_meet_a_window_are_told_of_those_that_should(store: Store) -> None:
    times = START + np.arange(5) * SECOND
    windows = Windows(times - 1, times, np.zeros((5, 1, 1), np.float32))
    said = [
        times[0] - 1,
        times[0],
        times[1] + 1,
        times[2],
        times[4] + 1,
    ]  # before the first, …, after the last
    with store.write() as tx:
        store.journal.add_windows(tx, NAME, "c", [("a", windows, START)])
        predictions = [Prediction("a", int(time), 1, 0, 0.5) for time in said]
        store.journal.add_predictions(tx, NAME, predictions, START)
    found = store.inspection.spoken(NAME, "c", "a")
    assert (found.due, found.met, found.certainty) == (3, 2, 0.5)
    assert found.last == predictions[-1]
    assert store.inspection.spoken(NAME, "other", "a").due == 0
    assert store.inspection.spoken(NAME, "c", "b") == (0, 0, 0.0, None)

"""What a watcher asks, of either engine: the same answers as from all rows."""

import random

import numpy as np

from iot_stream import labelling
from iot_stream.readings import Label
from iot_stream.store import Store
from iot_stream.store.journal import Prediction
from tests.service.running import NAME
from tests.streams import START
from tests.watch.stores import KEY, end_round, hear, join, release, speak


def test_windows_have_the_label_that_holds_at_their_end(store: Store) -> None:
    chance = random.Random(1)
    ends = [(device, end) for device in "ab" for end in range(0, 300, 3)]
    labels = [
        Label(chance.choice("ab"), start, start + chance.randrange(40), chance.randrange(3))
        for start in (chance.randrange(300) for _ in range(60))
    ]
    with store.write() as tx:
        store.journal.add_predictions(tx, NAME, [Prediction(d, end, 1, 0, 0.5) for d, end in ends], START)
        for label in labels:
            store.journal.add_label(tx, NAME, label, START)
    found: dict[tuple[str, int], int] = {}
    for device, end, _, truth in store.overview.predictions_under(NAME, 1000):
        found.setdefault((device, end), truth)
    devices, moments = np.array([d for d, _ in ends]), np.array([end for _, end in ends], np.int64)
    truth, _ = labelling.join(devices, moments, moments, store.journal.labels(NAME))
    expected = {key: int(t) for key, t in zip(ends, truth, strict=True) if t != labelling.NO_LABEL}
    assert found == expected
    assert 50 < len(found) < len(ends)


def test_outputs_are_those_of_the_models_that_are_asked_for(store: Store) -> None:
    release(store, 1)
    speak(store, "a", START, 1, student=1, static=0, teacher=1, static_all=0)
    speak(store, "a", START + 1, None, teacher=0)
    models = (f"static:{KEY[:16]}", f"teacher:{KEY[:16]}")
    under = store.overview.outputs_under(NAME, models, 10)
    assert sorted((model, end, label) for model, _, end, _, label in under) == [
        (models[0], START, 1),
        (models[1], START, 1),
    ]
    beside = store.overview.outputs_beside(NAME, models, 10)
    assert sorted((each.model, each.device, each.end) for each in beside) == [
        (models[0], "a", START),
        (models[1], "a", START),
    ]
    assert [len(each.logits) for each in beside] == [8, 8]


def test_releases_are_the_newest_of_each_cohort(store: Store) -> None:
    release(store, 1, bundle=b"12345")
    release(store, 2, bundle=b"123")
    release(store, 1, cohort="hall", bundle=b"1")
    found = store.overview.releases(NAME, "stable")
    assert [(each.cohort, each.version, each.size) for each in found] == [("all", 2, 3), ("hall", 1, 1)]


def test_rounds_and_events_are_told_from_where_somebody_was(store: Store) -> None:
    end_round(store, 1, "released", START, START + 5, version=2)
    end_round(store, 2, "held", START + 6, START + 9)
    assert [each.outcome for each in store.overview.rounds_ended(NAME, 0)] == ["released", "held"]
    assert [each.outcome for each in store.overview.rounds_ended(NAME, START + 5)] == ["held"]
    assert store.overview.rounds_running(NAME) == 0
    join(store, "a", 2, cohort="hall")
    for device in ("a", "a", "unknown"):
        store.registry.add_event(NAME, device, "applied", 2, 0, "{}")
    told = store.overview.events(NAME, 0)
    assert sorted((each.cohort, each.event, each.version, each.times) for each in told) == [
        ("", "applied", 2, 1),
        ("hall", "applied", 2, 2),
    ]
    assert store.overview.events(NAME, max(each.last_id for each in told)) == []


def test_totals_only_rise(store: Store) -> None:
    with store.write() as tx:
        for n in (3, 4):
            store.totals.add(tx, NAME, "bytes", n)
        store.totals.add(tx, "other", "bytes", 1)
    assert store.totals.of(NAME) == {"bytes": 7}


def cut(store: Store, device: str, *ends: int) -> None:
    with store.write() as tx:
        tx.executemany(
            'INSERT INTO windows (pipeline, cut, device, start, "end", arrived, x) VALUES (?,?,?,?,?,?,?)',
            [(NAME, "c", device, end - 1, end, end + 5, b"") for end in ends],
        )


def test_windows_are_told_with_what_was_said_of_them_and_gone_on_from(store: Store) -> None:
    models = (f"static:{KEY[:16]}", f"teacher:{KEY[:16]}")
    cut(store, "a", START, START + 1, START + 2)
    speak(store, "a", START, None, student=1, static=0, teacher=1)
    speak(store, "a", START + 1, None, teacher=0)
    found = store.overview.told(NAME, "c", models, 0, 10)
    assert [(each.end - START, each.student, each.p) for each in found] == [
        (0, 1, 0.9),
        (1, None, None),
        (2, None, None),
    ]
    assert [labelling.named(np.frombuffer(bytes(found[0].first or b""), np.float32)[None])[0]] == [0]
    assert [each.first is None for each in found] == [False, True, True]
    assert [each.second is None for each in found] == [False, False, True]
    assert store.overview.told(NAME, "c", models, found[0].id, 1) == [found[1]]
    assert store.overview.told(NAME, "other", models, 0, 10) == []
    assert store.overview.before_newest(NAME, "c", 1) == (found[1].id, START + 6)
    assert store.overview.before_newest(NAME, "c", 3) == (0, 0)


def test_labels_are_told_in_the_order_in_which_they_came(store: Store) -> None:
    with store.write() as tx:
        for end, arrived in ((1, 30), (2, 10), (3, 20)):
            store.journal.add_label(tx, NAME, Label("a", end, end, 0), arrived)
    assert store.overview.labels_since(NAME, 20, 10) == [("a", 3, 3, 0, 20), ("a", 1, 1, 0, 30)]
    assert store.overview.labels_since(NAME, 0, 1) == [("a", 2, 2, 0, 10)]


def test_rounds_and_swaps_are_told_without_their_reports(store: Store) -> None:
    end_round(store, 1, "rejected", 10, 20)
    end_round(store, 2, "released", 30, 40)
    release(store, 1)
    with store.write() as tx:
        tx.execute("UPDATE versions SET round = 'r2'")
    found = store.overview.rounds_outlined(NAME)
    assert [(each.id, each.outcome, each.version) for each in found] == [
        ("r1", "rejected", 0),
        ("r2", "released", 1),
    ]
    for device in "aab":
        store.registry.add_event(NAME, device, "applied", 1, 0, "{}")
    store.registry.add_event(NAME, "a", "health", 1, 0, "{}")
    (swap,) = store.overview.swaps(NAME, 0)
    assert (swap.version, swap.devices) == (1, 2)
    taken = store.overview.first_taken(NAME, 1, 0)
    assert taken.keys() == {"a", "b"}
    assert min(taken.values()) == swap.oldest
    assert store.overview.first_taken(NAME, 1, swap.oldest + 10**12) == {}
    assert store.overview.released_since(NAME, 0) == [("all", 10)]
    assert store.overview.released_since(NAME, 2**62) == []


def test_the_present_rate_is_of_the_newest_segments(store: Store) -> None:
    assert store.overview.readings_per_second(NAME, 10) is None
    for second in range(5):
        hear(store, f"d{second}", count=4, arrived=START + second * 2 * 10**9)
    assert store.overview.readings_per_second(NAME, 10) == 2.0
    assert store.overview.readings_per_second(NAME, 2) == 2.0
    assert store.overview.readings_per_second(NAME, 1) is None


def test_a_mark_moves_when_what_it_marks_does_and_no_other(store: Store) -> None:
    def moved() -> set[str]:
        before = marks.copy()
        marks.update(store.overview.marks(NAME, "c"))
        return {name for name in marks if marks[name] != before.get(name)}

    marks: dict[str, tuple[int, ...]] = {}
    assert len(moved()) == 14
    assert moved() == set()
    cut(store, "a", START)
    assert moved() == {"windows"}
    speak(store, "a", START, 1, student=1)
    assert moved() == {"labels", "predictions"}
    join(store, "a", 1)
    assert moved() == {"devices"}
    release(store, 1)
    assert moved() == {"versions"}
    end_round(store, 1, "held", 1, 2)
    assert moved() == {"rounds"}
    hear(store, "a")
    assert moved() == {"readings"}
    number = store.registry.command("me", "distil", NAME)
    assert moved() == {"commands"}
    store.registry.close_command(number, "done", "")
    assert moved() == {"commands"}
    excluded = store.scope.exclude("me", NAME, "a", 1, 2, "")
    assert moved() == {"exclusions"}
    store.scope.remove(NAME, excluded)
    assert moved() == {"exclusions"}
    store.scope.hold("me", NAME, "a", 1, "")
    assert moved() == {"holds"}
    store.scope.resume(NAME, "a", 2)
    assert moved() == {"holds"}
    store.scope.replace("me", NAME, "a", 3)
    assert moved() == {"replacements"}
    with store.write() as tx:
        store.faults.count(tx, NAME, "a", "lost")
        store.faults.quarantine(tx, 1, NAME, "a", "t", "malformed", "", b"")
    assert moved() == {"faults"}
    store.registry.add_event(NAME, "a", "applied", 1, 0, "{}")
    assert moved() == {"events"}

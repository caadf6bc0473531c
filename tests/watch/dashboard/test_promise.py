"""The curves and figures of the promise, over windows whose truth is known here."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from iot_stream.clock import wall
from iot_stream.columns import Columns
from iot_stream.config import Config, load
from iot_stream.distill.drift import DISAGREEMENT, Fresh, Watch
from iot_stream.readings import Block, Label
from iot_stream.store import Store
from iot_stream.units import Size
from iot_stream.upload import Upload
from iot_stream.watch.dashboard.progress import Step
from iot_stream.watch.dashboard.views import curves, promise
from iot_stream.watch.dashboard.views.curves import Curves
from iot_stream.watch.dashboard.views.promise import Promise, Promises
from tests.service.running import NAME
from tests.streams import START
from tests.waiting import wait_until
from tests.watch.dashboard.windows import cut, tell
from tests.watch.stores import SECOND, configured, end_round, hear, join, release, speak

MINUTE = 60 * SECOND


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question is a look."""
    monkeypatch.setattr(promise, "FRESH_S", 0.0)


def begin(store: Store, config: Config) -> Promises:
    """As after the past has been read."""
    found = Promises(store, NAME, config.pipelines[NAME])
    found.view({})
    wait_until(lambda: not found.behind, "the past")
    return found


def correct(store: Store, device: str, end: int, truth: int, arrived: int) -> None:
    with store.write() as tx:
        store.journal.add_label(tx, NAME, Label(device, end, end, truth), arrived)


def shown(found: Promise, model: str) -> list[float | None]:
    return [share for share in found.curves[model].plain if share is not None]


def test_before_anything_there_is_nothing(store: Store, config: Config) -> None:
    found = begin(store, config).view({})
    assert (found.times, found.marks, found.judged, found.readings) == ([], [], 0, 0)
    assert found.newest["student"].plain is None
    assert found.recovery is None
    assert found.up is None


def test_the_curves_are_what_counting_gives(store: Store, config: Config) -> None:
    release(store, 1)
    chance, right = random.Random(1), dict.fromkeys(("student", "static", "teacher"), 0)
    recalls = {model: {0: [0, 0], 1: [0, 0]} for model in right}
    for number in range(60):
        truth = chance.randrange(2)
        said = {model: chance.randrange(2) for model in right}
        tell(store, config, "ab"[number % 2], START + number * SECOND, truth, **said)
        for model, value in said.items():
            right[model] += value == truth
            recalls[model][truth][0] += value == truth
            recalls[model][truth][1] += 1
    found = begin(store, config).view({})
    assert found.by == "labels"
    assert found.judged == 60
    for model, hits in right.items():
        assert found.newest[model].plain == pytest.approx(hits / 60, abs=1e-4)
        mean = sum(hit / all_ for hit, all_ in recalls[model].values()) / 2
        assert found.newest[model].balanced == pytest.approx(mean, abs=1e-4)
        assert sum(found.curves[model].windows) == 60
        shares = zip(found.curves[model].plain, found.curves[model].windows, strict=True)
        assert sum((share or 0) * n for share, n in shares) == pytest.approx(hits, abs=1e-2)


def test_what_comes_later_is_taken_in_once(store: Store, config: Config) -> None:
    """Predictions, the teacher's word and labels come after the window, and a label may be corrected."""
    release(store, 1)
    looked = begin(store, config)
    for number in range(10):
        cut(store, config, "a", START + number * SECOND)
    assert looked.view({}).judged == 0
    for number in range(10):
        speak(store, "a", START + number * SECOND, None, student=1, static=0)
    assert looked.view({"by": "teacher"}).newest["student"].windows == 0
    for number in range(10):
        speak(store, "a", START + number * SECOND, 1, teacher=1)
    found = looked.view({})
    assert found.judged == 10
    assert [found.newest[model].plain for model in ("student", "static", "teacher")] == [1.0, 0.0, 1.0]
    assert looked.view({"by": "teacher"}).newest["student"].plain == 1.0
    for number in range(5):  # they were wrong
        correct(store, "a", START + number * SECOND, 0, START + MINUTE)
    found = looked.view({})
    assert found.judged == 10
    assert found.newest["student"].plain == 0.5


def test_without_labels_it_is_agreement_with_the_teacher(store: Store, config: Config) -> None:
    release(store, 1)
    for number in range(8):
        tell(store, config, "a", START + number * SECOND, None, student=number % 2, static=0, teacher=1)
    found = begin(store, config).view({})
    assert found.by == "teacher"
    assert found.curves.keys() == {"student", "static"}
    assert found.newest["student"].plain == 0.5
    assert found.newest["static"].plain == 0.0


def test_all_are_held_against_each_other_on_the_same_windows(store: Store, config: Config) -> None:
    """The world has changed, and static and teacher are yet to be asked about what came since."""
    release(store, 1)
    for number in range(10):
        tell(store, config, "a", START + number * SECOND, 1, student=1, static=1, teacher=1)
    for number in range(10, 15):
        tell(store, config, "a", START + number * SECOND, 1, student=0)
    newest = begin(store, config).view({}).newest
    assert {name: (each.plain, each.windows) for name, each in newest.items()} == dict.fromkeys(
        ("student", "static", "teacher"), (1.0, 10)
    )


def test_who_has_never_spoken_leaves_the_others_their_windows(store: Store, config: Config) -> None:
    release(store, 1)
    for number in range(10):
        tell(store, config, "a", START + number * SECOND, 1, static=0, teacher=1)
    newest = begin(store, config).view({}).newest
    assert (newest["student"].plain, newest["student"].windows) == (None, 0)
    assert (newest["static"].plain, newest["teacher"].windows) == (0.0, 10)


def test_predictions_that_meet_no_window_are_counted(store: Store, config: Config) -> None:
    release(store, 1)
    for number in range(10):
        tell(store, config, "a", START + number * SECOND, None, teacher=1)
        speak(store, "a", START + number * SECOND + 3_000_000, None, student=1)
    found = begin(store, config).view({})
    assert (found.unmet, found.newest["student"].windows) == (9, 0)  # the last may yet meet one
    pipeline = config.pipelines[NAME]
    frugal = msgspec.structs.replace(pipeline, upload=Upload(budget=Size(30_000)))
    assert Promises(store, NAME, frugal).view({}).unmet == 0  # it sends few of its windows
    tell(store, config, "a", START + 20 * SECOND, None, student=1)
    assert begin(store, config).view({}).unmet == 0


def test_before_the_first_version_it_is_told_how_far_the_training_is(store: Store, config: Config) -> None:
    step = Step(1.0, "progress", "training", "step 300 of 600")
    found = Promises(store, NAME, config.pipelines[NAME], lambda: [step])
    assert found.view({}).preparing == [step]
    release(store, 1)
    tell(store, config, "a", START, None, student=1)
    assert found.view({}).preparing == []


def test_whether_drift_is_watched_for_is_told(store: Store, config: Config) -> None:
    pipeline = config.pipelines[NAME]
    for drift in ("", "adwin"):
        triggers = msgspec.structs.replace(pipeline.triggers, drift=drift)
        changed = msgspec.structs.replace(pipeline, triggers=triggers)
        assert Promises(store, NAME, changed).view({}).watched == bool(drift)


def test_a_closer_look_has_narrower_points(store: Store, config: Config) -> None:
    release(store, 1)
    for number in range(120):
        tell(store, config, "a", START + number * MINUTE, 1, student=number >= 60)
    looked = begin(store, config)
    whole = looked.view({})
    near = looked.view(
        {"from": str((START + 30 * MINUTE) / SECOND), "to": str((START + 40 * MINUTE) / SECOND)}
    )
    assert near.width_s < whole.width_s
    assert sum(near.curves["student"].windows) == 11
    assert set(shown(near, "student")) == {0.0}
    assert (shown(whole, "student")[0], shown(whole, "student")[-1]) == (0.0, 1.0)


def test_another_teacher_begins_a_new_curve(store: Store, config: Config) -> None:
    release(store, 1)
    tell(store, config, "a", START, 1, student=1, static=1, teacher=0)
    looked = begin(store, config)
    assert looked.view({}).newest["teacher"].windows == 1
    store.registry.set_teacher(NAME, "n" * 64)
    found = looked.view({})
    assert found.newest["teacher"].windows == 0
    assert found.newest["student"].windows == 1


@pytest.mark.parametrize(("looks", "begun_anew"), [(2, True), (8, False)])
def test_who_looks_first_sees_the_newest_and_then_all(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch, looks: int, begun_anew: bool
) -> None:
    monkeypatch.setattr(promise, "LOOKS", looks)
    monkeypatch.setattr(curves, "AT_ONCE", 20)
    monkeypatch.setattr(promise, "AT_FIRST", 10)
    release(store, 1)
    for number in range(70):
        tell(store, config, "a", START + number * SECOND, 1, student=1)
    looked = Promises(store, NAME, config.pipelines[NAME])
    first = looked.view({})
    assert first.since == (START + 60 * SECOND) / SECOND
    wait_until(lambda: not looked.behind, "the past")
    assert looked.view({}).since == START / SECOND
    for number in range(70, 170):  # more than a look reads, while nobody looked
        tell(store, config, "a", START + number * SECOND, 1, student=0)
    newest = looked.view({})
    assert (newest.since != first.since and newest.since != START / SECOND) == begun_anew
    wait_until(lambda: not looked.behind, "the past")
    found = looked.view({})
    assert sum(found.curves["student"].windows) == 170
    assert found.judged == 170


def test_of_many_windows_the_oldest_are_forgotten(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promise, "WINDOWS", 50)
    release(store, 1)
    looked = begin(store, config)
    for number in range(120):
        tell(store, config, "ab"[number % 2], START + number * SECOND, 1, student=number >= 60)
        if number % 7 == 0:
            looked.view({})
    found = looked.view({})
    assert 40 <= found.judged <= 50
    assert found.since is not None
    assert found.since * SECOND >= START + 60 * SECOND
    assert set(shown(found, "student")) == {1.0}
    correct(store, "b", START + 119 * SECOND, 0, START + 200 * SECOND)  # corrected: it is still the right row
    assert looked.view({}).newest["student"].plain == pytest.approx(1 - 1 / found.judged, abs=1e-4)


def test_more_windows_at_once_than_are_kept_leave_the_newest(store: Store, config: Config) -> None:
    release(store, 1)
    pipeline = config.pipelines[NAME]
    found = Curves(store, NAME, pipeline.cut(pipeline.student).id, 10)
    for number in range(40):
        tell(store, config, "a", START + number * SECOND, 1, student=1)
        if number in (3, 39):
            found.look()
    assert found.ends.tolist() == [START + number * SECOND for number in range(30, 40)]
    assert found.truth.tolist() == [1] * 10


def test_a_device_that_skips_a_window_is_told(store: Store, config: Config) -> None:
    release(store, 1)
    for number in range(10):
        tell(store, config, "a", START + number * SECOND, None, student=None if number in (0, 4, 9) else 1)
    pipeline = config.pipelines[NAME]
    assert (
        begin(store, config).view({}).missed == pipeline.cut(pipeline.student).hop
    )  # neither first nor last


def test_rounds_drifts_and_swaps_are_marked(store: Store, config: Config) -> None:
    now = wall() - 10 * SECOND
    release(store, 1)
    end_round(store, 1, "rejected", now, now + SECOND, gate={"reason": "no better"})
    _drift(store, 2, 2, now + 2 * SECOND, lower=0.05)
    for device in "ab":
        join(store, device, 2)
        for _ in range(2):  # it started again
            store.registry.add_event(NAME, device, "applied", 2, 0, "{}")
    found = begin(store, config).view({})
    assert {mark.kind for mark in found.marks} == {"rejected", "drift", "released", "swap"}
    assert {"r1: rejected: no better (period)", "r2: version 2 released: why (drift: it rose)",
            "version 2 was taken by 2 devices"} <= {mark.words for mark in found.marks}  # fmt: skip
    (released,) = [mark.time for mark in found.marks if mark.kind == "released"]
    (drift,) = [mark.time for mark in found.marks if mark.kind == "drift"]
    assert (drift, released) == ((now + 2 * SECOND) / SECOND, (now + 3 * SECOND) / SECOND)
    assert found.recovery is not None
    assert (found.recovery.version, found.recovery.words) == (2, "version 2 on all 2 devices")
    taken = store.overview.first_taken(NAME, 2, now)
    assert found.recovery.seconds == pytest.approx(
        (max(taken.values()) - now - 2 * SECOND) / SECOND, abs=0.01
    )
    join(store, "c", 1)
    recovery = begin(store, config).view({}).recovery
    assert recovery is not None
    assert (recovery.seconds, recovery.words) == (None, "version 2 is better, and runs on 2 of 3")


def _drift(store: Store, number: int, version: int, at: int, *, lower: float) -> None:
    """A round for a drift, whose version went out; at least by so much it is better."""
    end_round(store, number, "released", at, at + SECOND, gate={"reason": "why", "lower": lower})
    with store.write() as tx:
        tx.execute("UPDATE rounds SET trigger = 'drift: it rose' WHERE id = ?", (f"r{number}",))
        tx.execute("UPDATE versions SET round = ?, version = ?", (f"r{number}", version))


def test_a_version_that_is_no_better_is_no_recovery(store: Store, config: Config) -> None:
    """Its round may have learnt from before the drift; the next one may have not."""
    now = wall() - 20 * SECOND
    release(store, 1)
    join(store, "a", 2)
    join(store, "elsewhere", 1, cohort="others")
    store.registry.add_event(NAME, "a", "applied", 2, 0, "{}")
    _drift(store, 2, 2, now, lower=0.0)

    def told() -> tuple[float | None, str]:
        recovery = begin(store, config).view({}).recovery
        assert recovery is not None
        return recovery.seconds, recovery.words

    assert told() == (None, "version 2 has come since, and was no better")
    release(store, 3)
    end_round(store, 3, "released", now + 5 * SECOND, now + 6 * SECOND, gate={"reason": "", "lower": 0.02})
    with store.write() as tx:
        tx.execute("UPDATE versions SET round = 'r3' WHERE version = 3")
    assert told() == (None, "version 3 is better, and runs on 0 of 1")
    join(store, "a", 4)  # it was away meanwhile
    store.registry.add_event(NAME, "a", "applied", 4, 0, "{}")
    seconds, words = told()
    assert seconds == pytest.approx(20, abs=2)
    assert words == "version 3 on the device"


def test_of_a_drift_without_a_better_version_nothing_is_claimed(store: Store, config: Config) -> None:
    now = wall() - 20 * SECOND
    release(store, 1)
    join(store, "a", 1)
    for number in (2, 3):
        end_round(store, number, "rejected", now + number * SECOND, now + number * SECOND)
    with store.write() as tx:
        tx.execute("UPDATE rounds SET trigger = 'drift: it rose' WHERE id = 'r2'")
    recovery = begin(store, config).view({}).recovery
    assert recovery is not None
    assert (recovery.seconds, recovery.words) == (None, "2 rounds since found nothing better")
    with store.write() as tx:
        tx.execute("UPDATE rounds SET outcome = 'held' WHERE id IN ('r2', 'r3')")
    recovery = begin(store, config).view({}).recovery
    assert recovery is not None
    assert recovery.words == "2 rounds since could not judge what they learnt"


def test_a_drift_that_goes_on_is_the_same_drift(store: Store, config: Config) -> None:
    """A round that was no answer to it is followed by others; recovered is who has a better version since."""
    now = wall() - 40 * SECOND
    release(store, 1)
    join(store, "a", 3)
    end_round(store, 2, "rejected", now, now + SECOND)
    release(store, 3)
    end_round(store, 3, "released", now + 5 * SECOND, now + 6 * SECOND, gate={"reason": "", "lower": 0.2})
    end_round(store, 4, "rejected", now + 30 * SECOND, now + 31 * SECOND)
    store.registry.add_event(NAME, "a", "applied", 3, 0, "{}")
    watch = Watch("adwin", (DISAGREEMENT,), 0.002, 0.05, np.zeros((9, 1, 1), np.float32))
    triggers = []
    for teacher in (0, 1, 1):  # the student says 0 of all
        said = np.eye(2, dtype=np.float32)
        watch.take(Fresh(np.zeros((300, 1, 1), np.float32), said[[teacher] * 300], said[[0] * 300]))
        if trigger := watch.reason(5):
            triggers.append(trigger)
            watch.started()
    triggers.append(triggers[-1])
    with store.write() as tx:
        for number, trigger in zip((2, 3, 4), triggers, strict=True):
            tx.execute("UPDATE rounds SET trigger = ? WHERE id = ?", (trigger, f"r{number}"))
        tx.execute("UPDATE versions SET round = 'r3' WHERE version = 3")
    found = begin(store, config).view({})
    assert found.recovery is not None
    assert (found.recovery.round, found.recovery.version) == ("r2", 3)
    assert found.recovery.seconds == pytest.approx(40, abs=2)
    assert [mark.words for mark in found.marks if mark.kind == "drift"] == [triggers[0]]


def test_on_a_recordings_clock_marks_stand_where_the_curves_are(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    configured(tmp_path)
    path.write_text(path.read_text().replace("    sources:", "    clock: stream\n    sources:"))
    config = load(path)
    now = wall()
    for number, stream in ((1, START), (2, START + 1000 * SECOND)):
        started = now - (30 - 10 * number) * SECOND
        end_round(store, number, "held", started, started + 5 * SECOND)
        with store.write() as tx:
            tx.execute("UPDATE rounds SET stream_started = ? WHERE id = ?", (stream, f"r{number}"))
    store.registry.add_event(NAME, "a", "applied", 1, 0, "{}")
    marks = begin(store, config).view({}).marks
    # Of the second round's end nothing is known but that it is later than its beginning.
    held = [mark.time - START / SECOND for mark in marks if mark.kind == "held"]
    assert held == [pytest.approx(500), 1000]
    (swap,) = [mark.time for mark in marks if mark.kind == "swap"]
    assert START / SECOND <= swap <= START / SECOND + 1000


def test_bytes_are_told_per_device_and_day(store: Store, config: Config) -> None:
    release(store, 1, bundle=b"x" * 1500)
    for second in range(10):
        hear(store, "a", "b", count=1, arrived=START + second * SECOND)
        with store.write() as tx:
            store.journal.append(tx, NAME, _reading(second), START + second * SECOND)
    with store.write() as tx:
        store.totals.add(tx, NAME, "bytes", 5000)
    found = begin(store, config).view({})
    assert found.down is not None
    assert found.up is not None
    assert (found.down.per_day, found.down.note) == (1500, "1 release in the last 24 hours")
    per_reading = 5000 / found.readings
    rate = store.overview.readings_per_second(NAME, 1000)
    assert rate is not None
    assert found.up.per_day == pytest.approx(per_reading * rate / found.devices * 86_400, abs=1)


def test_labels_that_join_no_window_are_counted(store: Store, config: Config) -> None:
    release(store, 1)
    for number in range(4):
        tell(store, config, "a", START + number * SECOND, None, student=1, static=1, teacher=1)
    looked = begin(store, config)
    assert looked.view({}).strayed == 0
    for number in range(3):
        correct(store, "a", START + number * SECOND + 5, 1, START + MINUTE)
    found = looked.view({})
    assert (found.by, found.judged, found.strayed) == ("teacher", 0, 3)
    correct(store, "a", START + SECOND, 1, START + MINUTE)
    found = looked.view({"by": "teacher"})
    assert (found.judged, found.strayed) == (1, 0)


def test_of_readings_without_numbers_no_loss_is_told(store: Store, config: Config) -> None:
    hear(store, "a", count=3)
    found = begin(store, config).view({})
    assert (found.readings, found.numbered) == (3, 0)
    with store.write() as tx:
        store.journal.append(tx, NAME, _reading(1), START)
    found = begin(store, config).view({})
    assert (found.readings, found.numbered) == (4, 1)


def test_sparkplug_numbers_its_messages(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("google.protobuf")
    pipeline = configured(tmp_path).pipelines[NAME]
    (source,) = pipeline.sources
    numbering = msgspec.structs.replace(source, format="sparkplug")
    sparkplug = msgspec.structs.replace(pipeline, sources=(numbering,))
    hear(store, "a", count=3)
    looked = Promises(store, NAME, sparkplug)
    assert looked.view({}).numbered == 3


def _reading(second: int) -> Columns:
    times = np.array([START + (100 + second) * SECOND], np.int64)
    return Columns.of([Block("a", ("a",), times, np.zeros((1, 1), np.float32), "boot", second)])

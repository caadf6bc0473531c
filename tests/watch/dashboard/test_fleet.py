"""Every device in a row, and only what has changed of it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from iot_stream.config import Config
from iot_stream.store import Store
from iot_stream.watch.dashboard.views import fleet, promise
from iot_stream.watch.dashboard.views.fleet import Fleet, Fleets, Row
from iot_stream.watch.dashboard.views.promise import Promises
from tests.service.running import NAME
from tests.streams import START
from tests.watch.dashboard.windows import cut, tell
from tests.watch.stores import SECOND, configured, hear, join, release, speak


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
    monkeypatch.setattr(promise, "FRESH_S", 0.0)
    monkeypatch.setattr(fleet, "FRESH_S", 0.0)
    monkeypatch.setattr(fleet, "DEVICES_A_SECOND", 10**9)
    monkeypatch.setattr(fleet, "wall", lambda: START + 20 * SECOND)


@pytest.fixture
def fleets(store: Store, config: Config) -> Fleets:
    return Fleets(store, NAME, Promises(store, NAME, config.pipelines[NAME]))


def rows(found: Fleet) -> dict[str, Row]:
    return {row.device: row for row in found.rows}


def test_no_device_is_no_row(fleets: Fleets) -> None:
    found = fleets.view({})
    assert (found.rows, found.devices, found.whole) == ([], 0, True)


def test_a_row_says_how_a_device_does(store: Store, config: Config, fleets: Fleets) -> None:
    release(store, 2)
    hear(store, "good", "old", "gone", "sensor")
    join(store, "good", 2)
    join(store, "old", 1)
    join(store, "gone", 1, online=False)
    store.scope.hold("me", NAME, "old", START, "it is broken")
    with store.write() as tx:
        store.faults.count(tx, NAME, "gone", "lost", 2)
        store.faults.quarantine(tx, START, NAME, "sensor", "t", "malformed", "", b"x")
    for number in range(20):
        tell(store, config, "good", START + number * SECOND, 1, student=number >= 5, teacher=1)
    found = rows(fleets.view({}))
    assert list(found) == ["gone", "good", "old", "sensor"]
    good = found["good"]
    assert (good.online, good.version, good.behind, good.held) == (True, 2, False, "")
    assert (good.right, good.judged, good.certain) == (0.75, 20, 0.9)
    assert good.last == (START + 19 * SECOND) // SECOND
    assert good.windows == 20.0
    assert (found["old"].behind, found["old"].held) == (True, "it is broken")
    assert (found["gone"].online, found["gone"].behind, found["gone"].lost) == (False, False, 0.5)
    assert (found["sensor"].online, found["sensor"].quarantined) == (None, 1)
    assert found["sensor"].lost is None  # its readings have no numbers
    assert found["sensor"].right is None


def test_a_device_that_is_pinned_is_not_behind(store: Store, fleets: Fleets) -> None:
    release(store, 2)
    join(store, "certified", 1)
    assert rows(fleets.view({}))["certified"].behind
    with store.write() as tx:
        store.registry.pin(tx, NAME, "certified", pinned=True)
    join(store, "certified", 1)  # it says again what it runs
    row = rows(fleets.view({}))["certified"]
    assert (row.pinned, row.behind) == (True, False)


def test_a_device_whose_predictions_meet_no_window_is_told(
    store: Store, config: Config, fleets: Fleets
) -> None:
    release(store, 1)
    join(store, "apart", 1)
    join(store, "new", 1)
    for number in range(20):
        cut(store, config, "apart", START + number * SECOND)
        cut(store, config, "new", START + number * SECOND)
        speak(store, "apart", START + number * SECOND + 3_000_000, None, student=1)
    found = rows(fleets.view({}))
    assert (found["apart"].unmet, found["apart"].certain, found["apart"].right) == (19, 0.9, None)
    assert (found["new"].unmet, found["new"].certain) == (0, None)


def test_a_sensor_that_fell_silent_is_told_though_its_device_is_online(
    store: Store, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute, now = 60 * SECOND, START + 30 * 60 * SECOND
    release(store, 1)
    for device, online, every, ago in (
        ("silent", True, minute, 15 * minute),
        ("away", False, minute, 15 * minute),
        ("rare", True, 6 * minute, 15 * minute),
        ("well", True, minute, 5 * minute),
    ):
        join(store, device, 1, online=online)
        for number in reversed(range(12)):
            cut(store, config, device, now - ago - number * every)
    live = msgspec.structs.replace(config.pipelines[NAME], clock="wall")
    fleets = Fleets(store, NAME, Promises(store, NAME, live))
    monkeypatch.setattr(fleet, "wall", lambda: now)
    assert {row.device: row.silent for row in fleets.view({}).rows} == {
        "silent": (now - 15 * minute) // SECOND,
        "away": None,
        "rare": None,
        "well": None,
    }
    cut(store, config, "silent", now)
    assert rows(fleets.view({}))["silent"].silent is None


def test_a_device_that_leaves_its_teacher_of_late_drifts(
    store: Store, config: Config, fleets: Fleets
) -> None:
    release(store, 1)
    for number in range(100):
        for device in ("steady", "drifts"):
            wrong = device == "drifts" and number >= 80
            tell(store, config, device, START + number * SECOND, None, student=0 if wrong else 1, teacher=1)
    hear(store, "steady", "drifts")
    found = fleets.view({})
    assert found.by == "teacher"
    assert rows(found)["steady"].drift == 0.0
    assert rows(found)["drifts"].drift == 1.0
    assert rows(found)["drifts"].right == 0.8


def test_a_device_with_a_fast_clock_leaves_the_rates_of_others(
    store: Store, config: Config, fleets: Fleets
) -> None:
    release(store, 1)
    join(store, "right", 1)
    hear(store, "right", "fast")
    for number in range(20):
        arrived = START + number * SECOND
        cut(store, config, "right", arrived)
        cut(store, config, "fast", arrived + 7200 * SECOND, arrived)
    found = rows(fleets.view({}))
    assert (found["right"].windows, found["fast"].windows) == (20.0, 20.0)


def test_a_device_that_has_stopped_comes_to_no_windows_a_minute(
    store: Store, config: Config, fleets: Fleets, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(store, 1)
    hear(store, "a")
    cut(store, config, "a", START)
    assert rows(fleets.view({}))["a"].windows == 1.0
    monkeypatch.setattr(fleet, "wall", lambda: START + 61 * SECOND)
    assert rows(fleets.view({}))["a"].windows == 0.0


def test_only_rows_that_changed_are_sent_again(store: Store, fleets: Fleets) -> None:
    hear(store, "a", "b")
    first = fleets.view({})
    assert (first.whole, len(first.rows)) == (True, 2)
    join(store, "b", 1)
    second = fleets.view({"since": str(first.revision)})
    assert not second.whole
    assert list(rows(second)) == ["b"]
    third = fleets.view({"since": str(second.revision)})
    assert (third.rows, third.devices) == ([], 2)


def test_who_knows_nothing_of_this_life_gets_all(store: Store, fleets: Fleets) -> None:
    hear(store, "a", "b")
    fleets.view({})
    assert fleets.view({"since": "999"}).whole
    known = fleets.view({"since": "0"})
    with store.write() as tx:
        tx.execute("DELETE FROM journal")
    assert known.whole
    gone = fleets.view({"since": str(known.revision)})
    assert gone.whole
    assert gone.devices == len(gone.rows)

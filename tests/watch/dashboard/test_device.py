"""One device as the page shows it."""

import json

import numpy as np
import pytest

from iot_stream.columns import Columns
from iot_stream.config import Config
from iot_stream.errors import ConfigError
from iot_stream.readings import Block
from iot_stream.store import Store
from iot_stream.store.registry import Device as Known
from iot_stream.store.rollouts import RUNNING, Rollout
from iot_stream.watch.dashboard.views.device import Device, View
from tests.service.running import NAME
from tests.streams import START
from tests.watch.dashboard.windows import cut
from tests.watch.stores import SECOND, join, release, speak


def read(store: Store, first_s: int, count: int, device: str = "pump", arrived_s: int | None = None) -> None:
    """A reading a second, whose value is the second."""
    seconds = first_s + np.arange(count)
    block = Block(device, ("f0",), START + seconds * SECOND, seconds[:, None].astype(np.float32))
    with store.write() as tx:
        arrived = START + (first_s + count if arrived_s is None else arrived_s) * SECOND
        store.journal.append(tx, NAME, Columns.of([block]), arrived)


def look(config: Config, store: Store, device: str = "pump", **query: float) -> Device:
    asked = {name: repr(value) for name, value in query.items()} | {"device": device}
    return View(store, NAME, config.pipelines[NAME]).view(asked)


def values(found: Device) -> list[float | None]:
    return found.readings.values.get("f0", [])


def test_an_unknown_device_is_an_error_that_says_where_to_look(config: Config, store: Store) -> None:
    with pytest.raises(ConfigError, match="knows no device 'pump'; the fleet's list"):
        look(config, store)


def test_the_newest_readings_are_shown_and_then_only_what_is_new(config: Config, store: Store) -> None:
    read(store, 0, 100)
    read(store, 0, 100, "other")
    found = look(config, store, minutes=0.5)
    assert values(found) == list(range(71, 100))
    assert found.whole
    read(store, 100, 5)
    more = look(config, store, minutes=0.5, after=found.segment)
    assert values(more) == list(range(100, 105))
    assert more.segment > found.segment
    assert values(look(config, store, minutes=0.5, after=more.segment)) == []


def test_a_time_of_before_is_shown_with_what_came_late(config: Config, store: Store) -> None:
    read(store, 0, 60)
    read(store, 60, 60, arrived_s=600)  # the broker was away
    read(store, 300, 300)
    found = look(config, store, minutes=1, until=START / SECOND + 89)
    assert values(found) == list(range(29, 90))
    for wrong in ({"minutes": 0}, {"minutes": 10**6}):
        with pytest.raises(ConfigError, match="minutes: "):
            look(config, store, **wrong)


def test_what_it_says_is_shown_beside_teacher_and_label(config: Config, store: Store) -> None:
    release(store, 1)
    read(store, 0, 60)
    speak(store, "pump", START + 10 * SECOND, 1, student=0, teacher=1)
    speak(store, "pump", START + 20 * SECOND, None, student=1, teacher=None)
    speak(store, "other", START + 20 * SECOND, None, student=1)
    speak(store, "pump", START + 25 * SECOND, None, student=0, teacher=0)
    speak(store, "pump", START + 26 * SECOND, None, teacher=1)  # of a window that the device had not
    found = look(config, store)
    said = found.said
    assert [round(time - START / SECOND, 3) for time in said.times] == [10, 20, 25]
    assert (said.classes, said.labels, said.truth) == ([0, 1, 0], [1, -1, -1], [1, -1, 0])
    assert (said.certainty, said.versions) == ([0.9] * 3, [1] * 3)
    assert [round(time - START / SECOND, 3) for time in found.teacher.times] == [10, 25, 26]
    assert found.teacher.classes == [1, 0, 1]
    later = look(config, store, spoken=START / SECOND + 11)
    assert (later.said.classes, later.teacher.classes) == ([1, 0], [0, 1])


def test_predictions_that_meet_no_window_are_told_with_the_last(config: Config, store: Store) -> None:
    """The sensor tells no time: device and service stamp its readings some milliseconds apart."""
    release(store, 1)
    read(store, 0, 1)
    for number in range(20):
        cut(store, config, "pump", START + number * SECOND)
        speak(store, "pump", START + number * SECOND + 3_000_000, None, student=1)
    found = look(config, store, until=START / SECOND + 7200)
    assert found.said.times == []
    assert found.unmet == 19  # the last may yet meet one
    assert found.last is not None
    assert (found.last.value, found.last.certainty, found.last.version) == (1, 0.9, 1)
    cut(store, config, "pump", START + 5 * SECOND + 3_000_000)
    assert look(config, store).unmet == 0


def test_the_state_of_an_update_is_told(config: Config, store: Store) -> None:
    read(store, 0, 1)
    state = look(config, store).state
    assert (state.known, state.version, state.update) == (False, 0, "none")
    release(store, 3)
    status = json.dumps({"online": True, "version": 2, "runtime": "numpy", "boot": "b1"})
    store.registry.save_device(NAME, Known("pump", "all", True, 2, START), status)
    state = look(config, store).state
    assert (state.online, state.version, state.stable, state.update) == (True, 2, 3, "behind")
    assert (state.runtime, state.boot, state.seen) == ("numpy", "b1", START / SECOND)
    refusal = {"event": "rejected", "offered": 3, "reason": "self-test"}
    store.registry.add_event(NAME, "pump", "rejected", 2, START, json.dumps(refusal))
    assert look(config, store).state.update == "refused"
    join(store, "pump", 3)
    assert look(config, store).state.update == "current"
    with store.write() as tx:
        store.rollouts.save(tx, NAME, Rollout("all", 4, RUNNING, 0, 0, 0), "x", "to 25 %", "y")
    join(store, "pump", 4)
    assert (look(config, store).state.update, look(config, store).state.slot) == ("trial", "canary")
    join(store, "pump", 3)
    assert look(config, store).state.update == "current"
    left = {"event": "rolled_back", "previous": 4, "reason": "crash-loop"}
    store.registry.add_event(NAME, "pump", "rolled_back", 3, START, json.dumps(left))
    found = look(config, store)
    assert found.state.update == "left"
    assert [each.event for each in found.events] == ["rolled_back", "rejected"]


def test_the_cohort_is_what_the_service_says(config: Config, store: Store) -> None:
    read(store, 0, 1)
    join(store, "pump", 1)
    release(store, 5, cohort="north")
    with store.write() as tx:
        store.cohorts.assign(tx, NAME, {"pump": "north"}, "its tag")
    state = look(config, store).state
    assert (state.cohort, state.stable) == ("north", 5)


def test_what_is_not_learnt_is_told_with_why_and_by_whom(config: Config, store: Store) -> None:
    read(store, 0, 1)
    store.scope.exclude("cli", NAME, "pump", START, START + SECOND, "forklift")
    store.scope.exclude("cli", NAME, "other", START, START + SECOND, "of another")
    everyone = store.scope.exclude("anna", NAME, "", START, START + 2 * SECOND, "power cut")
    store.scope.hold("distiller", NAME, "pump", START, "stuck: f0")
    with store.write() as tx:
        store.faults.count(tx, NAME, "pump", "lost", 3)
    found = look(config, store)
    forklift, power = found.exclusions
    assert (forklift.reason, forklift.start, forklift.end) == ("forklift", START / SECOND, START / SECOND + 1)
    assert (power.id, power.device, power.who) == (everyone, "", "anna")
    assert [(each.device, each.reason, each.who) for each in found.holds] == [
        ("pump", "stuck: f0", "distiller")
    ]
    assert (found.problems, found.quarantined) == ({"lost": 3}, 0)
    store.scope.replace("cli", NAME, "pump", START + 5 * SECOND)
    found = look(config, store)
    assert (found.replaced, found.holds) == ([START / SECOND + 5], [])

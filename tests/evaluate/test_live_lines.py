"""What the demo's lines say of devices, of the world, and of how right everyone is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_stream import topics
from iot_stream.evaluate import demo, live_fleet, live_world
from iot_stream.evaluate.live_fleet import LiveFleet
from iot_stream.evaluate.live_view import LiveView
from iot_stream.evaluate.live_world import LiveWorld
from iot_stream.store import Store
from tests.service.running import NAME
from tests.streams import START
from tests.watch.dashboard.windows import tell
from tests.watch.stores import SECOND, configured, hear, join, release


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store")
    yield store
    store.close()


# --- devices


@pytest.fixture
def fleet(said: list[str], monkeypatch: pytest.MonkeyPatch) -> LiveFleet:
    monkeypatch.setattr(live_fleet, "QUIET_S", 0.0)
    return LiveFleet(said.append)


def meet(fleet: LiveFleet, device: str, version: int = 0, *, online: bool = True) -> None:
    topic = topics.STATUS.of(prefix="iot", pipeline="p", device=device)
    assert fleet.take(topic, topics.encode(topics.Status(online, version)))


def report(fleet: LiveFleet, device: str, event: str, version: int, swap_us: float = 0) -> bool:
    topic = topics.REPORT.of(prefix="iot", pipeline="p", device=device)
    return fleet.take(topic, topics.encode(topics.Report(event, 1, version, swap_us=swap_us)))


def test_a_version_is_one_line_once_all_have_taken_it(fleet: LiveFleet, said: list[str]) -> None:
    for device in "abc":
        meet(fleet, device)
    fleet.look()
    assert said == ["devices  3 of 3 online, no version yet"]
    for device, swap_us in (("a", 12.0), ("b", 28.4), ("c", 20.0)):
        meet(fleet, device, 2)
        assert report(fleet, device, "applied", 2, swap_us)
    assert said[1:] == ["devices  version 2 on 3 of 3 devices, slowest swap 28 µs"]
    fleet.look()
    assert len(said) == 2


def test_what_not_all_take_is_told_as_it_stands(fleet: LiveFleet, said: list[str]) -> None:
    for device in "abcd":
        meet(fleet, device)
    fleet.look()
    report(fleet, "a", "applied", 2, 12)
    fleet.look()
    meet(fleet, "d", online=False)
    fleet.look()
    assert said[1:] == ["devices  version 2 on 1 of 4 devices, slowest swap 12 µs", "devices  3 of 4 online"]


def test_the_first_to_come_does_not_pass_for_all(fleet: LiveFleet, said: list[str]) -> None:
    meet(fleet, "a")
    report(fleet, "a", "applied", 1, 12)
    meet(fleet, "b")
    report(fleet, "b", "applied", 1, 12)
    fleet.look()
    assert said == ["devices  2 of 2 online", "devices  version 1 on 2 of 2 devices, slowest swap 12 µs"]


def test_what_a_device_refuses_has_a_line_of_its_own(fleet: LiveFleet) -> None:
    assert not report(fleet, "a", "rejected", 1)
    assert not fleet.take("iot/p/round/r1", b"{}")


# --- the world


def test_it_is_said_when_the_world_changes(
    store: Store, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = START
    monkeypatch.setattr(live_world, "wall", lambda: now)
    world = LiveWorld(store, NAME, [20.0], "all is new", said.append)
    for seconds, count in ((0, 0), (100, 0), (119, 0), (120, 1), (150, 1)):
        now = START + seconds * SECOND
        world.look()
        assert len(said) == count
        if seconds == 0:  # the first reading comes; it is seen with the next look
            hear(store, "a")
    assert said == ["WORLD    all is new"]


def test_the_machines_of_the_demo_change_once_and_it_has_words_for_it() -> None:
    assert live_world.moments(demo.MACHINES.script) == [20.0]
    assert demo.MACHINES.changes
    for show in (demo.OFFICE, demo.ROLLBACK):
        assert live_world.moments(show.script) == []


# --- how right everyone is


def test_all_are_scored_on_the_windows_that_all_have_spoken_on(
    store: Store, tmp_path: Path, said: list[str]
) -> None:
    config = configured(tmp_path)
    release(store, 1)
    join(store, "a", 0)
    for number in range(40):
        hard = number >= 20  # and static and teacher have not been asked of those yet
        others = {} if hard else {"static": 0 if number < 5 else 1, "teacher": 1}
        tell(store, config, "a", START + number * SECOND, 1, student=0 if hard else 1, **others)
    LiveView(store, NAME, config.pipelines[NAME], said.append).show()
    (line,) = said
    assert re.findall(r"(\w+) (\d\.\d\d)", line) == [
        ("student", "1.00"),
        ("static", "0.75"),
        ("teacher", "1.00"),
    ]
    assert line.endswith("by labels; devices: 1 on no version yet")


def test_who_has_not_spoken_at_all_keeps_nobody_from_being_scored(
    store: Store, tmp_path: Path, said: list[str]
) -> None:
    config = configured(tmp_path)
    release(store, 1)
    for number in range(10):
        tell(store, config, "a", START + number * SECOND, 1, student=1)
    LiveView(store, NAME, config.pipelines[NAME], said.append).show()
    assert said[0].startswith("NOW      student 1.00 ")
    assert "static" not in said[0]

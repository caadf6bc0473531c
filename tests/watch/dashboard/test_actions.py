"""What the page can do is what the terminal can do, and is written down as the dashboard's."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from iot_stream.config import Config
from iot_stream.errors import ConfigError, ModelError
from iot_stream.store import Store
from iot_stream.store.doubts import CLEAR
from iot_stream.store.registry import Command
from iot_stream.watch.dashboard import actions
from iot_stream.watch.dashboard.actions import ACTIONS, carry_out
from tests.service.running import NAME
from tests.streams import START
from tests.watch.stores import SECOND, end_round, hear


@pytest.fixture
def store(store: Store) -> Store:
    hear(store, "pump", "fan")
    return store


@pytest.fixture
def do(config: Config, store: Store) -> Callable[..., str]:
    def done(name: str, **fields: Any) -> str:
        return carry_out(config, store, name, json.dumps({"pipeline": NAME} | fields).encode())

    return done


@contextmanager
def answering(store: Store, kind: str, state: str, outcome: str) -> Iterator[list[Command]]:
    """A part of the service that answers one command; what it was asked."""
    asked: list[Command] = []
    over = threading.Event()

    def answer() -> None:
        while not over.wait(0.01) and not asked:
            for command in store.registry.open_commands(kind):
                asked.append(command)
                store.registry.close_command(command.id, state, outcome)

    part = threading.Thread(target=answer)
    part.start()
    try:
        yield asked
    finally:
        over.set()
        part.join()


def test_a_device_is_paused_and_resumed(store: Store, do: Callable[..., str]) -> None:
    assert do("pause", device="pump", reason="sensor fell").startswith(f"{NAME}/pump: nothing is learnt")
    (held,) = store.scope.holds(NAME)
    assert (held.device, held.reason, held.who) == ("pump", "sensor fell", "dashboard")
    with pytest.raises(ConfigError, match="is paused already"):
        do("pause", device="pump", reason="again")
    assert do("resume", device="pump") == f"{NAME}/pump is learnt from again"
    assert store.scope.holds(NAME) == []
    with pytest.raises(ConfigError, match="is not paused"):
        do("resume", device="pump")


def test_the_pipeline_is_paused_as_a_whole(store: Store, do: Callable[..., str]) -> None:
    do("pause", reason="works going on")
    assert [held.device for held in store.scope.holds(NAME)] == [""]
    assert do("resume") == f"{NAME} is learnt from again"


def test_a_time_is_excluded_and_learnt_from_after_all(store: Store, do: Callable[..., str]) -> None:
    start = START / SECOND
    said = do("exclude", device="pump", start=start, end=start + 2.5, reason="forklift")
    (found,) = store.scope.exclusions(NAME)
    assert said.startswith(f"{found.id}: pump from 2015-02-19T14:43:20.000Z to 2015-02-19T14:43:22.500Z")
    assert (found.device, found.start, found.who) == ("pump", START, "dashboard")
    assert abs(found.end - START - 2.5 * SECOND) < 1e6
    with pytest.raises(ConfigError, match="is before the beginning"):
        do("exclude", start=start, end=start - 1, reason="x")
    assert do("include", number=found.id) == f"{found.id} removed"
    assert store.scope.exclusions(NAME) == []


def test_a_replaced_sensor_is_another_one_from_now_on(store: Store, do: Callable[..., str]) -> None:
    assert do("replaced", device="pump").startswith("pump is another sensor since")
    assert list(store.scope.replacements(NAME)) == ["pump"]
    with pytest.raises(ConfigError, match="is pump meant"):
        do("replaced", device="pumb")
    assert list(store.scope.replacements(NAME)) == ["pump"]


def test_the_distiller_is_asked_for_a_version_of_before(store: Store, do: Callable[..., str]) -> None:
    with answering(store, "rollback", "done", "version 5 carries the weights of version 3") as asked:
        assert do("rollback", version=3, cohort="north") == "version 5 carries the weights of version 3"
    assert asked[0].arguments == {"version": 3, "cohort": "north", "person": "dashboard", "why": ""}
    with (
        answering(store, "rollback", "failed", "there is no version 9"),
        pytest.raises(ModelError, match="no version 9"),
    ):
        do("rollback", version=9)


def test_the_publisher_is_asked_to_steer_a_rollout(store: Store, do: Callable[..., str]) -> None:
    with answering(store, "rollout", "done", "version 4 is paused at 25 %") as asked:
        assert do("rollout", action="pause", reason="look first") == "version 4 is paused at 25 %"
    wanted = {"action": "pause", "cohort": "all", "person": "dashboard", "why": "look first"}
    assert asked[0].arguments == wanted
    with pytest.raises(ConfigError, match="Invalid enum value 'explode'"):
        do("rollout", action="explode", reason="x")


def test_a_round_is_asked_for_and_not_waited_for(
    store: Store, do: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "DISTIL_WAIT_S", 0.0)
    assert "asked for as command 1" in do("distil")
    assert [each.kind for each in store.registry.open_commands("distil")] == ["distil"]
    monkeypatch.setattr(actions, "DISTIL_WAIT_S", 20.0)
    refused = pytest.raises(ModelError, match="is paused")
    with answering(store, "distil", "failed", f"{NAME} is paused"), refused:
        do("distil")


def test_a_held_teacher_is_believed_again(store: Store, do: Callable[..., str]) -> None:
    with pytest.raises(ConfigError, match="is not held"):
        do("believe-teacher")
    end_round(store, 1, "held", 5, 6, trust={"doubt": "light is stuck"})
    with answering(store, CLEAR, "done", "the teacher is believed again") as asked:
        assert do("believe-teacher") == "the teacher is believed again"
    assert asked[0].arguments["until"] > START


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("paus", b"{}", "no action 'paus'; is pause meant"),
        ("pause", b"{", "pause: Input data was truncated"),
        ("pause", b"\xff", "pause: "),
        ("pause", b'{"pipeline": "tiny"}', "missing required field `reason`"),
        ("pause", b'{"pipeline": "tiny", "reason": ""}', "length >= 1"),
        ("pause", b'{"pipeline": "tiny", "reason": "x", "devise": "a"}', "unknown field `devise`"),
        ("pause", b'{"pipeline": "large", "reason": "x"}', "no pipeline 'large'; there are tiny"),
        ("pause", b'{"pipeline": "tiny", "reason": "x", "device": "fax"}', "has no reading of 'fax'"),
        ("exclude", b'{"pipeline": "tiny", "reason": "x", "start": "noon", "end": 1}', "Expected `float`"),
        ("exclude", b'{"pipeline": "tiny", "reason": "x", "start": 0, "end": 1e300}', "exclude: "),
        ("rollback", b'{"pipeline": "tiny"}', "missing required field `version`"),
    ],
)
def test_what_cannot_be_done_says_why_and_does_nothing(
    config: Config, store: Store, name: str, body: bytes, says: str
) -> None:
    with pytest.raises(ConfigError) as found:
        carry_out(config, store, name, body)
    assert says in str(found.value)
    assert store.scope.holds(NAME) == []
    assert store.scope.exclusions(NAME) == []
    assert store.registry.open_commands("rollback") == []


def test_every_action_says_what_it_does() -> None:
    assert len(ACTIONS) == 9
    assert all(kind.does for kind in ACTIONS.values())

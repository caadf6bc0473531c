"""What may be learnt from."""

import numpy as np
import pytest

from iot_stream.store import Store

DEVICES = np.array(["a", "a", "a", "b", "b"])
STARTS = np.array([10, 20, 30, 10, 20])
ENDS = STARTS + 9


def allowed(store: Store, pipeline: str = "p") -> list[bool]:
    return store.scope.allowed(pipeline, DEVICES, STARTS, ENDS).tolist()


def test_all_is_learnt_from_until_somebody_says_otherwise(store: Store) -> None:
    assert allowed(store) == [True] * 5


@pytest.mark.parametrize(
    ("device", "start", "end", "kept"),
    [
        ("a", 20, 29, [True, False, True, True, True]),
        ("a", 19, 20, [False, False, True, True, True]),  # the bounds are part of it
        ("a", 25, 25, [True, False, True, True, True]),
        ("", 25, 100, [True, False, False, True, False]),
        ("b", 40, 50, [True] * 5),
        ("c", 0, 99, [True] * 5),
    ],
)
def test_a_window_that_touches_an_excluded_time_is_left_out(
    store: Store, device: str, start: int, end: int, kept: list[bool]
) -> None:
    number = store.scope.exclude("me", "p", device, start, end, "door left open")
    assert allowed(store) == kept
    assert allowed(store, "q") == [True] * 5
    (found,) = store.scope.exclusions("p")
    assert found[:6] == (number, device, start, end, "door left open", "me")
    assert not store.scope.remove("q", number)
    assert store.scope.remove("p", number)
    assert not store.scope.remove("p", number)
    assert allowed(store) == [True] * 5


def test_of_a_replaced_sensor_only_the_newest_is_learnt_from(store: Store) -> None:
    for since in (30, 20, 20):
        store.scope.replace("me", "p", "a", since)
    store.scope.replace("me", "p", "b", 15)
    assert store.scope.replacements("p") == {"a": [20, 30], "b": [15]}
    assert allowed(store) == [False, False, True, False, True]


def test_who_is_held_is_not_learnt_from_until_resumed(store: Store) -> None:
    assert store.scope.hold("distiller", "p", "a", 20, "stuck")
    assert not store.scope.hold("me", "p", "a", 10, "again")
    assert allowed(store) == [True, False, False, True, True]
    assert allowed(store, "q") == [True] * 5
    (held,) = store.scope.holds("p")
    assert held[:4] == ("a", 20, "stuck", "distiller")
    assert store.scope.accepted("p") == {}
    assert store.scope.resume("p", "a", 39)
    assert not store.scope.resume("p", "a", 39)
    assert allowed(store) == [True] * 5
    assert store.scope.holds("p") == []
    assert store.scope.accepted("p") == {"a": 39}


def test_a_paused_pipeline_learns_from_nobody(store: Store) -> None:
    store.scope.hold("me", "p", "", 20, "works going on")
    assert allowed(store) == [True, False, False, True, False]


def test_another_sensor_is_not_held_for_the_former_one(store: Store) -> None:
    store.scope.hold("distiller", "p", "a", 20, "stuck")
    store.scope.replace("me", "p", "a", 30)
    assert store.scope.holds("p") == []
    assert allowed(store) == [False, False, True, True, True]

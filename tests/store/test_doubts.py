"""Whether the teacher is held, and of what a person has cleared it."""

from typing import Any

import pytest

from iot_stream.store import Store
from iot_stream.store.doubts import CLEAR, Clearing, Doubt
from iot_stream.store.registry import Round

STUCK, WRONG = "light is stuck", "late labels prove it wrong"


def judged(
    store: Store, at: int, doubt: str | None, cohort: str = "all", outcome: str = "held", pipeline: str = "p"
) -> None:
    """A round that began at `at` on both clocks; `doubt` None where its report has no word of it."""
    report: dict[str, Any] = {} if doubt is None else {"trust": {"broken": 3, "doubt": doubt}}
    row = Round(f"{pipeline}-{cohort}-{at}", pipeline, cohort, "period", at, at + 1, at, outcome, report)
    with store.write() as tx:
        store.registry.save_round(tx, row)


def clear(store: Store, until: int, who: str = "ann", state: str = "done", pipeline: str = "p") -> None:
    number = store.registry.command(who, CLEAR, pipeline, until=until)
    if state != "open":
        store.registry.close_command(number, state, "")


def test_no_round_holds_nobody(store: Store) -> None:
    assert store.doubts.standing("p") == []
    assert store.doubts.cleared("p") is None


def test_it_is_held_since_the_first_round_that_has_held_it_without_a_break(store: Store) -> None:
    for at, doubt in ((10, WRONG), (20, ""), (30, STUCK), (40, WRONG)):
        judged(store, at, doubt)
    judged(store, 50, None, outcome="failed")  # which did not come to look at it
    judged(store, 50, STUCK, pipeline="q")
    assert store.doubts.standing("p") == [Doubt("all", 30, WRONG)]
    judged(store, 60, "", outcome="released")
    assert store.doubts.standing("p") == []


def test_a_first_version_begins_with_a_teacher_that_is_believed(store: Store) -> None:
    judged(store, 10, STUCK)
    judged(store, 20, None, outcome="released")
    assert store.doubts.standing("p") == []


def test_each_cohort_has_its_own_word(store: Store) -> None:
    judged(store, 10, STUCK, "north")
    judged(store, 20, "", "south")
    assert store.doubts.standing("p") == [Doubt("north", 10, STUCK)]


@pytest.mark.parametrize(("until", "standing"), [(9, [30]), (29, [30]), (30, [40]), (40, []), (50, [])])
def test_rounds_that_began_before_the_clearing_no_longer_hold_it(
    store: Store, until: int, standing: list[int]
) -> None:
    judged(store, 30, STUCK)
    judged(store, 40, STUCK)
    clear(store, until)
    assert [doubt.since for doubt in store.doubts.standing("p")] == standing


def test_the_last_clearing_that_was_carried_out_counts(store: Store) -> None:
    clear(store, 10)
    clear(store, 20, "bob")
    clear(store, 30, state="open")
    clear(store, 40, state="failed")
    clear(store, 50, pipeline="q")
    assert store.doubts.cleared("p") == Clearing(20, "bob")

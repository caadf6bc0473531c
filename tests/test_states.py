"""States hold at the readings of other channels, however they and the readings come."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.cut import Cut
from iot_stream.order import Sorter
from iot_stream.readings import Block, Times, Values
from iot_stream.states import Hold
from iot_stream.windows import Windower, Windows
from tests.streams import pieces

NAN = np.nan
PLAIN = Cut(("t",), ("t",), length=2, hop=1)
SECOND = 10**9


def held(longest: int = 0, **changes: object) -> Cut:
    given = {"channels": ("t", "on"), "inputs": ("on",), "length": 1, "hop": 1}
    return Cut(**(given | {"holds": (Hold("on", longest),)} | changes))  # type: ignore[arg-type]


def push(cut: Cut, *rows: tuple[int, float, float]) -> Windows:
    """(time, t, on)."""
    times = np.array([time for time, *_ in rows], np.int64)
    return Windower(cut).push(times, np.array([row for _, *row in rows], np.float32))


def test_what_is_said_once_holds_until_it_is_said_anew() -> None:
    found = push(
        held(), (1, 5, NAN), (2, NAN, 1), (3, 5, NAN), (4, 5, NAN), (5, NAN, 0), (6, 5, NAN), (7, 5, 1)
    )
    assert found.starts.tolist() == [1, 3, 4, 6, 7]
    np.testing.assert_array_equal(found.x[:, 0, 0], [NAN, 1, 1, 0, 1])


def test_it_holds_no_longer_than_it_may() -> None:
    found = push(held(3), (2, NAN, 1), (3, 5, NAN), (5, 5, NAN), (6, 5, NAN), (7, NAN, 1), (8, 5, NAN))
    np.testing.assert_array_equal(found.x[:, 0, 0], [1, 1, NAN, 1])


def test_on_a_grid_it_is_what_held_at_the_point_and_nothing_between() -> None:
    cut = held(period=10, gap=100)
    found = push(cut, (1, 0, NAN), (12, NAN, 1), (18, 17, NAN), (23, NAN, 0), (25, NAN, 2), (41, 40, NAN))
    assert found.starts.tolist() == [10, 20, 30, 40]
    np.testing.assert_array_equal(found.x[:, 0, 0], [NAN, 1, 2, 2])


def test_other_cuts_keep_their_ids() -> None:
    assert PLAIN.id == "16dfbec711821514"
    assert held().id != held(1).id


@st.composite
def rows(draw: st.DrawFn) -> tuple[Times, Values]:
    times = sorted(draw(st.sets(st.integers(0, 400), min_size=1, max_size=40)))
    value = st.sampled_from([NAN, 0.0, 1.0, 2.0])
    return np.array(times), np.array([[draw(value), draw(value)] for _ in times], np.float32)


CUTS = {
    "as they come": held(50),
    "windows": held(length=3, hop=2, gap=40),
    "grid": held(period=7, gap=60, length=2),
    "held grid": held(period=7, gap=60, fill="hold"),
    "joined": held(join=9),
}


@given(st.sampled_from(sorted(CUTS)), rows(), st.data())
def test_the_same_bytes_however_it_is_split(
    name: str, stream: tuple[Times, Values], data: st.DataObject
) -> None:
    (times, values), cut = stream, CUTS[name]
    whole = Windower(cut)
    expected = whole.push(times, values)
    windower, found = Windower(cut), []
    for part in data.draw(st.composite(pieces)(len(times))):
        found.append(windower.push(times[part], values[part]))
        windower = Windower.restore(cut, windower.snapshot())
    for k in range(3):
        got = np.concatenate([each[k] for each in found]) if found else expected[k][:0]
        np.testing.assert_array_equal(got, expected[k])
    assert windower.snapshot() == whole.snapshot()


@given(rows())
def test_windows_are_those_without_the_states(stream: tuple[Times, Values]) -> None:
    times, values = stream
    plain = Windower(Cut(("t",), ("t",), length=2, hop=1)).push(times, values[:, :1])
    beside = Windower(held(length=2)).push(times, values)
    np.testing.assert_array_equal(plain.starts, beside.starts)
    for end, x in zip(beside.ends, beside.x, strict=True):
        said = values[(times <= end) & ~np.isnan(values[:, 1]), 1]
        np.testing.assert_array_equal(x[-1, 0], said[-1] if len(said) else NAN)


def test_a_row_that_goes_takes_along_what_has_come_for_it() -> None:
    """A topic speaks once, and then not for hours: its only word is not waited for, and not left behind."""
    sorter = Sorter(("t", "on"), (0, 1), lateness=5 * SECOND, wait=60 * SECOND)
    found = [sorter.push(_block("on", 10, 1), 10 * SECOND)]
    found += [sorter.push(_block("t", at, 0), at * SECOND) for at in range(5, 605, 60)]
    times = np.concatenate([times for times, *_ in found]) // SECOND
    values = np.concatenate([values for _, values, _ in found])
    assert times.tolist() == [5, 10, 65, 125, 185, 245, 305, 365, 425]
    np.testing.assert_array_equal(np.isnan(values[:, 1]), times != 10)
    assert sorter.late == 0


def _block(channel: str, at: int, source: int) -> Block:
    return Block("d", (channel,), [at * SECOND], [1.0], source=source)

"""The rival persistence: the last word on a device, repeated, and none before it has come."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.evaluate.persistence import Word, repeated


def said(
    windows: list[tuple[str, int, int]], words: list[Word], before: int = -1
) -> list[int]:  # windows: device, end, arrived
    devices, ends, arrived = zip(*windows, strict=True)
    return repeated(np.array(devices), np.array(ends), np.array(arrived), words, before).tolist()


def at_once(*ends: int) -> list[tuple[str, int, int]]:
    return [("a", end, end) for end in ends]


def test_a_word_is_repeated_once_it_has_come() -> None:
    words = [Word(25, 10, "a", 0), Word(25, 20, "a", 1)]
    assert said(at_once(10, 20, 30, 40), words) == [-1, -1, 1, 1]
    assert said(at_once(10, 20, 30, 40), words, before=2) == [2, 2, 1, 1]


def test_a_window_never_hears_the_word_on_itself() -> None:
    assert said(at_once(10, 20), [Word(10, 10, "a", 1), Word(20, 20, "a", 0)]) == [-1, 1]


def test_an_old_word_that_comes_late_changes_nothing() -> None:
    assert said(at_once(30, 40), [Word(20, 20, "a", 1), Word(35, 10, "a", 0)]) == [1, 1]


def test_on_one_moment_what_comes_later_corrects_what_was_said() -> None:
    teacher, label = Word(10, 10, "a", 0), Word(15, 10, "a", 1)
    assert said(at_once(12, 20), [label, teacher]) == [0, 1]
    assert said(at_once(20), [teacher, label._replace(came=10)]) == [1]  # together: the last given


def test_devices_do_not_hear_each_other() -> None:
    words = [Word(5, 5, "a", 1), Word(6, 6, "b", 0), Word(7, 7, "c", 2)]
    assert said([("b", 10, 10), ("a", 10, 10), ("d", 10, 10)], words) == [0, 1, -1]


moments = st.integers(0, 12)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), moments, moments), min_size=1, max_size=12),
    st.lists(st.builds(Word, moments, moments, st.sampled_from("ab"), st.integers(0, 2)), max_size=12),
)
def test_it_is_the_newest_of_what_had_come(windows: list[tuple[str, int, int]], words: list[Word]) -> None:
    expected = []
    for device, end, arrived in windows:
        heard = [word for word in words if word.device == device and word.came <= arrived and word.end < end]
        newest = max(heard, key=lambda word: (word.end, word.came, words.index(word)), default=None)
        last = [word for word in heard if newest and word[:2] == newest[:2]]
        expected.append(last[-1].value if last else -1)
    assert said(windows, words) == expected

"""Material: rows of windows, joined and chosen, with or without the teacher's own windows."""

import numpy as np
import pytest

from iot_stream.distill.material import Material


def material(ends: list[int], teacher: bool) -> Material:
    """Every column says which window it belongs to."""
    n = len(ends)
    moments = np.array(ends, np.int64)
    x = moments.astype(np.float32).reshape(n, 1, 1)
    logits = np.stack([-x[:, 0, 0], x[:, 0, 0]], axis=1)
    devices = np.array([f"d{end}" for end in ends])
    return Material(
        devices, moments - 1, moments, x, logits, moments, np.repeat(x, 3, 1) if teacher else None
    )


def check(found: Material, ends: list[int], teacher: bool) -> None:
    expected = material(ends, teacher)
    assert len(found) == len(ends)
    for name, column in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), column, err_msg=name)


@pytest.mark.parametrize("teacher", [True, False])
def test_rows_are_chosen_in_all_columns(teacher: bool) -> None:
    whole = material([5, 6, 7], teacher)
    check(whole.rows(np.array([True, False, True])), [5, 7], teacher)
    check(whole.rows(np.array([2, 0])), [7, 5], teacher)
    assert len(whole.rows(np.zeros(3, bool))) == 0


@pytest.mark.parametrize("teacher", [True, False])
def test_one_follows_the_other_in_all_columns(teacher: bool) -> None:
    check(material([5, 6], teacher).and_then(material([1], teacher)), [5, 6, 1], teacher)
    nothing = material([5], teacher).rows(np.zeros(1, bool))
    check(nothing.and_then(material([1], teacher)), [1], teacher)


def test_where_one_lacks_the_teachers_windows_both_do() -> None:
    """Half of them would be taken for the wrong rows."""
    with_them, without = material([5, 6], True), material([1], False)
    check(with_them.and_then(without), [5, 6, 1], False)
    check(without.and_then(with_them), [1, 5, 6], False)


def test_the_teacher_names_its_likeliest_class() -> None:
    assert material([1, -1, 2], False).said.tolist() == [1, 0, 1]

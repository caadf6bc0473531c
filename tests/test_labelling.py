"""A window's label is the label of its last reading, whenever the label came."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.labelling import NO_LABEL, enough_classes, join
from iot_stream.readings import Label

LABELS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 12), st.integers(0, 2)),
    max_size=10,
    unique_by=lambda label: label[:3],
)
WINDOWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(0, 10)), max_size=8)


def at(labels: list[Label], device: str, moment: int) -> int:
    """The slow way: of the labels that cover the moment the one that began last, then the shortest."""
    covering = [label for label in labels if label.device == device and label.start <= moment <= label.end]
    return max(covering, key=lambda label: (label.start, -label.end)).value if covering else NO_LABEL


@given(LABELS, WINDOWS)
def test_join_is_what_a_look_at_every_moment_gives(
    given_labels: list[tuple[str, int, int, int]], given_windows: list[tuple[str, int, int]]
) -> None:
    labels = [Label(device, start, start + length, value) for device, start, length, value in given_labels]
    devices = np.array([device for device, _, _ in given_windows], np.str_)
    starts = np.array([start for _, start, _ in given_windows], np.int64)
    ends = starts + np.array([length for _, _, length in given_windows], np.int64)
    values, mixed = join(devices, starts, ends, labels)
    for i, (device, start, _) in enumerate(given_windows):
        inside = [at(labels, device, moment) for moment in range(start, int(ends[i]) + 1)]
        assert values[i] == inside[-1]
        assert mixed[i] == (inside[-1] != NO_LABEL and bool(set(inside) - {NO_LABEL, inside[-1]}))


def test_a_short_label_inside_a_long_one_holds_for_its_time_only() -> None:
    labels = [Label("a", 0, 100, 0), Label("a", 50, 50, 1)]
    moments = np.array([49, 50, 51])
    values, mixed = join(np.array(["a"] * 3), moments, moments, labels)
    assert values.tolist() == [0, 1, 0]
    assert not mixed.any()


@pytest.mark.parametrize(
    ("others", "n_min", "enough"),
    [
        (4, 60, False),
        (5, 60, True),
        (9, 200, False),
        (10, 200, True),
        (1, 8, False),
        (2, 8, True),
        (0, 1, False),
    ],
)
def test_a_second_class_is_seen_on_as_many_windows_as_the_judgement_allows(
    others: int, n_min: int, enough: bool
) -> None:
    truth = np.array([0] * n_min + [1] * others + [-1] * 9)
    assert enough_classes(truth, n_min) is enough

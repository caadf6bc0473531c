"""Late labels: some of the truth becomes known, never before its own reading, as late as in life."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config import Recordings
from iot_stream.config.recordings import LateLabels
from iot_stream.recordings import Known, Recording, late_labels
from iot_stream.recordings.labels import messages
from iot_stream.units import Delay

HOUR = 3600 * SECOND
START = 1_423_612_800 * SECOND  # a midnight


def recording(
    labels: list[int], device: str = "a", first: int = START, segment: str = "", step: int = SECOND
) -> Recording:
    """A reading a step (ns) from `first` on."""
    times = first + step * np.arange(len(labels))
    nothing = np.zeros((len(labels), 1), np.float32)
    return Recording(device, ("x",), times, nothing, np.array(labels), {"batch": segment})


def plan(fraction: float = 1.0, delay: str = "0 s", **changes: object) -> Recordings:
    return Recordings(labels=LateLabels(fraction=fraction, delay=Delay.parse(delay)), **changes)


def seconds(known: list[Known]) -> list[tuple[int, int, int]]:
    """When each is known, begin and end of what it is about, in seconds from the start."""
    return [
        tuple((moment - START) // SECOND for moment in (each.at, each.label.start, each.label.end))
        for each in known
    ]


def test_a_message_holds_at_most_so_many_readings_of_one_class() -> None:
    rows = list(messages(recording([0, 0, 0, 1, 1, -1, 0]), 2))
    assert rows == [slice(0, 2), slice(2, 3), slice(3, 5), slice(5, 6), slice(6, 7)]


def test_by_default_nothing_is_ever_known() -> None:
    assert late_labels([recording([0, 1, 0])], Recordings(), 0) == []


def test_all_labels_at_once_are_the_truth_of_each_message() -> None:
    known = late_labels([recording([0, 0, 0, 1, -1])], plan(readings=2), 0)
    assert seconds(known) == [(1, 0, 1), (2, 2, 2), (3, 3, 3)]
    assert [each.label.value for each in known] == [0, 0, 1]
    assert {each.label.device for each in known} == {"a"}


def test_a_fraction_is_about_right_and_the_same_for_the_same_seed() -> None:
    stream = [recording([0, 1] * 1000), recording([1, 0] * 1000, "b")]
    known = late_labels(stream, plan(0.3), 5)
    assert len(known) == pytest.approx(1200, abs=5 * np.sqrt(4000 * 0.3 * 0.7))
    of_a, of_b = ({each.label.end for each in known if each.label.device == name} for name in "ab")
    assert of_a != of_b
    assert known == late_labels(stream, plan(0.3), 5)
    assert known != late_labels(stream, plan(0.3), 6)


def test_another_device_in_the_stream_changes_nothing_for_the_first() -> None:
    alone = late_labels([recording([0, 1] * 50)], plan(0.3), 0)
    both = late_labels([recording([1] * 50, "b"), recording([0, 1] * 50)], plan(0.3), 0)
    assert [each for each in both if each.label.device == "a"] == alone


def test_a_delay_may_be_a_time() -> None:
    assert seconds(late_labels([recording([0, 1])], plan(delay="10 s"), 0)) == [(10, 0, 0), (11, 1, 1)]


def test_a_delay_may_be_so_many_readings_and_what_would_come_after_the_end_is_never_known() -> None:
    stream = [recording([0, 1, 0, 1, 0], first=START + 100 * SECOND), recording([0, 0, 1])]
    # Eight readings of one device, the second recording first: 0 1 2, 100 … 104.
    assert seconds(late_labels(stream, plan(delay="4 readings"), 0)) == [
        (101, 0, 0),
        (102, 1, 1),
        (103, 2, 2),
        (104, 100, 100),
    ]
    messages_of_two = plan(delay="4 readings", readings=2)
    assert seconds(late_labels(stream, messages_of_two, 0)) == [(102, 0, 1), (103, 2, 2), (104, 100, 100)]
    assert late_labels(stream, plan(delay="8 readings"), 0) == []


def test_a_delay_may_last_until_the_segment_is_over() -> None:
    stream = [
        recording([0, 1], segment="3"),
        recording([0], first=START + 10 * SECOND, segment="3"),
        recording([1, 1], first=START + 20 * SECOND, segment="4"),
        recording([0, 0, 0], "b", segment="3"),
    ]
    known = late_labels(stream, plan(delay="segment", segments="batch"), 0)
    of_a, of_b = ([each for each in known if each.label.device == name] for name in "ab")
    assert seconds(of_a) == [(10, 0, 0), (10, 1, 1), (10, 10, 10), (21, 20, 20), (21, 21, 21)]
    assert seconds(of_b) == [(2, 0, 0), (2, 1, 1), (2, 2, 2)]


def test_a_day_is_known_at_its_last_reading() -> None:
    known = late_labels([recording([0, 1] * 18, step=HOUR)], plan(delay="segment", segments="day"), 0)
    assert [(each.at - START) // HOUR for each in known] == [23] * 24 + [35] * 12


def test_without_segments_all_is_one() -> None:
    assert {when for when, *_ in seconds(late_labels([recording([0, 1, 0])], plan(delay="segment"), 0))} == {
        2
    }


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.lists(st.integers(-1, 2), min_size=1)), min_size=1, max_size=4
    ),
    st.sampled_from(["0 s", "3 s", "2 readings", "segment"]),
    st.integers(1, 4),
    st.floats(0, 1),
)
def test_nothing_is_known_before_its_reading_nor_untrue_nor_out_of_order(
    devices: list[tuple[str, list[int]]], delay: str, readings: int, fraction: float
) -> None:
    stream = [
        recording(labels, device, START + 1000 * number * SECOND, str(number))
        for number, (device, labels) in enumerate(devices)
    ]
    known = late_labels(stream, plan(fraction, delay, readings=readings, segments="batch"), 0)
    truth = {
        (r.device, t): v for r in stream for t, v in zip(r.times.tolist(), r.labels.tolist(), strict=True)
    }
    for each in known:
        about = [
            v
            for (d, t), v in truth.items()
            if d == each.label.device and each.label.start <= t <= each.label.end
        ]
        assert set(about) == {each.label.value} != {-1}
        assert len(about) <= readings
        assert each.at >= each.label.end
    assert [each.at for each in known] == sorted(each.at for each in known)
    spans = [(each.label.device, each.label.start) for each in known]
    assert len(set(spans)) == len(spans)

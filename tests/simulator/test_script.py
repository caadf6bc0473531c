"""What a recording's devices say and when: every row once, loggers at their hour, labels at their moment."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.config import Late, Pipeline, Recordings, Source, Task, Window
from iot_stream.config.recordings import LateLabels
from iot_stream.recordings import Known, Recording, late_labels
from iot_stream.units import Delay, Duration
from simulator.script import Event, Logger, Said, script

HOUR = 3600 * 10**9
DAY = 24 * HOUR
MIDNIGHT = 1_423_612_800 * 10**9  # 2015-02-11
PROMPT, LOGGED = ("t", "co2"), ("light",)


def pipeline(**recordings: object) -> Pipeline:
    """The light is read out at 20:00 from a source of its own."""
    return Pipeline(
        window=Window(length=1),
        task=Task(classify=("empty", "occupied")),
        sources=(
            Source(topic="x/{device}/telemetry", channels={"t": "", "co2": ""}),
            Source(topic="x/{device}/light", channels={"light": ""}),
        ),
        recordings=Recordings(late={"light": Late(every=Duration(DAY), at="20:00")}, **recordings),
    )


def recording(
    labels: list[int], device: str = "office", first: int = MIDNIGHT + 5 * HOUR, step: int = HOUR
) -> Recording:
    """A reading a step; each value is its own."""
    n = len(labels)
    values = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    times = first + step * np.arange(n, dtype=np.int64)
    return Recording(device, ("t", "light", "co2"), times, values, np.array(labels, np.int64), {})


def played(stream: list[Recording], **recordings: object) -> list[Event]:
    return list(script(stream, pipeline(**recordings), 0))


def messages(events: list[Event], channels: tuple[str, ...] = PROMPT) -> list[Said]:
    return [event for _, event in events if isinstance(event, Said) and event.channels == channels]


def hours(said: Said) -> list[int]:
    return ((said.times - MIDNIGHT) // HOUR).tolist()


devices = st.lists(
    st.builds(
        recording,
        st.lists(st.integers(-1, 1), min_size=1, max_size=60),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 80).map(lambda hour: MIDNIGHT + hour * HOUR),
        st.sampled_from([HOUR // 7, HOUR, 9 * HOUR]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each.device,
)


@given(devices, st.integers(1, 7))
def test_every_row_is_said_exactly_once_by_each_source(stream: list[Recording], readings: int) -> None:
    events = played(stream, readings=readings)
    for channels in (PROMPT, LOGGED):
        rows = Counter(
            (said.device, time, tuple(values))
            for said in messages(events, channels)
            for time, values in zip(said.times.tolist(), said.values.tolist(), strict=True)
        )
        columns = [stream[0].channels.index(name) for name in channels]
        assert rows == Counter(
            (each.device, time, tuple(values))
            for each in stream
            for time, values in zip(each.times.tolist(), each.values[:, columns].tolist(), strict=True)
        )


@given(devices, st.integers(1, 7))
def test_events_come_in_order_of_time_whatever_the_device(stream: list[Recording], readings: int) -> None:
    events = played(stream, readings=readings)
    moments = [moment for moment, _ in events]
    assert moments == sorted(moments)
    for moment, event in events:
        assert isinstance(event, Said)
        if event.logger is None:
            assert moment == event.times[-1]
        else:
            assert moment >= event.times[-1]
    for each in stream:
        own = [said.times for said in messages(events) if said.device == each.device]
        np.testing.assert_array_equal(np.concatenate(own), each.times)


@given(devices, st.integers(1, 7))
def test_a_message_is_of_one_class_and_never_longer_than_set(stream: list[Recording], readings: int) -> None:
    truth = {
        (r.device, t): v for r in stream for t, v in zip(r.times.tolist(), r.labels.tolist(), strict=True)
    }
    events = played(stream, readings=readings)
    for said in messages(events):
        assert 1 <= len(said.times) <= readings
        assert {truth[said.device, time] for time in said.times.tolist()} == {said.label}
    assert {said.label for said in messages(events, LOGGED)} == {-1}


def test_messages_are_as_long_as_they_may_be() -> None:
    said = messages(played([recording([0, 0, 0, 0, 0, 1, 1])], readings=3))
    assert [(hours(each), each.label) for each in said] == [([5, 6, 7], 0), ([8, 9], 0), ([10, 11], 1)]


@given(devices, st.integers(1, 7))
def test_a_batch_comes_before_the_first_reading_from_its_hour_on(
    stream: list[Recording], readings: int
) -> None:
    def day(moment: int) -> int:
        return (moment - MIDNIGHT - 20 * HOUR) // DAY

    events = played(stream, readings=readings)
    for each in stream:
        prompt: list[int] = []
        logged: list[int] = []
        read_out = False
        for said in (event for _, event in events if isinstance(event, Said) and event.device == each.device):
            times = said.times.tolist()
            if said.logger:
                logged, read_out = logged + times, True
                continue
            if prompt and day(times[-1]) > day(prompt[-1]):
                assert logged == prompt  # all from before
            else:
                assert not read_out
            prompt, read_out = prompt + times, False
        assert logged == prompt == each.times.tolist()  # the rest, when somebody collects the logger


def test_a_logger_is_read_out_at_eight_and_collected_at_the_end() -> None:
    events = played([recording([0] * 42)])
    assert [hours(said) for said in messages(events, LOGGED)] == [
        list(range(5, 20)),
        list(range(20, 44)),
        [44, 45, 46],
    ]
    assert [
        (moment - MIDNIGHT) // HOUR for moment, said in events if isinstance(said, Said) and said.logger
    ] == [
        20,
        44,
        46,
    ]


@pytest.mark.parametrize(
    ("moment", "readout"),
    [(0, 20 * HOUR), (20 * HOUR - 1, 20 * HOUR), (20 * HOUR, 44 * HOUR), (43 * HOUR, 44 * HOUR)],
)
def test_a_logger_is_read_out_after_its_hour(moment: int, readout: int) -> None:
    logger = Logger(1, "t", ("light",), DAY, 20 * HOUR)
    assert logger.readout_after(MIDNIGHT + moment) == MIDNIGHT + readout


@given(devices, st.sampled_from(["0 s", "90 min", "3 readings", "segment"]), st.integers(1, 4))
def test_labels_come_once_the_stream_has_reached_their_moment(
    stream: list[Recording], delay: str, readings: int
) -> None:
    plan = {"labels": LateLabels(fraction=0.7, delay=Delay.parse(delay)), "readings": readings}
    events = played(stream, **plan)
    told = [(moment, event) for moment, event in events if isinstance(event, Known)]
    assert [event for _, event in told] == late_labels(stream, Recordings(**plan), 0)
    moments = [moment for moment, event in events if isinstance(event, Said) and event.logger is None]
    for moment, known in told:
        reached = [each for each in moments if each >= known.at]
        assert moment == (reached[0] if reached else moments[-1])


def test_without_late_channels_all_is_said_at_once() -> None:
    settings = Pipeline(window=Window(length=1), task=Task(classify=("empty", "occupied")))
    events = list(script([recording([0, 1]), recording([1], "b")], settings, 0))
    assert [
        (event.device, event.channels, event.label) for _, event in events if isinstance(event, Said)
    ] == [
        ("office", ("t", "light", "co2"), 0),
        ("b", ("t", "light", "co2"), 1),
        ("office", ("t", "light", "co2"), 1),
    ]
    assert list(script([], settings, 0)) == []

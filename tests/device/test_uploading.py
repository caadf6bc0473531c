"""What a device on a link that costs sends: within its budget, whatever comes, and nothing uncounted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.cut import Cut
from iot_stream.device import choosing
from iot_stream.device.predicting import Said, changes
from iot_stream.device.sampling import Sampler
from iot_stream.device.uploading import DAY, Seen, Selection
from iot_stream.errors import ConfigError
from iot_stream.formats.sample import Sample, decode
from iot_stream.units import Duration, Size
from iot_stream.upload import DeviceUpload

CUT = Cut(("a", "b"), ("a", "b"), length=1, hop=1)
CUTS = {CUT.id: CUT}
BEGIN, MINUTE = 1_767_225_600_000_000_000, 60 * 10**9


def upload(budget: int, every: int = 60 * MINUTE, **more: object) -> DeviceUpload:
    return DeviceUpload(budget=Size(budget), every=Duration(every), cuts=(CUT,), **more)  # type: ignore[arg-type]


def seen(minute: int, values: list[float], klass: str = "", p: float = 0.0) -> Seen:
    time = BEGIN + minute * MINUTE
    return Seen(time, time, np.array([values], np.float32), klass=klass, p=p)


# --- which -----------------------------------------------------------------------------------------


def test_the_unlike_and_the_doubtful_come_first() -> None:
    rng = np.random.default_rng(0)
    found = np.concatenate([rng.normal(0, 0.1, (97, 2)), [[9, 9], [-9, 9]], rng.normal(0, 0.1, (1, 2))])
    certainty = np.full(100, 0.99)
    certainty[42] = 0.51
    ranking = choosing.order(found, certainty, np.zeros((0, 2)), rng)
    assert sorted(ranking.tolist()) == list(range(100))
    assert {97, 98, 42} <= set(ranking[:7].tolist())


def test_what_has_gone_up_is_nothing_new() -> None:
    rng = np.random.default_rng(0)
    found = np.array([[0.0, 0.0], [5.0, 5.0], [-5.0, 5.0]])
    ranking = choosing.order(found, np.ones(3), np.array([[5.0, 5.1], [0.1, 0.0]]), rng)
    assert ranking[0] == 2


def test_farthest_first_is_that_of_a_plain_search() -> None:
    rng = np.random.default_rng(3)
    found, before = rng.normal(size=(30, 3)), rng.normal(size=(4, 3))
    left, known, expected = list(range(30)), list(before), []
    while left:
        far = max(left, key=lambda i: min(float(((found[i] - each) ** 2).sum()) for each in known))
        expected.append(far)
        left.remove(far)
        known.append(found[far])
    assert choosing.farthest_first(found, before).tolist() == expected


def test_features_leave_out_what_is_missing() -> None:
    x = np.array([[[1, np.nan], [3, np.nan]]], np.float32)
    assert choosing.features(x).tolist() == [[2.0, 0.0, 1.0, 0.0]]


# --- how much -----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    budget=st.integers(1000, 200_000),
    every=st.integers(1, 300),
    minutes=st.lists(st.integers(1, 90), min_size=1, max_size=150),
    seed=st.integers(0, 9),
)
def test_the_budget_holds_and_every_window_is_counted(
    budget: int, every: int, minutes: list[int], seed: int
) -> None:
    selection = Selection(upload(budget, every * MINUTE), seed)
    rng = np.random.default_rng(seed)
    spent, came, total, last, minute = 0, list[Sample](), 0, "", 0
    for pause in minutes:
        minute += pause
        now = BEGIN + minute * MINUTE
        klass = "xy"[int(rng.integers(2))]
        if klass != last and selection.affords(90, now):
            spent, last = spent + 90, klass
        selection.add([seen(minute, rng.normal(size=2).tolist(), klass, 0.7)])
        total += 1
        if selection.due(now) and (message := selection.choose(now)):
            spent += len(message)
            came.append(decode(message, CUTS))
            assert came[-1].rest.end == now
        elapsed = (minute - minutes[0] + every) * MINUTE
        assert spent <= min(elapsed / DAY, 1) * budget + max(0, elapsed - DAY) / DAY * budget
    if message := selection.choose(BEGIN + minute * MINUTE + 1000 * DAY):  # a day's worth
        came.append(decode(message, CUTS))
        assert sum(each.rest.windows for each in came) == total
    starts = [start for each in came for start in each.windows[CUT.id].starts.tolist()]
    assert len(set(starts)) == len(starts) == sum(each.rest.sent for each in came)


def test_what_does_not_fit_waits_and_is_not_forgotten() -> None:
    selection = Selection(upload(200, MINUTE), 0)
    selection.add([seen(0, [1, 2], "x", 0.9)])
    assert selection.choose(BEGIN + MINUTE) is None
    selection.add([seen(1, [3, 4], "y", 0.9)])
    message = selection.choose(BEGIN + 2 * DAY)
    assert message is not None
    rest = decode(message, CUTS).rest
    assert (rest.windows, rest.classes, rest.begin) == (2, {"x": 1, "y": 1}, BEGIN)
    assert rest.inputs["a"] == (2.0, 1.0, 1.0, 3.0)


def test_of_many_windows_a_bounded_number_is_kept() -> None:
    selection = Selection(upload(10**9), 0)
    selection.add(seen(i, [float(i), 0.0], "x", 0.9) for i in range(5000))
    message = selection.choose(BEGIN + 5000 * MINUTE)
    assert message is not None
    found = decode(message, CUTS)
    assert (found.rest.windows, found.rest.sent) == (5000, 512)
    minutes = (found.windows[CUT.id].starts - BEGIN) // MINUTE
    assert 1500 < minutes.mean() < 3500, "from all of them alike"


def test_news_are_words_of_another_class() -> None:
    words = [(1, "x", 0.9), (2, "x", 0.8), (3, "y", 0.7), (4, "x", 0.6)]
    assert [time for time, _, _ in changes(words, "x")] == [3, 4]
    assert [time for time, _, _ in changes(words, "")] == [1, 3, 4]


# --- from readings ----------------------------------------------------------------------------


def test_readings_become_a_message_with_words_and_what_others_need() -> None:
    sampler = Sampler(upload(10**9, 10 * MINUTE, readings=("c",)), ("b", "c", "a"), "one")
    message = None
    for minute in range(12):
        times = np.array([BEGIN + minute * MINUTE])
        said = Said(4, [(int(times[0]), "x", 0.75)])
        message = (
            sampler.feed(times, np.array([[minute, 100 + minute, -minute]], np.float32), said) or message
        )
    assert message is not None
    found = decode(message, CUTS)
    assert found.version == 4
    assert found.rest.windows == 11
    assert np.allclose(found.windows[CUT.id].x[:, 0], [[-i, i] for i in range(11)], atol=1e-3)
    assert np.allclose(found.readings[:, 0], 100 + np.arange(11), atol=1e-3)
    assert found.said.tolist() == [0] * 11
    assert sampler.rest() is not None, "the last window goes when the device stops"
    assert sampler.rest() is None


def test_a_device_that_lacks_a_channel_says_which() -> None:
    with pytest.raises(ConfigError, match="this device has no b"):
        Sampler(upload(1000), ("a",), "one")

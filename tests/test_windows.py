"""One function from readings to windows: however they come, on whichever side, the same bytes."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.cut import Cut
from iot_stream.derive import Derived
from iot_stream.errors import DataError, Refused
from iot_stream.hygiene import Limit
from iot_stream.readings import Times, Values
from iot_stream.spec import FARTHEST, Spec, normalisation
from iot_stream.windows import Windower, Windows
from tests.streams import START, pieces, streams

MS = 1_000_000
NAN = float("nan")


def derived(name: str, text: str) -> Derived:
    return Derived.parse(name, text)


EVERY_FUNCTION = (
    derived("water", "absolute_humidity(a, b)"),
    derived("lb", "log(b)"),
    derived("signed", "log1p(a)"),
    derived("step", "diff(lb)"),
    derived("mean", "ema(a, 30 ms)"),
    derived("own", "minus_ema(lb, 20 ms)"),
    derived("noise", "spread(b, 50 ms)"),
    derived("unrest", "deviation(b, 50 ms)"),
    derived("day", "day_sine()"),
    derived("night", "day_cosine()"),
    derived("sunday", "weekend()"),
)
CUTS = {
    "as they come": Cut(("a", "b"), ("a", "b"), 4, 2, gap=50 * MS),
    "hop beyond length": Cut(("a", "b"), ("b",), 3, 7, gap=50 * MS),
    "one by one": Cut(("a", "b"), ("a", "b"), 1, 1),
    "required": Cut(("a", "b"), ("a", "b"), 3, 1, required=("b",), gap=100 * MS),
    "linear grid": Cut(("a", "b"), ("a", "b"), 5, 3, period=10 * MS, gap=100 * MS),
    "hold grid": Cut(("a", "b"), ("a", "b"), 5, 5, period=7 * MS, gap=100 * MS, fill="hold"),
    "judged": Cut(
        ("a", "b"),
        ("a", "b"),
        3,
        1,
        error_values=(5.0,),
        limits=(Limit("b", low=-900.0, high=900.0, jump=700.0, stuck=20 * MS), Limit("a", jump=500.0)),
    ),
    "joined": Cut(("a", "b"), ("a", "b"), 2, 1, join=9 * MS, gap=50 * MS, required=("a",)),
    "joined on a grid": Cut(
        ("a", "b"), ("b", "a"), 2, 1, join=9 * MS, period=10 * MS, gap=90 * MS, fill="hold"
    ),
    "apart on a grid": Cut(("a", "b"), ("a", "b"), 2, 1, period=5 * MS, gap=30 * MS, join=2 * MS),
    "sparse grid": Cut(("a", "b"), ("a",), 2, 5, period=20 * MS, gap=300 * MS),
    "derived": Cut(("a", "b"), tuple(d.name for d in EVERY_FUNCTION), 3, 2, derive=EVERY_FUNCTION),
    "derived on a grid": Cut(
        ("a", "b"),
        ("own", "noise", "a", "hum"),
        3,
        1,
        derive=(*EVERY_FUNCTION, derived("hum", "band(a, 5 Hz, 20 Hz, 30 ms)")),
        period=10 * MS,
        gap=200 * MS,
    ),
}


def push_all(windower: Windower, times: Times, values: Values, parts: list[slice]) -> list[Windows]:
    return [windower.push(times[part], values[part]) for part in parts]


def as_bytes(windows: list[Windows]) -> bytes:
    return b"".join(w.starts.tobytes() + w.ends.tobytes() + w.x.tobytes() for w in windows for w in single(w))


def single(windows: Windows) -> list[Windows]:
    return [
        Windows(windows.starts[i : i + 1], windows.ends[i : i + 1], windows.x[i : i + 1])
        for i in range(len(windows))
    ]


# --- purity


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@settings(max_examples=150)
@given(data=st.data())
def test_push_gives_the_same_bytes_however_the_stream_is_split(cut: Cut, data: st.DataObject) -> None:
    times, values = data.draw(streams(2))
    whole = Windower(cut)
    expected = as_bytes([whole.push(times, values)])
    windower = Windower(cut)
    found = []
    for part in data.draw(st.composite(pieces)(len(times))):
        found.append(windower.push(times[part], values[part]))
        if data.draw(st.booleans()):
            windower, dropped = Windower.restore(cut, windower.snapshot()), windower.dropped
            windower.dropped = dropped
    assert as_bytes(found) == expected
    assert windower.dropped == whole.dropped
    assert windower.snapshot() == whole.snapshot()


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@given(data=st.data())
def test_push_gives_windows_of_the_cuts_shape_in_order(cut: Cut, data: st.DataObject) -> None:
    times, values = data.draw(streams(2))
    windows = Windower(cut).push(times, values)
    assert windows.x.shape == (len(windows), cut.length, len(cut.inputs))
    assert windows.x.dtype == np.float32
    assert (np.diff(windows.starts) > 0).all()
    assert (windows.ends >= windows.starts).all()
    assert not np.isinf(windows.x).any()


@settings(max_examples=300)
@given(data=st.data())
def test_windows_of_which_nothing_was_lost_are_the_devices_own(data: st.DataObject) -> None:
    """Whatever was lost before them: the service's begin where the device's begin."""
    cut = Cut(("a",), ("a",), data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)), gap=15 * MS)
    count = data.draw(st.integers(1, 60))
    times = START + 10 * MS * np.arange(count)
    values = data.draw(st.lists(st.integers(0, 99), min_size=count, max_size=count))
    x = np.array(values, np.float32)[:, None]
    came = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool)
    missed = np.diff(np.flatnonzero(came), prepend=-1) - 1
    own = Windower(cut).push(times, x)
    service, found = Windower(cut), []
    for part in data.draw(st.composite(pieces)(int(came.sum()))):
        found.append(service.push(times[came][part], x[came][part], missed[part]))
        service = Windower.restore(cut, service.snapshot())
    there = {(int(w.starts[0]), int(w.ends[0])): w.x.tobytes() for each in found for w in single(each)}
    for window in single(own):
        rows = slice(*np.searchsorted(times, [window.starts[0], window.ends[0] + 1]))
        if came[rows].all():
            assert there[int(window.starts[0]), int(window.ends[0])] == window.x.tobytes()


def test_a_silence_of_the_device_begins_its_windows_anew_and_a_loss_does_not() -> None:
    cut = Cut(("a",), ("a",), 2, 2, gap=15 * MS)
    at = np.array([0, 10, 20, 90, 100, 110, 140, 150, 160])
    missed = np.array([0, 0, 0, 0, 0, 0, 2, 0, 0])  # 120 and 130: the device's windows begin at 110, 130, 150
    windows = Windower(cut).push(START + at * MS, np.zeros((len(at), 1), np.float32), missed)
    assert ((windows.starts - START) // MS).tolist() == [0, 90, 150]
    assert ((windows.ends - START) // MS).tolist() == [10, 100, 160]


def test_what_was_lost_before_readings_that_do_not_count_is_remembered() -> None:
    cut = Cut(("a", "b"), ("a", "b"), 2, 2, required=("a",))
    windower, found = Windower(cut), []
    values = np.array([[1, 1], [NAN, 1], [1, 1], [1, 1], [1, 1]], np.float32)
    missed = np.array([0, 1, 0, 0, 0])  # counts: 0, and after one that was lost 2, 3, 4
    for i in range(5):
        windows = windower.push(START + MS * np.array([i]), values[i : i + 1], missed[i : i + 1])
        found += ((windows.ends - START) // MS).tolist()
    assert found == [2, 3]


def test_restore_refuses_the_snapshot_of_another_cut() -> None:
    snapshot = Windower(CUTS["as they come"]).snapshot()
    with pytest.raises(DataError, match="foreign_snapshot"):
        Windower.restore(CUTS["one by one"], snapshot)


# --- windows of readings as they come


def countable(cut: Cut, times: Times, values: Values) -> tuple[Times, Values]:
    """The slow way: one reading after the other."""
    kept_times, kept = [], []
    for time, row in zip(times.tolist(), values, strict=True):
        row = np.where(np.isfinite(row), row, np.nan)
        required = [row[cut.channels.index(name)] for name in cut.required]
        if np.isnan(row).all() or np.isnan(required).any() or (kept_times and time <= kept_times[-1]):
            continue
        kept_times.append(time)
        kept.append(row)
    return np.array(kept_times, np.int64), np.array(kept, np.float32).reshape(len(kept), values.shape[1])


def segments(times: Times, gap: int) -> list[Times]:
    """Indexes of readings between gaps."""
    breaks = np.flatnonzero(np.diff(times) > gap) + 1 if gap else []
    return [part for part in np.split(np.arange(len(times)), breaks) if len(part)]


@pytest.mark.parametrize("name", ["as they come", "hop beyond length", "one by one", "required"])
@given(stream=streams(2))
def test_windows_without_a_grid_are_those_of_each_segment(name: str, stream: tuple[Times, Values]) -> None:
    cut = CUTS[name]
    times, values = countable(cut, *stream)
    expected = []
    for segment in segments(times, cut.gap):
        for begin in range(0, len(segment) - cut.length + 1, cut.hop):
            rows = segment[begin : begin + cut.length]
            expected.append(
                (
                    times[rows[0]],
                    times[rows[-1]],
                    values[rows][:, [cut.channels.index(i) for i in cut.inputs]],
                )
            )
    windower = Windower(cut)
    windows = windower.push(*stream)
    assert windower.dropped == len(stream[0]) - len(times)
    assert len(windows) == len(expected)
    for i, (start, end, x) in enumerate(expected):
        assert (windows.starts[i], windows.ends[i]) == (start, end)
        np.testing.assert_array_equal(windows.x[i], x)


# --- resampling


@pytest.mark.parametrize("name", ["linear grid", "hold grid", "sparse grid"])
@given(stream=streams(2))
def test_a_grid_is_what_numpy_interpolates(name: str, stream: tuple[Times, Values]) -> None:
    cut = CUTS[name]
    times, values = countable(cut, *stream)
    values = np.nan_to_num(values, nan=5.0)  # missing values have a test of their own
    expected = []
    for segment in segments(times, cut.gap):
        moments, rows = times[segment], values[segment].astype(np.float64)
        grid = np.arange(-(-moments[0] // cut.period), moments[-1] // cut.period + 1) * cut.period
        if cut.fill == "linear":
            origin = moments[0]  # as floats, times since 1970 would lose their last digits
            resampled = [np.interp(grid - origin, moments - origin, rows[:, i]) for i in range(2)]
        else:
            resampled = [rows[np.searchsorted(moments, grid, side="right") - 1, i] for i in range(2)]
        columns = np.stack([resampled[cut.channels.index(i)] for i in cut.inputs], axis=1)
        for begin in range(len(grid) - cut.length + 1):
            if (grid[begin] // cut.period) % cut.hop == 0:
                expected.append(
                    (grid[begin], grid[begin + cut.length - 1], columns[begin : begin + cut.length])
                )
    windows = Windower(cut).push(times, values)
    assert len(windows) == len(expected)
    for i, (start, end, x) in enumerate(expected):
        assert (windows.starts[i], windows.ends[i]) == (start, end)
        np.testing.assert_allclose(windows.x[i], x, rtol=1e-6, atol=1e-6)


def on_grid(fill: str, *readings: tuple[int, float, float], gap: int = 100) -> list[list[float]]:
    cut = Cut(("a", "b"), ("a", "b"), 1, 1, period=10 * MS, gap=gap * MS, fill=fill)
    times = np.array([time * MS for time, _, _ in readings])
    return Windower(cut).push(times, np.array([row for _, *row in readings], np.float32)).x[:, 0].tolist()


def test_hold_keeps_the_last_known_value_of_each_channel() -> None:
    rows = on_grid("hold", (0, 1, 7), (5, NAN, 8), (20, 3, NAN), (30, NAN, 9))
    assert rows == [[1, 7], [1, 8], [3, 8], [3, 9]]


def test_hold_lets_go_of_a_channel_that_is_dead() -> None:
    rows = on_grid("hold", (0, 1, 7), *((time, 2, NAN) for time in range(10, 60, 10)), gap=30)
    np.testing.assert_array_equal(rows, [[1, 7], [2, 7], [2, 7], [2, 7], [2, NAN], [2, NAN]])


# --- channels that come apart


def joined(*readings: tuple[int, float, float]) -> list[tuple[int, float, float]]:
    """Readings within 5 ms are one; `required` leaves out no row that has anything."""
    windower = Windower(Cut(("a", "b"), ("a", "b"), 1, 1, join=5 * MS))
    times = np.array([time * MS for time, _, _ in readings], np.int64)
    windows = windower.push(times, np.array([row for _, *row in readings], np.float32))
    return [(int(t) // MS, *row) for t, row in zip(windows.starts, windows.x[:, 0].tolist(), strict=True)]


def test_channels_that_come_apart_are_one_reading_of_the_first_ones_time() -> None:
    assert joined((0, 1, NAN), (4, NAN, 2), (10, NAN, 3), (15, 4, NAN)) == [(0, 1, 2), (10, 4, 3)]


def test_a_reading_does_not_wait_for_more_than_all_its_channels() -> None:
    assert joined((0, 1, 2), (1, 3, 4)) == [(0, 1, 2), (1, 3, 4)]


def test_a_channel_that_comes_anew_or_too_late_begins_another_reading() -> None:
    found = joined((0, 1, NAN), (2, 3, NAN), (8, NAN, 4), (20, NAN, 5))
    np.testing.assert_array_equal(found, [(0, 1, NAN), (2, 3, NAN), (8, NAN, 4)])


def test_hold_does_not_reach_over_a_gap() -> None:
    rows = on_grid("hold", (0, 1, 7), (200, 2, NAN))
    np.testing.assert_array_equal(rows, [[1, 7], [2, NAN]])


def test_linear_reaches_over_a_missing_value_as_over_a_pause() -> None:
    rows = on_grid("linear", (0, 0, 0), (20, 2, NAN), (40, 4, 4))
    np.testing.assert_array_equal(rows, [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]])


def test_linear_makes_nothing_up_where_a_channel_is_silent_for_longer_than_the_gap() -> None:
    readings = [(time, time / 10, 7.0 if time in (10, 90) else NAN) for time in range(0, 110, 10)]
    rows = on_grid("linear", *readings, gap=70)
    np.testing.assert_array_equal(np.array(rows)[:, 0], np.arange(len(rows)))
    expected = [NAN, 7, *[NAN] * 7, 7]  # before it spoke; the pause of 80 ms; what comes after 90 has to wait
    np.testing.assert_array_equal(np.array(rows)[:, 1], expected)


def test_linear_waits_for_a_channel_no_longer_than_the_gap() -> None:
    cut = Cut(("a", "b"), ("a", "b"), 1, 1, period=10 * MS, gap=50 * MS)
    windower = Windower(cut)
    came = [
        len(windower.push(np.array([time * MS]), np.array([[1, 1 if time <= 20 else NAN]], np.float32)))
        for time in range(0, 120, 10)
    ]
    assert came == [1, 1, 1, 0, 0, 0, 0, 0, 6, 1, 1, 1]


@st.composite
def apart(draw: st.DrawFn) -> tuple[Times, Values]:
    """Three channels, each at times of its own, on topics of their own; now and then two at once."""
    known: dict[int, list[float]] = {}
    for channel in range(3):
        steps = draw(st.lists(st.sampled_from([1, 3, 10, 17, 40, 60, 130]), max_size=20))
        for time in np.cumsum(steps).tolist():
            known.setdefault(time, [NAN] * 3)[channel] = draw(st.integers(-1000, 1000))
    times = sorted(known)
    values = np.array([known[time] for time in times], np.float32).reshape(-1, 3)
    return START + MS * np.array(times, np.int64), values


@pytest.mark.parametrize("fill", ["linear", "hold"])
@settings(max_examples=200)
@given(stream=apart(), data=st.data())
def test_channels_that_come_apart_are_what_numpy_interpolates(
    fill: str, stream: tuple[Times, Values], data: st.DataObject
) -> None:
    gap = 50 * MS
    cut = Cut(("a", "b", "c"), ("a", "b", "c"), 1, 1, period=10 * MS, gap=gap, fill=fill)
    times, values = stream
    expected: list[tuple[int, list[float]]] = []
    for segment in segments(times, cut.gap):
        moments, rows = times[segment], values[segment].astype(np.float64)
        grid = np.arange(-(-moments[0] // cut.period), moments[-1] // cut.period + 1) * cut.period
        columns = np.full((len(grid), 3), NAN)
        for channel in range(3):
            known = ~np.isnan(rows[:, channel])
            own, said = moments[known] - moments[0], rows[known, channel]
            if not len(own):
                continue
            points = grid - moments[0]
            after = np.searchsorted(own, points, side="right")
            before = own[np.maximum(after - 1, 0)]
            if fill == "linear":
                found = np.interp(points, own, said, left=NAN, right=NAN)
                following = own[np.minimum(np.searchsorted(own, points), len(own) - 1)]
                found[following - before > gap] = NAN
            else:  # a reading of any channel tells that this one has been silent for too long
                found = said[np.maximum(after - 1, 0)]
                newest = (moments - moments[0])[np.searchsorted(moments, grid, side="right") - 1]
                found[(after == 0) | (newest - before > gap)] = NAN
            columns[:, channel] = found
        expected += [(int(time), row) for time, row in zip(grid, columns.tolist(), strict=True)]
    windower = Windower(cut)
    found_windows = [
        windower.push(times[part], values[part]) for part in data.draw(st.composite(pieces)(len(times)))
    ]
    if len(times):  # what waits has nothing more to wait for when a new segment begins
        end = np.array([times[-1] + 10**12])
        found_windows.append(windower.push(end, np.zeros((1, 3), np.float32)))
        expected += [(int(end[0]), [0.0] * 3)] if end[0] % cut.period == 0 else []
    starts = np.concatenate([each.starts for each in found_windows]) if found_windows else np.zeros(0)
    assert starts.tolist() == [time for time, _ in expected]
    if expected:
        x = np.concatenate([each.x for each in found_windows])[:, 0]
        np.testing.assert_allclose(x, np.array([row for _, row in expected]), rtol=1e-5, atol=1e-3)


def test_a_window_never_spans_a_gap() -> None:
    cut = Cut(("a",), ("a",), 2, 1, gap=10 * MS)
    times = np.array([0, 10, 21, 30]) * MS
    windows = Windower(cut).push(times, np.ones((4, 1), np.float32))
    assert list(zip(windows.starts // MS, windows.ends // MS, strict=True)) == [(0, 10), (21, 30)]


# --- what a cut or a spec may hold


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ("c",)}, "nothing makes the input 'c'"),
        ({"inputs": ()}, "inputs are needed"),
        ({"required": ("z",)}, "required channels must be channels"),
        ({"length": 0}, "count from 1"),
        ({"hop": 0}, "count from 1"),
        ({"length": 10**9}, "count from 1"),
        ({"period": -1}, "count from 0"),
        ({"gap": 2**80}, "count from 0"),
        ({"fill": "cubic"}, "neither linear nor hold"),
        ({"derive": (Derived("x", "log", ("y",)),)}, "nothing before it makes 'y'"),
        ({"derive": (Derived("a", "log", ("b",)),)}, "of this name already"),
        ({"derive": (Derived("x", "nope", ("a",)),)}, "no function 'nope'"),
        ({"derive": (Derived("x", "ema", ("a",)),)}, "wrong arguments"),
        ({"derive": (Derived("x", "log", ("a", "b")),)}, "wrong arguments"),
    ],
)
def test_a_cut_that_does_not_fit_together_is_refused(change: dict[str, object], message: str) -> None:
    settings = {"channels": ("a", "b"), "inputs": ("a",), "length": 2, "hop": 1}
    with pytest.raises(ValueError, match=message):
        Cut(**settings | change)


def test_a_cuts_id_tells_cuts_apart_and_is_stable() -> None:
    ids = [cut.id for cut in CUTS.values()]
    assert len(set(ids)) == len(CUTS)
    assert Cut(("a",), ("a",), 2, 1).id == Cut(("a",), ("a",), 2, 1).id
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in ids)


def spec(masks: bool = False) -> Spec:
    golden = np.arange(2 * 4 * 2, dtype=np.float32).tobytes()
    return Spec(CUTS["as they come"], ("low", "high"), (1.0, -2.0), (2.0, 0.5), masks, golden)


@pytest.mark.parametrize("masks", [False, True])
def test_model_input_is_normalised_and_marks_what_is_missing(masks: bool) -> None:
    windows = np.array([[[3.0, -2.0], [NAN, -1.0]]], np.float32)
    x = spec(masks).model_input(windows)
    expected = [[[1.0, 0.0], [0.0, 2.0]]]
    if masks:
        expected = [[[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 1.0, 0.0]]]
    np.testing.assert_array_equal(x, expected)
    assert x.dtype == np.float32
    assert x.shape[2] == spec(masks).model_channels


def test_model_input_is_finite_for_any_reading() -> None:
    windows = np.array([[[3e38, -3e38], [NAN, 1e30]]], np.float32)
    assert np.abs(spec().model_input(windows)).max() == FARTHEST


def test_normalisation_leaves_out_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    windows = rng.normal(5, 3, (50, 4, 4)).astype(np.float32)
    windows[:, :, 1] = 7  # constant
    windows[:, :, 2] = NAN  # never seen
    windows[::3, 1, 3] = NAN
    mean, scale = normalisation(windows)
    rows = windows.reshape(-1, 4).astype(np.float64)
    seen = [0, 1, 3]
    np.testing.assert_allclose(np.array(mean)[seen], np.nanmean(rows[:, seen], axis=0))
    np.testing.assert_allclose(np.array(scale)[[0, 3]], np.nanstd(rows[:, [0, 3]], axis=0))
    assert (scale[1], mean[2], scale[2]) == (1, 0, 1)


def test_a_spec_is_renormalised_by_what_varies_and_is_there() -> None:
    count = 5
    before = Spec(
        Cut(tuple("abcde"), tuple("abcde"), 4, 1),
        ("x", "y"),
        (1.0,) * count,
        (2.0,) * count,
        golden=b"g" * 80,
    )
    windows = np.random.default_rng(0).normal(5, 3, (50, 4, count)).astype(np.float32)
    windows[:, :, 1] = 7  # stands still
    windows[:, :, 2] = NAN  # never seen
    windows[::3, 1, 3] = NAN
    windows[::3, 1, 4] = 3e38
    now = before.renormalised(windows)
    for input_ in (0, 3):
        assert now.mean[input_] == pytest.approx(np.nanmean(windows[:, :, input_]), rel=1e-5)
        assert now.scale[input_] == pytest.approx(np.nanstd(windows[:, :, input_]), rel=1e-5)
    for input_ in (1, 2, 4):
        assert (now.mean[input_], now.scale[input_]) == (1.0, 2.0)
    assert (now.cut, now.classes, now.golden) == (before.cut, before.classes, before.golden)
    assert now.of_one_bootstrap(before)
    assert not msgspec.structs.replace(now, golden=b"h" * 80).of_one_bootstrap(before)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_a_spec_survives_its_travel(cut: Cut) -> None:
    count = len(cut.inputs)
    golden = np.ones((3, cut.length, count), np.float32).tobytes()
    sent = Spec(cut, ("a", "b", "c"), (0.1,) * count, (3.0,) * count, True, golden)
    received = Spec.decode(sent.encode())
    assert received == sent
    assert received.cut.id == cut.id
    assert received.golden_windows().shape == (3, cut.length, count)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [1.0]},
        {"scale": [1.0, 0.0]},
        {"scale": [1.0, 1e300]},
        {"mean": [1.0, None]},
        {"golden": "AAAA"},
        {"golden": "not base64!"},
        {"classes": [1]},
        {"cut": {"channels": ["a"]}},
        {"extra": 1},
    ],
)
def test_a_spec_that_does_not_fit_together_is_refused(change: dict[str, object]) -> None:
    content = json.loads(spec().encode()) | change
    with pytest.raises(Refused) as refusal:
        Spec.decode(json.dumps(content).encode())
    assert refusal.value.reason == "malformed"


@settings(max_examples=600)
@given(st.data())
def test_decode_refuses_altered_bytes_or_gives_a_spec_that_works(data: st.DataObject) -> None:
    payload = bytearray(spec().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        decoded = Spec.decode(bytes(payload))
    except Refused:
        return
    cut = decoded.cut
    times = START + np.arange(20) * 10 * MS
    values = np.ones((20, len(cut.channels)), np.float32)
    windows = Windower(msgspec.structs.replace(cut, period=0)).push(times, values)
    assert np.isfinite(decoded.model_input(windows.x)).all()


@given(st.binary())
def test_decode_refuses_any_other_bytes(payload: bytes) -> None:
    with pytest.raises(Refused):
        Spec.decode(payload)


def test_decode_refuses_deep_nesting() -> None:
    with pytest.raises(Refused):
        Spec.decode(b"[" * 100_000)

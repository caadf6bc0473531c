"""The same recording on both sides of the broker gives the same windows, byte for byte.

Up the collector's way: telemetry encoded, decoded, journaled, sorted, cut, stored. And down the
device's: the readings into its own windower.
"""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_stream import recordings
from iot_stream.columns import Columns
from iot_stream.config import Config, Pipeline, load
from iot_stream.cut import Cut
from iot_stream.formats import Heard, decoder
from iot_stream.formats.telemetry import encode
from iot_stream.hygiene import clean
from iot_stream.ingest import cutter as cutter_module
from iot_stream.ingest.cutter import Cutter
from iot_stream.readings import Times, Values
from iot_stream.recordings import Recording
from iot_stream.store import Store
from iot_stream.store.totals import WINDOWS
from iot_stream.windows import Windower, Windows
from simulator.world import world
from tests.streams import START

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "occupancy" / "config.yml"
WAIT = 2 * 86_400 * 10**9
Message = tuple[int, bytes]  # source, payload

OFFICE = """\
broker: mqtt://localhost
store: sqlite:store
pipelines:
  office:
    window: {length: 3, hop: 2, rate: 1/min, lateness: 4 h, gap: 1 h}
    task: {classify: [empty, occupied]}
    derive: {lco2: log(co2), own: "minus_ema(lco2, 30 min)", noise: "spread(lco2, 30 min)"}
    sources: [{channels: {co2: co2, t: t}}, {topic: "x/{device}/light", channels: {light: light}}]
    student: {arch: mlp, channels: [own, noise, t]}
    teacher: {arch: mlp, channels: [light, t]}
"""

RIG = """\
store: sqlite:store
pipelines:
  rig:
    window: {length: 3, hop: 2}
    task: {classify: [good, bad]}
    derive: {own: "minus_ema(co2, 30 min)"}
    sources: [{channels: {co2: co2, t: t}}]
    student: {arch: mlp, channels: [own, t]}
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def office(tmp_path: Path) -> Pipeline:
    path = tmp_path / "config.yml"
    path.write_text(OFFICE)
    config: Config = load(path)
    return config.pipelines["office"]


def telemetry(
    channels: tuple[str, ...], times: Times, values: Values, sizes: Iterator[int], source: int = 0
) -> list[Message]:
    messages, at = [], 0
    while at < len(times):
        part = slice(at, at + next(sizes))
        messages.append((source, encode(channels, times[part], values[part], f"boot{source}", at)))
        at = min(part.stop, len(times))
    return messages


def journal(store: Store, pipeline: Pipeline, messages: list[Message], device: str = "d") -> None:
    with store.write() as tx:
        for source, payload in messages:
            (block,) = decoder(pipeline.sources[source], source).decode(Heard(payload, 0, {"device": device}))
            block = clean(block, 0)
            store.journal.append(tx, "p", Columns.of([block]), int(block.times.max()))


def drain(store: Store, cutter: Cutter) -> None:
    more = 1
    while more:
        with store.write() as tx:
            more = cutter.advance(tx)


def cut_all(store: Store, pipeline: Pipeline, cut: Cut, wait: int = WAIT) -> dict[int, tuple[int, bytes]]:
    drain(store, Cutter(store, "p", pipeline, cut, wait))
    return stored(store, cut)


def stored(store: Store, cut: Cut) -> dict[int, tuple[int, bytes]]:
    """start → (end, bytes)"""
    found = store.journal.windows("p", cut.id, (cut.length, len(cut.inputs)))
    return by_start(Windows(found.starts, found.ends, found.x))


def by_start(windows: Windows) -> dict[int, tuple[int, bytes]]:
    return {int(s): (int(e), x.tobytes()) for s, e, x in zip(*windows, strict=True)}


def on_device(
    cut: Cut, channels: tuple[str, ...], times: Times, values: Values
) -> dict[int, tuple[int, bytes]]:
    """Reading by reading, as the device client does."""
    windower, columns = Windower(cut), [channels.index(name) for name in cut.channels]
    found: dict[int, tuple[int, bytes]] = {}
    for i in range(len(times)):
        rows = np.ascontiguousarray(values[i : i + 1, columns], np.float32)
        found |= by_start(windower.push(times[i : i + 1], rows))
    return found


def walk(count: int, seed: int = 0) -> tuple[Times, Values]:
    """A day of an office: uneven minutes, a gap, missing and infinite values, many digits."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(20, 90, count) * 10**9 + rng.integers(0, 10**9, count)
    steps[count // 2] = 3 * 3600 * 10**9
    values = np.stack(
        [400 + np.cumsum(rng.normal(0, 5, count)), rng.normal(21, 0.1, count), rng.exponential(90, count)], 1
    )
    values = np.abs(values).astype(np.float32)
    values[rng.random(count) < 0.03, 0] = np.nan
    values[7, 1] = np.inf
    values[8, 1] = -0.0
    return START + np.cumsum(steps), values


def test_a_synthetic_recording_is_cut_alike_on_both_sides(store: Store, office: Pipeline) -> None:
    times, values = walk(600)
    rng = random.Random(1)
    channels = ("t", "co2")  # in the device's own order
    prompt = np.stack([values[:, 1], values[:, 0]], axis=1)
    journal(store, office, telemetry(channels, times, prompt, iter(lambda: rng.randint(1, 40), 0)))
    cut = office.cut(office.student)
    expected = on_device(cut, channels, times, prompt)
    assert len(expected) > 100
    assert cut_all(store, office, cut) == expected


def test_bursts_of_a_machine_are_cut_alike_on_both_sides(store: Store, tmp_path: Path) -> None:
    bearing = world("bearing")
    path = tmp_path / "bearing.yml"
    names = "{" + ", ".join(f"{name}: {name}" for name in bearing.channels) + "}"
    path.write_text(
        "store: sqlite:store\npipelines:\n  p:\n    window: {length: 256, hop: 64, gap: 1 ms}\n"
        f"    task: {{classify: [a, b]}}\n    sources: [{{channels: {names}}}]\n"
    )
    pipeline = load(path).pipelines["p"]
    machine, condition = bearing.machine(3, 1), bearing.condition()
    bursts = [machine.burst(START + i * bearing.period_ns, condition) for i in range(8)]
    messages = [
        (0, encode(bearing.channels, burst.times, burst.values, "x", i * len(burst.times)))
        for i, burst in enumerate(bursts)
    ]
    journal(store, pipeline, messages)
    cut = pipeline.cut(pipeline.student)
    windower = Windower(cut)
    expected: dict[int, tuple[int, bytes]] = {}
    for burst in bursts:
        expected |= by_start(windower.push(burst.times, burst.values))
    assert len(expected) == 8 * ((len(bursts[0].times) - 256) // 64 + 1)
    assert cut_all(store, pipeline, cut) == expected


def test_the_office_of_the_example_is_cut_alike_on_both_sides(store: Store) -> None:
    pipeline = load(EXAMPLE).pipelines["office"]
    assert pipeline.recordings is not None
    (whole,) = recordings.load(pipeline.recordings, pipeline.classes, EXAMPLE.parent)
    part = whole.rows(np.arange(len(whole.times)) < 2000)  # within the teacher's wait of two days
    cut = pipeline.cut(pipeline.student)
    channels = ("temperature", "humidity", "co2")
    columns = [part.channels.index(name) for name in channels]
    values = np.ascontiguousarray(part.values[:, columns])
    journal(store, pipeline, telemetry(channels, part.times, values, iter(lambda: 1, 0)))
    expected = on_device(cut, channels, part.times, values)
    assert len(expected) == 2000
    assert cut_all(store, pipeline, cut) == expected
    light_comes_late(store, pipeline, part)


def light_comes_late(store: Store, pipeline: Pipeline, part: Recording) -> None:
    """The teacher's windows wait for the logger that is read out once a day."""
    cut = pipeline.cut(pipeline.teacher)
    light = part.values[:, [part.channels.index("light")]]
    journal(store, pipeline, telemetry(("light",), part.times, light, iter([1440] * 9), source=1))
    assert "light" in cut.channels
    assert cut_all(store, pipeline, cut) == on_device(cut, part.channels, part.times, part.values)


def test_a_teachers_window_joins_channels_of_both_sources(store: Store, office: Pipeline) -> None:
    times, values = walk(300)
    prompt, light = values[:, :2], values[:, 2:]
    journal(store, office, telemetry(("co2", "t"), times, prompt, iter(lambda: 1, 0)))
    cut = office.cut(office.teacher)
    cutter = Cutter(store, "p", office, cut, WAIT)
    drain(store, cutter)
    assert stored(store, cut) == {}
    journal(store, office, telemetry(("light",), times, light, iter([100] * 3), source=1))
    drain(store, cutter)
    assert stored(store, cut) == on_device(cut, ("light", "t"), times, values[:, [2, 1]])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_whatever_the_network_and_crashes_do_the_windows_are_the_same(
    seed: int, office: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Messages overtake each other and come twice; the collector dies at any moment, saved or not."""
    rng = random.Random(seed)
    times, values = walk(120, seed)
    prompt = values[:, :2]
    messages = telemetry(("co2", "t"), times, prompt, iter(lambda: rng.randint(1, 6), 0))
    messages = [message for message in messages for _ in range(rng.choice([1, 1, 1, 2]))]
    for i in range(len(messages) - 1):
        if rng.random() < 0.2:
            messages[i : i + 2] = messages[i + 1], messages[i]
    cut = office.cut(office.student)
    store = Store(tmp_path_factory.mktemp("store"))
    cutter = Cutter(store, "p", office, cut, WAIT)
    while messages:
        take = rng.randint(1, 8)
        journal(store, office, messages[:take])
        messages = messages[take:]
        for act in rng.sample(["advance", "advance", "save", "crash"], 3):
            if act == "crash":
                cutter = Cutter(store, "p", office, cut, WAIT)
                continue
            with store.write() as tx:
                cutter.advance(tx) if act == "advance" else cutter.save(tx)
    drain(store, cutter)
    assert stored(store, cut) == on_device(cut, ("co2", "t"), times, prompt)
    with store.write() as tx:
        cutter.save(tx)
    counters = {reason: n for _, reason, n in store.faults.counters("p")}
    # On the grid only readings with no finite value at all fall out.
    unusable = int((~np.isfinite(prompt)).all(axis=1).sum())
    assert counters == ({"unusable": unusable} if unusable else {})
    made = store.journal.window_count("p", cut.id)
    assert store.totals.of("p") == ({WINDOWS + cut.id: made} if made else {})
    store.close()


def test_a_device_that_was_started_again_and_the_service_cut_alike(store: Store, tmp_path: Path) -> None:
    """Without a grid a device's windows begin with its first reading, and anew with each start."""
    path = tmp_path / "rig.yml"
    path.write_text(RIG)
    rig = load(path).pipelines["rig"]
    cut = rig.cut(rig.student)
    times, values = walk(40)
    messages, expected = [], {}
    for boot, part in (("a", slice(0, 13)), ("b", slice(13, 18)), ("c", slice(18, 40))):
        for number, row in enumerate(range(part.start, part.stop)):
            one = slice(row, row + 1)
            messages.append((0, encode(("co2", "t"), times[one], values[one, :2], boot, number)))
        expected |= on_device(cut, ("co2", "t"), times[part], values[part, :2])
    journal(store, rig, messages)
    cutter = Cutter(store, "p", rig, cut, WAIT)
    with store.write() as tx:
        cutter.advance(tx)
        cutter.save(tx)
    drain(store, Cutter(store, "p", rig, cut, WAIT))  # a collector that goes on from what was saved
    assert stored(store, cut) == expected
    assert len(expected) == 6 + 2 + 10


def test_counts_of_lost_and_late_survive_a_crash_once(store: Store, office: Pipeline) -> None:
    times, values = walk(300)
    messages = telemetry(("co2", "t"), times, values[:, :2], iter(lambda: 5, 0))
    lost = messages.pop(3)
    journal(store, office, messages)
    cut = office.cut(office.student)
    for _ in range(3):  # dies before it saves
        drain(store, Cutter(store, "p", office, cut, WAIT))
    cutter = Cutter(store, "p", office, cut, WAIT)
    drain(store, cutter)
    with store.write() as tx:
        cutter.save(tx)
    assert store.faults.counters("p") == [("d", "lost", 5)]
    journal(store, office, [lost])
    again = Cutter(store, "p", office, cut, WAIT)
    drain(store, again)
    with store.write() as tx:
        again.save(tx)
        again.save(tx)
    assert store.faults.counters("p") == [("d", "late", 5), ("d", "lost", 5)]


def test_loss_beyond_the_bound_is_said(
    store: Store, office: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    times, values = walk(300)
    messages = telemetry(("co2", "t"), times, values[:, :2], iter(lambda: 5, 0))
    messages.pop(3)
    journal(store, office, messages)
    cutter = Cutter(store, "p", office, office.cut(office.student), WAIT)
    drain(store, cutter)
    with store.write() as tx:
        cutter.save(tx)
    assert "p: d loses 1.7% of its readings on the way, 1.0% are allowed" in caplog.text


def test_a_long_journal_is_cut_in_pieces(
    store: Store, office: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutter_module, "READ", 7)
    times, values = walk(40)
    journal(store, office, telemetry(("co2", "t"), times, values[:, :2], iter(lambda: 1, 0)))
    cut = office.cut(office.student)
    cutter = Cutter(store, "p", office, cut, WAIT)
    sizes = []
    while not sizes or sizes[-1]:
        with store.write() as tx:
            sizes.append(cutter.advance(tx))
    assert sizes == [7, 7, 7, 7, 7, 5, 0]


def test_idle_cuts_what_has_waited_long_enough(store: Store, office: Pipeline) -> None:
    times = START + np.arange(6) * 60 * 10**9
    values = np.ones((6, 2), np.float32)
    messages = telemetry(("co2", "t"), times, values, iter(lambda: 1, 0))
    journal(store, office, messages[:1] + messages[2:])
    cut = office.cut(office.student)
    cutter = Cutter(store, "p", office, cut, WAIT)
    drain(store, cutter)
    assert stored(store, cut) == {}
    with store.write() as tx:
        cutter.idle(tx, int(times[-1]) + int(office.window.lateness) - 1)
    assert stored(store, cut) == {}
    with store.write() as tx:
        cutter.idle(tx, int(times[-1]) + int(office.window.lateness))
    assert len(stored(store, cut)) == 2


SENSOR = ("co2", "t")


def test_windows_of_a_replaced_sensor_begin_anew(store: Store, office: Pipeline) -> None:
    cut = office.cut(office.student)
    times, values = walk(400)
    values = values[:, :2]
    store.scope.replace("me", "p", "d", int(times[120]) - 1)
    journal(store, office, telemetry(SENSOR, times, values, itertools.repeat(7)))
    found = cut_all(store, office, cut)
    expected = on_device(cut, SENSOR, times[:120], values[:120])
    expected |= on_device(cut, SENSOR, times[120:], values[120:])
    assert found == expected != on_device(cut, SENSOR, times, values)


def test_a_replacement_is_noticed_by_a_cutter_that_is_at_work(store: Store, office: Pipeline) -> None:
    cut = office.cut(office.student)
    times, values = walk(400)
    values = values[:, :2]
    messages = telemetry(SENSOR, times, values, itertools.repeat(10))
    cutter = Cutter(store, "p", office, cut, WAIT)
    journal(store, office, messages[:12])
    drain(store, cutter)
    store.scope.replace("me", "p", "d", int(times[120]))
    journal(store, office, messages[12:20])
    drain(store, cutter)
    with store.write() as tx:
        cutter.save(tx)
    journal(store, office, messages[20:])
    drain(store, Cutter(store, "p", office, cut, WAIT))  # which knows that this sensor is the new one
    after = {start: found for start, found in stored(store, cut).items() if start >= times[120]}
    assert after == on_device(cut, SENSOR, times[120:], values[120:])

"""Recordings played over a real broker: every row once, late channels in one batch at their time."""

from pathlib import Path

import msgspec
import numpy as np

from iot_stream import topics
from iot_stream.config import Late, Pipeline, Source, Task, Window
from iot_stream.config import Recordings as RecordingSettings
from iot_stream.config.recordings import LateLabels
from iot_stream.formats import Heard, decoder
from iot_stream.recordings import Recording, late_labels
from iot_stream.service.broker import Broker
from iot_stream.units import Delay, Duration
from simulator.playback import Playback
from simulator.scenario import LabelPlan
from tests.simulator.shows import NEVER, Counter, distinct, new_stations

HOUR = 3600 * 10**9
DAY = 24 * HOUR
MIDNIGHT = 1_423_612_800 * 10**9  # 2015-02-11
CLASSES = ("empty", "occupied")
FAST = 1e9


def recording(device: str = "office", hours: int = 60, first: int = MIDNIGHT + 5 * HOUR) -> Recording:
    """A reading an hour."""
    values = np.random.default_rng(len(device)).normal(500, 50, (hours, 3)).astype(np.float32)
    times = first + HOUR * np.arange(hours)
    return Recording(device, ("t", "light", "co2"), times, values, np.arange(hours) % 2, {})


def pipeline(prefix: str, late: bool = True, **recordings: object) -> Pipeline:
    base = f"{prefix}/p/device/{{device}}"
    sources = (
        Source(topic=f"{base}/telemetry", channels={"t": "", "co2": ""}),
        Source(topic=f"{base}/light", channels={"light": ""}),
    )
    plan = {"light": Late(every=Duration(DAY), at="20:00")} if late else {}
    return Pipeline(
        window=Window(length=1),
        task=Task(classify=CLASSES),
        sources=sources if late else (Source(topic=f"{base}/telemetry"),),
        recordings=RecordingSettings(late=plan, **recordings),
    )


def test_late_channels_come_in_one_batch_at_the_set_time(broker: Broker, prefix: str, tmp_path: Path) -> None:
    played, settings = recording(), pipeline(prefix)
    counter = Counter(broker, prefix)
    playback = Playback([played], settings, FAST, new_stations(broker, prefix, CLASSES, tmp_path), 1)
    playback.start()
    ledger = playback.run(NEVER)
    playback.stop()
    counter.settle()
    blocks = counter.blocks(settings)
    assert {tuple(msgspec.to_builtins(b))[:-1] for b in ledger.blocks} == distinct(blocks)
    assert ledger.unacknowledged == 0

    prompt = [block for block in blocks if block.source == 0]
    assert [block.channels for block in prompt] == [("co2", "t")] * 60
    np.testing.assert_array_equal(np.concatenate([b.times for b in prompt]), played.times)
    np.testing.assert_array_equal(np.concatenate([b.values for b in prompt]), played.values[:, [2, 0]])
    assert [b.label for b in ledger.blocks if b.source == 0] == played.labels.tolist()

    batches = [block for block in blocks if block.source == 1]
    assert [len(block) for block in batches] == [15, 24, 21]  # 5 to 20 o'clock, a day, and what was left
    np.testing.assert_array_equal(np.concatenate([b.times for b in batches]), played.times)
    np.testing.assert_array_equal(np.concatenate([b.values for b in batches])[:, 0], played.values[:, 1])
    assert [(block.seq, block.numbered) for block in batches] == [(0, True), (15, True), (39, True)]
    # Each batch comes between the last reading before 20 o'clock and the first from then on.
    order = [(block.source, int(block.times[-1])) for block in blocks]
    for batch in batches[:2]:
        place = order.index((1, int(batch.times[-1])))
        assert order[place - 1][1] < int(batch.times[-1]) + HOUR == order[place + 1][1]
        assert (order[place + 1][1] - MIDNIGHT) % DAY == 20 * HOUR


def test_several_devices_play_together_in_order_of_time(broker: Broker, prefix: str, tmp_path: Path) -> None:
    played = [
        recording("a", 10),
        recording("bb", 10, MIDNIGHT + 8 * HOUR + 1),
        recording("a", 5, MIDNIGHT + 40 * HOUR),
    ]
    settings = pipeline(prefix, late=False)
    counter = Counter(broker, prefix)
    playback = Playback(played, settings, FAST, new_stations(broker, prefix, CLASSES, tmp_path), 1)
    playback.start()
    ledger = playback.run(NEVER)
    playback.stop()
    counter.settle()
    blocks = counter.blocks(settings)
    assert {tuple(msgspec.to_builtins(b))[:-1] for b in ledger.blocks} == distinct(blocks)
    assert {(b.device, b.boot) for b in ledger.blocks} == {(b.device, b.boot) for b in blocks}
    assert (
        len({b.boot for b in ledger.blocks if b.device == "a"}) == 1
    )  # one client for both of its recordings
    assert [b.seq for b in ledger.blocks if b.device == "a"] == list(range(15))
    assert {b.device: b.n for b in ledger.blocks} == {"a": 1, "bb": 1}


def test_labels_are_told_as_the_recordings_plan_says(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """Half of them, two readings later, on the topic on which the service listens for truth."""
    played = [recording("a", 30), recording("bb", 30, MIDNIGHT + 5 * HOUR + 1)]
    plan = LateLabels(fraction=0.5, delay=Delay.parse("2 readings"))
    settings = pipeline(prefix, late=False, labels=plan)
    assert settings.recordings is not None
    counter = Counter(broker, prefix)
    stations = new_stations(broker, prefix, CLASSES, tmp_path, labels=LabelPlan(fraction=0))
    playback = Playback(played, settings, FAST, stations, 1)
    playback.start()
    playback.run(NEVER)
    playback.stop()
    counter.settle()
    told, heard = [], dict.fromkeys(("a", "bb"), 0)
    for message in counter.messages:
        if levels := topics.LABEL.levels(message.topic):
            label = topics.decode(topics.LabelMessage, message.payload)
            told.append((levels["device"], label.time, label.until, label.value))
            assert heard[levels["device"]] >= label.time + 2 * HOUR  # its device is two readings further
        elif levels := topics.TELEMETRY.levels(message.topic):
            for block in decoder(settings.sources[0], 0).decode(Heard(message.payload, 0, levels)):
                heard[levels["device"]] = int(block.times[-1])
    expected = [each.label for each in late_labels(played, settings.recordings, 1)]
    assert 20 < len(expected) < 40
    assert sorted(told) == sorted(
        (each.device, each.start, each.end, CLASSES[each.value]) for each in expected
    )


def test_playback_keeps_its_pace(broker: Broker, prefix: str, tmp_path: Path) -> None:
    """Four hours, so fast that they take a fifth of a second: they cannot be over sooner."""
    played = recording("a", 5)
    speed = 4 * HOUR / 0.2e9
    playback = Playback(
        [played], pipeline(prefix, late=False), speed, new_stations(broker, prefix, CLASSES, tmp_path), 1
    )
    playback.start()
    ledger = playback.run(NEVER)
    playback.stop()
    assert ledger.ended - ledger.started >= 0.2e9
    assert len(ledger.blocks) == 5

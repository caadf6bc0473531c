"""A fleet on a real broker: its ledger is what a subscriber counts, and drifts come as scheduled."""

import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from iot_stream import topics
from iot_stream.config import Pipeline, Source, Task, Window
from iot_stream.errors import ConfigError
from iot_stream.service.broker import Broker
from simulator.fleet import Fleet
from simulator.ledger import Ledger
from simulator.scenario import Change, Faults, LabelPlan, Scenario
from simulator.world import world
from tests.simulator.shows import NEVER, QUIET, Counter, distinct, new_stations

SECOND = 10**9
FEATURES = world("features")
FAULTY = Faults(
    jitter=0.2, rate_spread=0.1, clock_offset=SECOND, dropouts=0.2, duplicates=0.3, reordering=0.3
)


def pipeline(prefix: str) -> Pipeline:
    return Pipeline(
        window=Window(length=1),
        task=Task(classify=FEATURES.classes),
        sources=(Source(topic=f"{prefix}/p/device/{{device}}/telemetry"),),
    )


def play(broker: Broker, prefix: str, folder: Path, scenario: Scenario) -> tuple[Ledger, Counter, Fleet]:
    stations = new_stations(broker, prefix, FEATURES.classes, folder, scenario.faults, scenario.labels)
    counter = Counter(broker, prefix)
    fleet = Fleet(FEATURES, scenario, lambda name, book, rng: stations(name, FEATURES.channels, book, rng))
    try:
        fleet.start()
        ledger = fleet.run(NEVER)
    finally:
        fleet.stop()
    counter.settle()
    return ledger, counter, fleet


@pytest.mark.parametrize("faults", [QUIET, FAULTY], ids=["sound", "faulty"])
def test_the_ledger_is_what_a_subscriber_counts(
    broker: Broker, prefix: str, tmp_path: Path, faults: Faults
) -> None:
    scenario = Scenario(world="features", devices=3, seconds=1.5, faults=faults, seed=5)
    ledger, counter, _ = play(broker, prefix, tmp_path, scenario)
    blocks = counter.blocks(pipeline(prefix))
    assert {tuple(msgspec.to_builtins(b))[:-1] for b in ledger.blocks} == distinct(blocks)
    assert ledger.unacknowledged == 0
    assert {b.device for b in ledger.blocks} == {"machine-00", "machine-01", "machine-02"}
    for device in {b.device for b in ledger.blocks}:
        mine = [b for b in ledger.blocks if b.device == device]
        assert [b.seq for b in mine] == list(
            np.cumsum([0] + [b.n for b in mine[:-1]])
        )  # dropouts come before numbering
    telemetry = [m for m in counter.messages if m.topic.endswith("/telemetry")]
    assert ledger.bytes_up == sum(len(m.payload) for m in telemetry)
    copies = len(blocks) - len(distinct(blocks))
    assert copies > 0 if faults is FAULTY else copies == 0
    orders = [b.seq for b in blocks if b.device == "machine-00"]
    assert (orders != sorted(orders)) == (faults is FAULTY)


def test_labels_tell_the_class_of_each_message(broker: Broker, prefix: str, tmp_path: Path) -> None:
    ledger, counter, _ = play(
        broker, prefix, tmp_path, Scenario(world="features", devices=2, seconds=1, faults=QUIET)
    )
    said = {}
    for message in counter.messages:
        if levels := topics.LABEL.levels(message.topic):
            label = topics.decode(topics.LabelMessage, message.payload)
            said[levels["device"], label.time, label.until or label.time] = label.value
    assert said == {(b.device, b.first, b.last): FEATURES.classes[b.label] for b in ledger.blocks}


@pytest.mark.parametrize(
    ("plan", "least", "most"), [(LabelPlan(fraction=0), 0, 0), (LabelPlan(fraction=0.5), 0.2, 0.8)]
)
def test_labels_may_be_scarce(
    broker: Broker, prefix: str, tmp_path: Path, plan: LabelPlan, least: float, most: float
) -> None:
    scenario = Scenario(world="features", devices=4, seconds=1, faults=QUIET, labels=plan)
    ledger, counter, _ = play(broker, prefix, tmp_path, scenario)
    labels = sum(m.topic.endswith("/label") for m in counter.messages)
    assert least * len(ledger.blocks) <= labels <= most * len(ledger.blocks)


def test_late_labels_wait_on_the_devices_clock_and_all_come_in_the_end(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    delay = 400_000_000
    scenario = Scenario(world="features", devices=1, seconds=1, faults=QUIET, labels=LabelPlan(delay=delay))
    ledger, counter, _ = play(broker, prefix, tmp_path, scenario)
    readings, labels = iter(counter.blocks(pipeline(prefix))), 0
    newest, left = 0, len(ledger.blocks)
    for message in counter.messages:
        if message.topic.endswith("/telemetry"):
            newest, left = int(next(readings).times[-1]), left - 1
        elif topics.LABEL.levels(message.topic):
            label = topics.decode(topics.LabelMessage, message.payload)
            assert newest >= (label.until or label.time) + delay or left == 0
            labels += 1
    assert labels == len(ledger.blocks)


def test_a_drift_reaches_its_devices_at_its_time(broker: Broker, prefix: str, tmp_path: Path) -> None:
    schedule = (
        Change(at=500_000_000, devices=(1,), regime="heavy"),
        Change(at=800_000_000, change={"shift": 9.0}),
    )
    scenario = Scenario(world="features", devices=2, seconds=1.5, faults=QUIET, schedule=schedule)
    ledger, counter, fleet = play(broker, prefix, tmp_path, scenario)
    assert (ledger.drifts[0].device, ledger.drifts[0].name) == ("machine-01", "heavy")
    assert sorted((d.device, d.name) for d in ledger.drifts[1:]) == [
        ("machine-00", "shift 9"),
        ("machine-01", "shift 9"),
    ]
    assert [member.condition["angle"] for member in fleet.members] == [
        0,
        FEATURES.condition("heavy")["angle"],
    ]
    for drift in ledger.drifts:
        assert drift.wall >= ledger.started + (500_000_000 if drift.name == "heavy" else 800_000_000)
        before, after = [
            [
                b.values.mean()
                for b in counter.blocks(pipeline(prefix))
                if b.device == drift.device and side(b.times[0], drift.time)
            ]
            for side in (np.less, np.greater_equal)
        ]
        if drift.name == "shift 9":
            assert np.mean(after) > np.mean(before) + 5


def test_a_clock_offset_is_the_devices_own(broker: Broker, prefix: str, tmp_path: Path) -> None:
    faults = msgspec.structs.replace(QUIET, clock_offset=100 * SECOND)
    ledger, _, fleet = play(
        broker, prefix, tmp_path, Scenario(world="features", devices=3, seconds=0.5, faults=faults)
    )
    offsets = {member.station.name: member.offset for member in fleet.members}
    assert len(set(offsets.values())) == 3
    for block in ledger.blocks:
        assert 0 <= block.first - offsets[block.device] - ledger.started < 60 * SECOND


def test_a_fleet_that_is_told_to_stop_stops(broker: Broker, prefix: str, tmp_path: Path) -> None:
    stations = new_stations(broker, prefix, FEATURES.classes, tmp_path)
    fleet = Fleet(
        FEATURES,
        Scenario(world="features", devices=1, seconds=3600),
        lambda n, b, r: stations(n, FEATURES.channels, b, r),
    )
    fleet.start()
    stopping, ledgers = threading.Event(), []
    thread = threading.Thread(target=lambda: ledgers.append(fleet.run(stopping)))
    thread.start()
    stopping.set()
    thread.join(20)
    fleet.stop()
    assert len(ledgers) == 1


@pytest.mark.parametrize("change", [Change(at=0, regime="hevy"), Change(at=0, change={"sped": 1.0})])
def test_a_schedule_that_names_nothing_is_refused_before_anything_starts(change: Change) -> None:
    scenario = Scenario(world="features", schedule=(change,))
    with pytest.raises(ConfigError, match=r"meant|there are"):
        Fleet(FEATURES, scenario, lambda *_: pytest.fail("a station was made"))

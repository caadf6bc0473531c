"""What one message becomes: readings, a label, predictions, or a counted, quarantined mistake."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_stream import topics
from iot_stream.clock import SECOND, wall
from iot_stream.config import Config, load
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats.telemetry import encode
from iot_stream.hygiene import MAX_PAYLOAD
from iot_stream.ingest.intake import Intake, label_reader
from iot_stream.ingest.packets import Received
from iot_stream.readings import Label
from iot_stream.store import Store
from iot_stream.store.journal import Prediction
from tests.streams import START

CONFIG = """\
store: sqlite:store
pipelines:
  office:
    clock: stream
    window: {length: 1}
    task: {classify: [empty, occupied]}
    sources:
      - {channels: {co2: co2}}
      - {topic: "zigbee/{device}", format: json, time: $.ts, channels: {co2: $.co2}}
  rig:
    window: {length: 1}
    task: {classify: [ok, bad]}
    sources: [{topic: "zigbee/{device}", format: json, channels: {co2: $.co2}}]
    labels: {topic: "truth/{device}", value: $.state, time: $.from, until: $.to, zone: Europe/Berlin}
"""
TELEMETRY = "iot/office/device/d/telemetry"
LABEL = "iot/office/device/d/label"
PREDICTION = "iot/office/device/d/prediction"


NESTED = """\
store: sqlite:store
pipelines:
  home:
    window: {{length: 1}}
    task: {{classify: [empty, occupied]}}
    sources:
      - {{topic: "zigbee/{{device...}}", format: zigbee2mqtt, channels: {{co2: co2}}}}
      - {{topic: "raw", format: json, device: "{device}", channels: {{light: $.lux}}}}
    teacher: {{topic: "cam/{{device...}}", value: $.v, devices: {{"{camera}": "{device}"}}}}
    student: {{arch: mlp, channels: [co2]}}
"""
TAUGHT = """\
store: sqlite:store
pipelines:
  home:
    window: {{length: 1}}
    task: {{classify: [empty, occupied]}}
    sources: [{source}]
    {teacher}
    student: {{arch: mlp, channels: [co2]}}
"""


class Desk:
    """An intake at work, a transaction a message."""

    def __init__(self, folder: Path, text: str = CONFIG) -> None:
        path = folder / "config.yml"
        path.write_text(text)
        self.config: Config = load(path)
        self.store = Store(folder / "store")
        self.intake = Intake(self.config, self.store)

    def take(self, topic: str, payload: bytes | dict[str, object]) -> None:
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        with self.store.write() as tx:
            self.intake.take(tx, topic, content)
            self.intake.conclude(tx)

    def blocks(self, pipeline: str = "office") -> list[list[float]]:
        return [entry.block.values[:, 0].tolist() for entry in self.store.journal.after(pipeline, 0, 1000)]

    def counters(self, pipeline: str = "office") -> dict[tuple[str, str], int]:
        return {(device, reason): n for device, reason, n in self.store.faults.counters(pipeline)}

    def quarantined(self) -> list[tuple[str, str, bytes]]:
        return [
            tuple(row) for row in self.store.read("SELECT topic, reason, payload FROM quarantine ORDER BY id")
        ]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.store.close()


def telemetry(seq: int = 0, *values: float, time: int = START) -> bytes:
    times = time + np.arange(len(values)) * 1000
    return encode(("co2",), times, np.array(values, np.float32)[:, None], "boot", seq)


def test_the_patterns_are_those_of_all_pipelines(desk: Desk) -> None:
    assert desk.intake.patterns == [
        "iot/office/device/+/label",
        "iot/office/device/+/prediction",
        "iot/office/device/+/sample",
        "iot/office/device/+/telemetry",
        "iot/rig/device/+/prediction",
        "iot/rig/device/+/sample",
        "truth/+",
        "zigbee/+",
    ]


def test_readings_go_to_the_journal_once(desk: Desk) -> None:
    for _ in range(2):
        desk.take(TELEMETRY, telemetry(0, 400, 500))
    desk.take(TELEMETRY, telemetry(2, 600))
    assert desk.blocks() == [[400, 500], [600]]
    assert desk.counters() == {("d", "duplicate"): 2}
    assert desk.quarantined() == []


def test_a_topic_of_two_pipelines_feeds_both(desk: Desk) -> None:
    desk.take("zigbee/lamp", {"co2": 7, "ts": START})
    assert desk.blocks("office") == desk.blocks("rig") == [[7]]
    ours, theirs = (desk.store.journal.after(name, 0, 9)[0].block for name in ("office", "rig"))
    assert (ours.source, ours.times.tolist(), ours.arrival_stamped) == (1, [START], False)
    assert (theirs.device, theirs.arrival_stamped) == ("lamp", True)
    assert abs(int(theirs.times[0]) - wall()) < 60 * 10**9


def test_stream_time_is_the_newest_readings(desk: Desk) -> None:
    assert desk.intake.clocks["office"].now() == 0
    desk.take(TELEMETRY, telemetry(0, 1, 2))
    desk.take(TELEMETRY, telemetry(2, 3, time=START - 10**9))
    assert desk.intake.clocks["office"].now() == START + 1000
    assert [entry.arrived for entry in desk.store.journal.after("office", 0, 9)] == [START + 1000] * 2
    assert abs(desk.intake.clocks["rig"].now() - wall()) < 60 * 10**9
    assert Intake(desk.config, desk.store).clocks["office"].now() == START + 1000  # after a restart


def test_labels_of_our_own_topic(desk: Desk) -> None:
    desk.take(LABEL, {"time": START, "value": "occupied"})
    desk.take(LABEL, {"time": START + 5, "until": START + 9, "value": 0})
    assert desk.store.journal.labels("office") == [
        Label("d", START, START, 1),
        Label("d", START + 5, START + 9, 0),
    ]


def test_labels_by_paths(desk: Desk) -> None:
    desk.take("truth/pump", {"state": "bad", "from": "2015-02-04 18:51:00"})
    desk.take("truth/pump", {"state": 0, "from": 1_423_072_261, "to": 1_423_072_262})
    moment = 1_423_072_260 * 10**9
    assert desk.store.journal.labels("rig") == [
        Label("pump", moment, moment, 1),
        Label("pump", moment + 10**9, moment + 2 * 10**9, 0),
    ]


@pytest.mark.parametrize(
    ("label", "reason", "missing"),
    [
        ({"state": "ok"}, "absurd_time", r"no value at \$.from, which is to be its time"),
        ({"from": "2026-03-01T12:00:00"}, "unknown_class", r"no value at \$.state, which is to be its class"),
    ],
)
def test_a_label_that_lacks_something_is_told_where(
    desk: Desk, label: dict[str, object], reason: str, missing: str
) -> None:
    pipeline = desk.config.pipelines["rig"]
    with pytest.raises(DataError, match=missing) as told:
        label_reader(pipeline)("d", json.dumps(label).encode())
    assert told.value.reason == reason


def test_a_label_without_an_end_holds_as_long_as_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, CONFIG.replace("until: $.to", "until: $.to, hold: 10 min"))
    moment = 1_423_072_260
    desk.take("truth/pump", {"state": "bad", "from": moment})
    desk.take("truth/pump", {"state": "ok", "from": moment + 60, "to": moment + 90})
    assert desk.store.journal.labels("rig") == [
        Label("pump", moment * SECOND, (moment + 600) * SECOND, 1),
        Label("pump", (moment + 60) * SECOND, (moment + 90) * SECOND, 0),
    ]


def test_predictions_and_those_before_them(desk: Desk) -> None:
    desk.take(PREDICTION, topics.encode(topics.Prediction(9, "occupied", 0.75, 3, [(7, "empty", 0.5)])))
    assert desk.store.journal.predictions("office") == [
        Prediction("d", 7, 3, 0, 0.5),
        Prediction("d", 9, 3, 1, 0.75),
    ]


BAD: list[tuple[str, bytes, str]] = [
    (TELEMETRY, b"{", "malformed"),
    (TELEMETRY, b"\xff", "malformed"),
    (TELEMETRY, b'{"channels":{"co2":["high"]}}', "wrong_type"),
    (TELEMETRY, b'{"channels":{"co2":[1]},"sequence":3}', "wrong_type"),
    (TELEMETRY, b'{"channels":{"noise":[1]}}', "unknown_channel"),
    (TELEMETRY, b'{"channels":{"co2":[1]},"time":5}', "absurd_time"),
    (TELEMETRY, b'{"channels":{"co2":[]}}', "empty"),
    (TELEMETRY, b" " * (MAX_PAYLOAD + 1), "too_large"),
    ("zigbee/d", b'{"co2":1,"ts":"soon"}', "absurd_time"),
    (LABEL, b'{"time":1,"value":"gone"}', "unknown_class"),
    (LABEL, b'{"time":1,"value":-1}', "unknown_class"),
    (LABEL, b'{"time":-1,"value":1}', "absurd_time"),
    (LABEL, b'{"time":9,"until":5,"value":1}', "absurd_time"),
    (LABEL, b'{"time":99999999999999999999,"value":1}', "absurd_time"),
    (LABEL, b"[" * 100_000, "malformed"),
    (LABEL, b'{"value":1}', "malformed"),
    (PREDICTION, b'{"time":1,"class":"gone","p":1,"version":1}', "malformed"),
    (PREDICTION, b'{"time":99999999999999999999,"class":"empty","p":1,"version":1}', "malformed"),
    (PREDICTION, b'{"time":1,"class":"empty","p":1,"version":99999999999999999999}', "malformed"),
    (PREDICTION, b'{"time":1,"class":"empty","p":1,"version":1,"earlier":[[-1,"empty",1]]}', "malformed"),
    (PREDICTION, b"\xff", "malformed"),
]


@pytest.mark.parametrize(("topic", "payload", "reason"), BAD)
def test_bad_input_is_counted_and_quarantined_and_stops_nothing(
    desk: Desk, topic: str, payload: bytes, reason: str
) -> None:
    desk.take(topic, payload)
    assert desk.counters() == {("d", reason): 1}
    assert desk.quarantined()[0] == (topic, reason, payload[:65_536])
    desk.take(TELEMETRY, telemetry(0, 400))
    assert desk.blocks() == [[400]]


def test_a_device_name_that_cannot_be_is_quarantined(desk: Desk) -> None:
    name = "x" * 129
    desk.take(f"iot/office/device/{name}/telemetry", telemetry(0, 1))
    assert desk.counters() == {(name, "device_name"): 1}
    assert desk.blocks() == []


def test_messages_of_no_route_are_left_alone(desk: Desk) -> None:
    for topic in ("", "iot/office/device/d/status", "iot/other/device/d/telemetry", "zigbee/a/b"):
        desk.take(topic, telemetry(0, 1))
    assert desk.blocks() == desk.quarantined() == []
    assert desk.counters() == {}


def test_a_wrong_path_is_found_before_any_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a path"):
        Desk(tmp_path, CONFIG.replace("$.state", "state"))


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    topic=st.sampled_from([TELEMETRY, LABEL, PREDICTION, "zigbee/d", "truth/d"]),
    payload=st.binary(max_size=30)
    | st.dictionaries(
        st.sampled_from(
            ["time", "until", "value", "class", "p", "version", "earlier", "channels", "co2", "ts", "from"]
        ),
        st.integers() | st.floats() | st.text(max_size=3) | st.none() | st.lists(st.integers()),
    ).map(lambda message: json.dumps(message).encode()),
)
def test_no_message_stops_the_flow(desk: Desk, topic: str, payload: bytes) -> None:
    desk.take(topic, payload)


def test_many_messages_are_taken_as_each_by_itself(tmp_path: Path) -> None:
    """Readings of several devices, some twice, among labels, bad ones, an unfit name, one from 1970, one
    from 2262 and one too large."""
    good = [(f"iot/office/device/d{i % 3}/telemetry", telemetry(i // 3, float(i))) for i in range(600)]
    odd = [
        (TELEMETRY, b"{"),
        (TELEMETRY, telemetry(600, 7, time=7)),
        (LABEL, json.dumps({"time": START, "value": "occupied"}).encode()),
        (TELEMETRY, telemetry(601, 8).replace(str(START).encode(), str(2**63).encode())),
        ("zigbee/lamp", json.dumps({"co2": 7, "ts": START}).encode()),
        (f"iot/office/device/{'x' * 200}/telemetry", telemetry(0, 1)),
        ("nobody/asked", b"?"),
        (TELEMETRY, telemetry(602, 9) + b" " * MAX_PAYLOAD),
    ]
    messages = good[:300] + good[280:560]
    for place, each in enumerate(odd):
        messages.insert(97 * place, each)
    kept = []
    for name in ("together", "apart"):
        (tmp_path / name).mkdir()
        desk = Desk(tmp_path / name)
        with desk.store.write() as tx:
            if name == "together":
                desk.intake.take_all(tx, [Received(*message, b"", 1) for message in messages])
            else:
                for message in messages:
                    desk.intake.take(tx, *message)
            desk.intake.conclude(tx)
        readings = {
            (block.device, block.boot, block.seq + row, value)
            for entry in desk.store.journal.after("office", 0, 1000)
            for block in [entry.block]
            for row, value in enumerate(block.values[:, 0].tolist())
        }
        kept.append(
            (readings, desk.counters(), sorted(desk.quarantined()), desk.store.journal.labels("office"))
        )
        desk.store.close()
    assert kept[0] == kept[1]
    assert len(kept[0][0]) == 561


def test_bytes_are_counted_with_what_they_brought(desk: Desk) -> None:
    good, bad, both = telemetry(0, 1.0), b"no telemetry", json.dumps({"ts": 1, "co2": 4}).encode()
    more = telemetry(1, 2.0)

    def take_all(*messages: tuple[str, bytes]) -> None:
        with desk.store.write() as tx:
            desk.intake.take_all(tx, [Received(topic, payload, b"", 1) for topic, payload in messages])
            desk.intake.conclude(tx)

    take_all((TELEMETRY, good), (TELEMETRY, more), (LABEL, bad), ("zigbee/z", both))
    office = len(good) + len(more) + len(bad) + len(both)
    assert desk.store.totals.of("office") == {"bytes": office}
    assert desk.store.totals.of("rig") == {"bytes": len(both)}
    with suppress(ZeroDivisionError), desk.store.write() as tx:
        desk.intake.take_all(tx, [Received(TELEMETRY, telemetry(2, 3.0), b"", 1)])
        raise ZeroDivisionError
    desk.intake.take_back()
    take_all((TELEMETRY, more))
    assert desk.store.totals.of("office") == {"bytes": office + len(more)}


def test_a_message_that_several_sources_read_is_counted_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, NESTED.format(device="a", camera="a").replace("cam/", "zigbee/"))
    payload = json.dumps({"co2": 4, "v": "empty"}).encode()
    with desk.store.write() as tx:
        desk.intake.take_all(tx, [Received("zigbee/a", payload, b"", 1)])
        desk.intake.conclude(tx)
    assert desk.store.totals.of("home") == {"bytes": len(payload)}
    assert desk.store.journal.readings("home") == {"a": 2}  # what is measured, and the teacher's word
    desk.store.close()


def test_a_source_that_brings_nothing_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(
        tmp_path,
        TAUGHT.format(
            source="{topic: 'hall/{device}/sate', format: json, channels: {co2: $.c}}",
            teacher="teacher: {topic: 'cam/{device}', value: $.v}",
        ),
    )
    desk.intake.say_silent(100.0)
    desk.take("cam/a", {"v": "empty"})
    desk.intake.say_silent(159.0)
    assert not caplog.messages
    desk.intake.say_silent(160.0)
    desk.intake.say_silent(300.0)
    (said,) = caplog.messages
    assert said.startswith("home: nothing has come on hall/+/sate in 60 s; is the topic right?")
    desk.store.close()


@pytest.mark.parametrize("device", ["living room/climate", "living room%2Fclimate"])
@pytest.mark.parametrize("camera", ["living room/camera", "living room%2Fcamera"])
def test_a_name_with_a_slash_is_one_device_however_it_is_written(
    tmp_path: Path, device: str, camera: str
) -> None:
    """What it measures, what teaches it, what is true of it, and what its student says."""
    desk = Desk(tmp_path, NESTED.format(device=device, camera=camera))
    desk.take("zigbee/living room/climate", {"co2": 400})
    desk.take("raw", {"lux": 4})
    desk.take("cam/living room/camera", {"v": True})
    own = "iot/home/device/living room%2Fclimate"
    desk.take(f"{own}/label", {"time": START, "value": "empty"})
    desk.take(f"{own}/prediction", {"time": START, "class": "empty", "p": 0.9, "version": 1})
    name = "living room%2Fclimate"
    assert desk.store.journal.readings("home") == {name: 3}
    assert [label.device for label in desk.store.journal.labels("home")] == [name]
    assert [each.device for each in desk.store.journal.predictions("home")] == [name]


@pytest.mark.parametrize(
    ("teacher", "sensor", "told"),
    [
        ('topic: "zigbee/{device}"', "zigbee/climate", {"co2": 400}),
        ('topic: "zigbee/{device}"', "zigbee/climate", {"co2": 400, "v": "warm"}),
        ('topic: "all", device: $.id', "all", {"co2": 400, "id": "climate"}),
    ],
)
def test_who_does_not_teach_is_passed_over_on_the_topic_that_teaches(
    tmp_path: Path, teacher: str, sensor: str, told: dict[str, object]
) -> None:
    said = f"teacher: {{{teacher}, value: $.v, devices: {{pir: [climate]}}}}"
    source = f"{{{teacher}, format: json, channels: {{co2: $.co2}}, devices: {{climate: climate}}}}"
    desk = Desk(tmp_path, TAUGHT.format(source=source, teacher=said))
    desk.take(sensor, told)
    desk.take(sensor.replace("climate", "pir"), {"v": True, "id": "pir"})
    assert desk.quarantined() == []
    assert desk.counters("home") == {}
    assert desk.store.journal.readings("home") == {"climate": 2}

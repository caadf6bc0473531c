"""What is made of topics and payloads: devices, channels, times, and what is left out."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.address import Broker
from iot_stream.cli.first.text import written
from iot_stream.clock import SECOND, wall
from iot_stream.config import load
from iot_stream.formats import sparkplug_payload as sparkplug
from iot_stream.formats.source import Source
from iot_stream.ingest.discover import (
    MOST_SOURCES,
    Findings,
    beside,
    heard,
    recognise,
    speaker_by,
    speaker_on,
)
from iot_stream.ingest.discover.heard import Ear
from iot_stream.ingest.discover.printing import block, rounded_rate, written_rate
from iot_stream.ingest.discover.sparkplug import unborn
from iot_stream.ingest.discover.verdicts import between_changes, lateness

Said = Iterable[tuple[str, object]]


def listened(said: Said) -> Findings:
    """Messages a second apart, the last one now."""
    ear, messages = Ear(), list(said)
    for before, (topic, told) in zip(range(len(messages), 0, -1), messages, strict=True):
        payload = told if isinstance(told, bytes) else json.dumps(told).encode()
        ear.hear(topic, payload, wall() - before * SECOND)
    return recognise(ear.topics)


def only(said: Said) -> Source:
    (finding,) = listened(said).found
    assert finding.guess.sure
    return finding.source


def places(source: Source) -> dict[str, str]:
    return dict(source.channels)


def test_many_devices_on_alike_topics_are_one_source() -> None:
    said = [
        (f"plant/p{i}/state", {"flow": i + k, "time": 1_700_000_000 + k}) for i in range(50) for k in range(3)
    ]
    source = only(said)
    assert (source.topic, source.time, places(source)) == (
        "plant/{device}/state",
        "$.time",
        {"flow": "$.flow"},
    )
    (finding,) = listened(said).found
    assert len(finding.devices) == 50
    assert finding.rates == [1.0] * 50


def test_devices_may_be_the_first_level_or_lie_deeper() -> None:
    assert only((f"pump{i}/data", {"flow": 1.5}) for i in range(3)).topic == "{device}/data"
    assert (
        only((f"site/hall{i % 2}/pump{i}/data", {"flow": 1.5}) for i in range(6)).topic
        == "site/+/{device}/data"
    )
    same = [(f"site/hall{i}/pump{k}", {"flow": 1.5}) for i in range(2) for k in range(2)]
    assert {finding.source.topic for finding in listened(same).found} == {
        "site/{device}/pump0",
        "site/{device}/pump1",
    }


def test_a_device_alone_is_guessed_by_what_levels_mean() -> None:
    assert only([("home/kitchen/state", {"co2": 800})]).topic == "home/{device}/state"
    assert only([("boiler", {"heat": 80})]).topic == "{device}"


def test_parts_of_a_device_are_parted_and_their_channels_told_apart() -> None:
    said = [
        (f"plant/p{i}/{part}", {"x": 0.5, "y": 1.5, "ts": "2024-03-01T08:00:00Z"})
        for i in range(3)
        for part in ("acc", "gyro")
    ]
    found = {f.source.topic: places(f.source) for f in listened(said).found}
    assert found == {
        "plant/{device}/acc": {"acc_x": "$.x", "acc_y": "$.y"},
        "plant/{device}/gyro": {"gyro_x": "$.x", "gyro_y": "$.y"},
    }
    one = [(f"home/kitchen/{name}", {"value": 1.5}) for name in ("temperature", "humidity")]
    assert {f.source.topic: places(f.source) for f in listened(one).found} == {
        "home/{device}/temperature": {"temperature": "$.value"},
        "home/{device}/humidity": {"humidity": "$.value"},
    }


def test_what_measures_nothing_is_left_out_and_said() -> None:
    said = [
        (
            "lab/a/up",
            {"temp": 21.5, "rssi": -70, "version": 3, "battery": 97, "note": "ok", "open": "yes", "seq": k},
        )
        for k in range(4)
    ]
    source = only(said)
    assert places(source) == {"temp": "$.temp", "open": "$.open"}
    printed = block(listened(said))
    for left in ("$.rssi (-70)", "$.version (3)", "$.battery (97)", "$.note (ok)", "$.seq (3)"):
        assert f"# left out: {left}" in printed


def test_a_list_of_readings_says_whose_they_are() -> None:
    rows = [{"id": name, "at": 1_700_000_000 + k, "v": 1.5} for name in ("a", "b") for k in range(3)]
    source = only([("readings", {"gateway": "g", "list": rows})])
    assert (source.topic, source.readings, source.device, source.time) == (
        "readings",
        "$.list",
        "$.id",
        "$.at",
    )
    assert only([("readings", rows)]).readings == "$"


def test_lists_are_columns_and_their_step_is_estimated() -> None:
    said = [("plant/p/burst", {"x": [0.5] * 10, "y": [1.5] * 10}) for _ in range(5)]
    source = only(said)
    assert places(source) == {"x": "$.x", "y": "$.y"}
    assert 0.09 * SECOND < int(source.step or 0) < 0.11 * SECOND
    timed = [("plant/p/burst", {"t": [1_700_000_000 + k for k in range(10)], "x": [0.5] * 10})]
    assert (only(timed).time, only(timed).step) == ("$.t", None)


def test_a_short_list_is_a_vector() -> None:
    assert places(only([("plant/p/acc", {"acc": [0.5, 0.25, 9.75]})] * 3)) == {
        "acc_0": "$.acc[0]",
        "acc_1": "$.acc[1]",
        "acc_2": "$.acc[2]",
    }


def test_times_without_a_zone_are_pointed_out() -> None:
    printed = block(listened([("lab/a/up", {"temp": 21.5, "when": "2024-03-01T08:00:00"})]))
    assert "name no zone and are read as UTC" in printed
    assert "name no zone" not in block(
        listened([("lab/a/up", {"temp": 21.5, "when": "2024-03-01T08:00:00Z"})])
    )


def at_five_a_second(said: Iterable[object], retained: object = None) -> Findings:
    ear = Ear()
    if retained:
        ear.hear("shop/m2/data", json.dumps(retained).encode(), wall() - 60 * SECOND, retained=True)
    for i, told in enumerate(said):
        ear.hear("shop/m1/data", json.dumps(told).encode(), wall() - 60 * SECOND + i * SECOND // 5)
    return recognise(ear.topics)


def test_times_that_many_messages_share_are_left_out() -> None:
    """Four fifths of the readings would be taken for duplicates."""
    said = [{"ts": 1_700_000_000 + (i + 3) // 5, "x": i / 2} for i in range(74)]
    findings = at_five_a_second(said, retained={"ts": 1_700_000_000, "x": 0.5})
    (finding,) = findings.found
    assert (finding.source.topic, finding.source.time) == ("shop/{device}/data", "")
    assert places(finding.source) == {"x": "$.x"}
    printed = block(findings)
    assert "# 5 messages share each time: its times are whole seconds, and `time` is left out" in printed
    assert "5/s each" in printed


def test_times_that_tell_messages_apart_are_taken() -> None:
    exact = [{"ts": 1_700_000_000 + i / 5, "x": i / 2} for i in range(40)]
    again = [told for told in exact for _ in range(2)]  # QoS 1 may bring a message twice
    for said in (exact, again):
        (finding,) = at_five_a_second(said).found
        assert finding.source.time == "$.ts"
    coarse = [{"ts": 1_700_000_000 + i // 3 / 2, "x": i / 2} for i in range(40)]
    assert "3 messages share each time: its times are coarser than its rate" in block(
        at_five_a_second(coarse)
    )


def test_a_message_that_speaks_of_many_devices_at_a_time_has_its_time() -> None:
    said = [{"id": "ab"[i % 2], "ts": 1_700_000_000 + i // 2, "x": i / 2} for i in range(40)]
    (finding,) = at_five_a_second(said).found
    assert (finding.source.device, finding.source.time) == ("$.id", "$.ts")


@pytest.mark.parametrize(
    ("word", "topic", "places"),
    [
        ({"verdict": "ok"}, "shop/{device}/verdict", {"teacher": "$.verdict"}),
        (b"ok", "shop/{device}/{channel}", {"teacher": "verdict"}),
    ],
)
@pytest.mark.parametrize("machines", [1, 3])
def test_the_only_verdict_is_of_the_device_that_a_sensor_has(
    word: object, topic: str, places: dict[str, str], machines: int
) -> None:
    said: list[tuple[str, object]] = [
        (f"shop/w{i}/data", {"x": i + k / 2}) for k in range(4) for i in range(1, machines + 1)
    ]
    said += [("shop/w1/verdict", word)] * 3
    findings = listened(said)
    (teacher,) = findings.teachers
    assert (teacher.source.topic, dict(teacher.source.channels)) == (topic, places)
    assert teacher.devices == ["w1"]
    ear = Ear()
    for name, told in said:
        ear.hear(name, told if isinstance(told, bytes) else json.dumps(told).encode(), wall())
    speaker = speaker_on("shop/w1/verdict", findings, ear.topics)
    assert (speaker.source.topic, speaker.devices) == (topic, ["w1"])


def test_of_true_and_false_one_may_not_have_been_heard_yet() -> None:
    findings = listened([("room/presence", {"presence": True})] * 3)
    (teacher,) = findings.teachers
    assert teacher.source.values == {"true": 1.0}


def test_how_long_a_word_stays_is_known_where_it_changed_twice() -> None:
    def stay(*words: str) -> float:
        ear = Ear()
        for i, word in enumerate(words):
            ear.hear("shop/w1/verdict", json.dumps({"verdict": word}).encode(), wall() + i * SECOND)
        (teacher,) = recognise(ear.topics).teachers
        return round(between_changes(teacher.source, ear.topics) / SECOND, 1)

    assert stay(*["ok"] * 3, *["worn"] * 8, *["ok"] * 8, "worn") == 8
    assert stay(*["ok"] * 3, *["worn"] * 8) == 0


def test_what_was_so_told_when_it_is_over_has_a_beginning_and_an_end() -> None:
    """Times are no channels, nor does a message that tells them measure anything."""
    ear, now = Ear(), wall()
    for i in range(8):
        for m in ("m1", "m2"):
            arrived = now - (8 - i) * SECOND
            told: dict[str, object] = {"ts": arrived / SECOND, "m": {"vib": i / 4, "since": 4}}
            ear.hear(f"hall/{m}/meas", json.dumps(told).encode(), arrived)
            told = {
                "from": arrived / SECOND - 40,
                "to": arrived / SECOND - 39,
                "state": ["idle", "jam"][i % 2],
            }
            ear.hear(f"hall/{m}/state", json.dumps(told).encode(), arrived)
    findings = recognise(ear.topics)
    (source,) = (finding.source for finding in findings.sources)
    assert (source.topic, places(source)) == (
        "hall/{device}/meas",
        {"vib": "$.m.vib", "since": "$.m.since"},
    )
    (teacher,) = findings.teachers
    assert teacher.guess.classes == ("idle", "jam")
    speaker = speaker_on("hall/m1/state", findings, ear.topics)
    assert (speaker.source.topic, speaker.source.time, speaker.until) == (
        "hall/{device}/state",
        "$.from",
        "$.to",
    )
    assert lateness(speaker.source, speaker.topics) == pytest.approx(40 * SECOND, abs=SECOND / 1000)
    printed = block(findings)
    assert '{topic: "hall/{device}/state", value: $.state, time: $.from}  # idle, jam; 2 devices' in printed
    assert "as `labels` until: $.to" in printed
    text = written(Broker(), "iot", "main", printed, ["idle", "jam"], 8, "none", speaker, {}, None)
    assert '    labels: {topic: "hall/{device}/state", value: $.state, time: $.from, until: $.to}\n' in text
    assert "    teacher_wait: 2 min                # its words were up to 40 s late\n" in text


def test_a_service_s_own_topics_are_no_sensors_and_no_teachers() -> None:
    own: list[tuple[str, object]] = [
        ("plant/main/device/m1/label", {"at": 1_700_000_000 + i, "is": "ok"}) for i in range(4)
    ]
    own += [("plant/main/device/m1/prediction", {"score": i / 2}) for i in range(4)]
    own += [("plant/main/device/m1/telemetry", {"channels": {"x": [i / 2]}}) for i in range(4)]
    service = ("plant/service/collector", {"online": True, "instance": "one"})
    assert {finding.source.topic for finding in listened([service, *own]).found} == {
        "plant/main/device/{device}/telemetry"
    }
    assert len(listened(own).found) > 1  # nobody says that these are a service's


def test_a_small_t_may_be_a_temperature() -> None:
    source = only([("lab/a/up", {"t": 21.5, "h": 60})])
    assert (source.time, places(source)) == ("", {"t": "$.t", "h": "$.h"})


def test_cbor_with_numbers_for_keys() -> None:
    assert places(only([("node/a", cbor2.dumps({1: 21.5, "co2": 800}))])) == {"n1": "$.1", "co2": "$.co2"}


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (["cbor2"], "    # CBOR is not tried: pip install 'iot-stream[formats]'\n"),
        (["PIL"], "# frame (a picture) is not tried: "),
        (["cbor2", "google.protobuf", "PIL"], "# CBOR, Sparkplug B, frame (a picture) are not tried: "),
        ([], ""),
    ],
)
def test_libraries_that_are_not_installed_cost_their_formats_only(
    monkeypatch: pytest.MonkeyPatch, missing: list[str], says: str
) -> None:
    said: list[tuple[str, object]] = [
        ("room/a/air", {"co2": 800}),
        ("lab/a/pack", [{"bn": "urn:dev:ow:1:", "n": "t", "v": 20.5}]),
        ("node/a", cbor2.dumps({"lux": 21.5})),
        ("cam/a", b"\xff\xd8\xff"),
        ("spBv1.0/plant/DDATA/edge/press", b"\x08\x01"),
    ]
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    findings = listened(said)
    assert {"json", "senml"} <= {finding.source.format for finding in findings.found}
    text = block(findings)
    assert says in text
    assert ("not tried" in text) == bool(missing)


def test_the_voltage_of_a_battery_is_in_millivolts() -> None:
    text = block(listened([("shop/a", {"voltage": 3000}), ("shop/b", {"voltage": 2900})]))
    assert "voltage: $.voltage  # 2900 to 3000, last 2900 mV?" in text
    assert "  # 230 V?" in block(listened([("shop/a", {"voltage": 230})]))


CLIMATE = {"temperature": 21.5, "battery": 97, "voltage": 2995, "linkquality": 120, "power_outage_count": 3}
PLUG = {"voltage": 231, "current": 0.4, "power": 80, "linkquality": 90, "device_temperature": 31}


def test_the_voltage_of_its_own_battery_is_no_measurement() -> None:
    for topic in ("zigbee2mqtt/hall", "shop/hall"):
        assert set(only([(topic, CLIMATE)]).channels) == {"temperature"}
        assert "(2995)" in block(listened([(topic, CLIMATE)]))  # it is said that it is left out
        assert set(only([(topic, PLUG)]).channels) == {"voltage", "current", "power"}
        solar = PLUG | {"battery": 80, "battery_voltage": 12.6}
        assert set(only([(topic, solar)]).channels) == {"voltage", "current", "power"}
    tele = {"Time": "2026-03-02T08:00:00", "SI7021": {"Temperature": 21.5, "Voltage": 2.9, "BatteryLow": 0}}
    tele |= {"ESP32": {"Temperature": 53.3}}
    assert set(only([("tele/hall/SENSOR", tele)]).channels) == {"temperature"}
    meter = {"Time": "2026-03-02T08:00:00", "ENERGY": {"Voltage": 230, "Current": 0.4, "Power": 80}}
    assert set(only([("tele/plug/SENSOR", meter)]).channels) == {"voltage", "current", "power"}


def test_a_voltage_that_any_of_the_devices_measures_is_a_channel() -> None:
    said = [("zigbee2mqtt/hall", CLIMATE), ("zigbee2mqtt/plug", PLUG)]
    assert set(only(said).channels) == {"temperature", "voltage", "current", "power"}
    assert set(only([said[0], ("zigbee2mqtt/attic", CLIMATE)]).channels) == {"temperature"}


def test_a_contact_on_a_battery_tells_classes_alone() -> None:
    said = [
        ("home/door", {"contact": i % 2 == 0, "battery": 97, "voltage": 2995 + i, "linkquality": 120})
        for i in range(6)
    ]
    (finding,) = listened(said).teachers
    assert finding.guess.classes == ("false", "true")


def test_lines_without_a_header_are_told_by_number() -> None:
    source = only([("log/a", f"{1_700_000_000 + k},21.5,pump,7".encode()) for k in range(3)])
    assert (source.format, source.time, source.device, places(source)) == (
        "csv",
        "0",
        "2",
        {"c1": "1", "c3": "3"},
    )


def test_single_values_know_device_and_channel() -> None:
    said = [
        (f"home/{room}/{name}", b"21.5") for room in ("kitchen", "hall") for name in ("temperature", "light")
    ]
    source = only(said)
    assert (source.format, source.topic) == ("topic_per_channel", "home/{device}/{channel}")
    assert set(source.channels) == {"temperature", "light"}
    alone = only([("greenhouse/moisture", b"40"), ("greenhouse/lamp", b"ON")])
    assert (alone.topic, alone.device) == ("greenhouse/{channel}", "greenhouse")


def test_a_word_that_is_no_state_costs_its_channel_only() -> None:
    said = [
        ("zigbee2mqtt/a", {"power": 3, "mode": "on"}),
        ("zigbee2mqtt/b/c", {"power": 4, "mode": "auto", "linkquality": 90}),
    ]
    source = only(said)
    assert (source.topic, places(source)) == ("zigbee2mqtt/{device...}", {"power": "power"})
    assert "left out: mode (not always a number" in block(listened(said))


def test_sparkplug_tells_units_and_wants_a_birth() -> None:
    metric = sparkplug.Metric("Inputs/Pressure", 3.5, sparkplug.Datatype.FLOAT)
    unit = b"\x0a\x07engUnit\x12\x05\x42\x03bar"  # properties: keys, values with a string each
    said = sparkplug.dbirth([metric], 1_700_000_000_000, 1)
    start = said.index(b"\x0a\x0fInputs/Pressure") - 2
    size = said[start + 1]
    inner = said[start + 2 : start + 2 + size] + b"\x4a" + bytes([len(unit)]) + unit
    birth = said[:start] + b"\x12" + bytes([len(inner)]) + inner + said[start + 2 + size :]
    printed = block(listened([("spBv1.0/g/DBIRTH/n/d", birth)]))
    assert "pressure: Inputs/Pressure  # 3.5 bar" in printed
    unborn = sparkplug.ddata([metric._replace(alias=7)], 1_700_000_000_000, 1)
    silent = listened([("spBv1.0/g/DDATA/n/d", unborn)])
    assert not any(finding.guess.sure for finding in silent.found)


def test_metrics_of_sparkplug_that_tell_classes_may_teach() -> None:
    """What is on or off, though it stayed, and words that come again; by name or alias."""
    said: list[tuple[str, object]] = []
    kinds = sparkplug.Datatype
    for i, mode in enumerate(("run", "idle", "run")):
        told = [
            ("In/P", 4.0 + i, kinds.FLOAT),
            ("Q/Worn", False, kinds.BOOLEAN),
            ("Mode", mode, kinds.STRING),
        ]
        told += [("Maker", "ACME", kinds.STRING), ("Note", f"shift {i}", kinds.TEXT)]
        metrics = [sparkplug.Metric(name, *each, alias=n) for n, (name, *each) in enumerate(told)]
        make, kind = (sparkplug.ddata, "DDATA") if i else (sparkplug.dbirth, "DBIRTH")
        said.append((f"spBv1.0/g/{kind}/n/d", make(metrics, 1_700_000_000_000 + i, i)))
    findings = listened(said)
    assert beside(findings) == {"Q/Worn": ("false", "true"), "Mode": ("idle", "run")}
    speaker = speaker_by("Mode", findings)
    assert speaker is not None
    assert (speaker.source.format, dict(speaker.source.channels)) == ("sparkplug", {"teacher": "Mode"})
    assert (speaker.classes, speaker.devices) == (("idle", "run"), ["g%2Fn%2Fd"])
    assert speaker_by("Maker", findings) is None


def test_who_sends_data_without_a_birth_is_unborn() -> None:
    ear = Ear()
    for name in (
        "s/g/NBIRTH/a",
        "s/g/DDATA/a/d",
        "s/g/NDATA/b",
        "s/g/DBIRTH/c/d",
        "s/g/DDATA/c/d",
        "x/NDATA",
    ):
        ear.hear(name, b"", 0)
    assert unborn(ear.topics) == ["s/g/NCMD/a", "s/g/NCMD/b"]


def test_what_the_other_messages_were_is_told() -> None:
    said: list[tuple[str, object]] = [("room/a/air", {"co2": i}) for i in range(heard.MOST_KEPT + 5)]
    said += [("iot/p/device/d/prediction", {"time": 1, "class": "a", "p": 0.5, "version": 1})] * 3
    printed = block(listened(said))
    assert "of its 45 messages 40 were tried, 40 gave readings" in printed
    assert "iot-stream's own or of what devices announce: 3 of the messages" in printed


def test_what_iot_stream_says_of_itself_is_no_sensor() -> None:
    findings = listened([("iot/p/device/d/prediction", {"time": 1, "class": "a", "p": 0.5, "version": 1})])
    assert (findings.found, findings.unknown) == ([], [])


def test_topics_that_tell_classes_alone_may_teach() -> None:
    said: list[tuple[str, object]] = []
    for i in range(4):
        for name in ("m1", "m2"):
            at = 1_700_000_000 + i
            said += [
                (f"line/sensor/{name}", {"time": at, "x": i}),
                (f"line/verdict/{name}", {"time": at, "verdict": ["ok", "ng"][i % 2], "seq": i}),
                (f"line/{name}/door", {"open": i > 2}),
                (f"yard/{name}/gate", b"OPEN" if i else b"CLOSED"),
                (f"line/{name}/status", {"state": "online"}),
                (f"line/note/{name}/text", f"note {i} of {name}".encode()),
            ]
    findings = listened(said)
    assert {f.source.topic for f in findings.sources} == {"line/sensor/{device}"}
    told = {f.source.topic: (f.source.channels["teacher"], f.guess.classes) for f in findings.teachers}
    assert told == {
        "line/verdict/{device}": ("$.verdict", ("ng", "ok")),
        "line/{device}/door": ("$.open", ("false", "true")),
        "yard/{device}/{channel}": ("gate", ("CLOSED", "OPEN")),
    }
    printed = block(findings)
    assert (
        '{topic: "yard/{device}/{channel}", format: topic_per_channel, value: gate}  # CLOSED, OPEN; 2'
        in printed
    )


def test_a_sensor_that_tells_classes_beside_what_it_measures_may_teach_the_others() -> None:
    said: list[tuple[str, object]] = []
    for i in range(6):
        told = {"battery": 88, "linkquality": 120, "last_seen": 1_772_438_400_000 + 1000 * i}
        said += [
            ("zigbee2mqtt/hall/climate", {"temperature": 20 + i, **told}),
            ("zigbee2mqtt/hall/presence", {"occupancy": i > 2, "illuminance": 140 + i, **told}),
            ("zigbee2mqtt/hall/door", {"contact": True, **told}),
        ]
    assert beside(listened(said)) == {"zigbee2mqtt/hall/presence": ("false", "true")}
    alone = [each for each in said if each[0].endswith("presence")]
    assert beside(listened(alone)) == {}


@pytest.mark.parametrize(
    ("heard_a_second", "written"),
    [(3.8, "4/s"), (9.7, "10/s"), (98.2, "100/s"), (0.485, "30/min"), (0.0163, "1/min"), (7.0, "7/s")],
)
def test_a_rate_is_proposed_as_a_person_would_set_it(heard_a_second: float, written: str) -> None:
    assert written_rate(rounded_rate(heard_a_second), 2) == written


# --- whatever comes

letters = st.characters(exclude_characters="+#\x00", exclude_categories=["Cs"])
awkward = st.sampled_from(
    ["x[0-3]", "a.b", 'a"b', "a]b", "yes", "1", "time", "id", "{device}", "a...", "é", "\x85", "a: b"]
)
names = st.text(letters, max_size=8) | awkward
topics = st.lists(
    st.one_of(
        st.sampled_from(["zigbee2mqtt", "tele", "SENSOR", "state", "sensor", "spBv1.0", "DDATA", "status"]),
        names,
    ),
    min_size=1,
    max_size=5,
).map("/".join)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=12)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
payloads = st.one_of(
    st.binary(max_size=60),
    values.map(lambda value: json.dumps(value).encode()),
    st.lists(values, max_size=3).map(cbor2.dumps),
    st.text(max_size=40).map(str.encode),
)


CONFIG = """\
pipelines:
  p:
    window: {length: 4}
    task: {classify: [a, b]}
"""


@settings(max_examples=300)
@given(st.lists(st.tuples(topics, payloads), max_size=12))
def test_whatever_is_heard_is_printed_as_sources_of_a_configuration(said: list[tuple[str, bytes]]) -> None:
    findings = listened(said)
    sure = [finding.source for finding in findings.found if finding.guess.sure]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "iot-stream.yml"
        path.write_text(CONFIG + block(findings), "utf-8")
        read = load(path).pipelines["p"].sources if sure else ()
    assert [source.channels for source in read] == [source.channels for source in sure]
    assert [(s.topic, s.format, s.time, s.device) for s in read] == [
        (s.topic, s.format, s.time, s.device) for s in sure
    ]


def test_kinds_of_topics_without_end_are_cut() -> None:
    findings = listened((f"r{i}/a/b", {f"k{i}": 1.5}) for i in range(MOST_SOURCES + 5))
    assert (len(findings.found), len(findings.unknown), findings.cut) == (MOST_SOURCES, 5, True)
    assert "--filter" in block(findings)


def test_what_cannot_be_read_has_a_hint() -> None:
    printed = block(listened([("hall", b"21,5"), ("door", {"event": "bell"}), ("a/b{c}", b"hello")]))
    assert "hall: 21,5: a decimal comma?" in printed
    assert "door: JSON without a number that measures something" in printed
    assert "a/b{c}: its topic has braces or dots" in printed


def test_the_ear_is_bounded() -> None:
    ear = Ear()
    for i in range(heard.MOST_TOPICS + 10):
        ear.hear(f"t/{i}", b"1", wall())
    for _ in range(heard.MOST_KEPT + 10):
        ear.hear("t/0", b"1", wall())
    for _ in range(10):
        ear.hear("t/1", bytes(heard.MOST_OF_TOPIC // 2), wall())
    assert (len(ear.topics), ear.beyond) == (heard.MOST_TOPICS, 10)
    assert [len(topic.kept) for topic in ear.topics[:2]] == [heard.MOST_KEPT, 2]
    assert ear.topics[0].count == heard.MOST_KEPT + 11

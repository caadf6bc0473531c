"""Sparkplug B: births, what they make readable, what is lost, and what a node is asked for."""

import sys
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from google.protobuf import unknown_fields
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import Conversation, Heard, sparkplug
from iot_stream.formats.sparkplug import MILLISECOND, PAUSE, SparkplugDecoder
from iot_stream.formats.sparkplug_payload import (
    Datatype,
    Metric,
    dbirth,
    ddata,
    ddeath,
    nbirth,
    ndata,
    ndeath,
    parse,
    rebirth,
    schema,
    signed,
    state,
)
from iot_stream.readings import Block
from iot_stream.topics import match
from tests.streams import START

T = 1_486_144_502_122  # ms, as in the specification's examples
NODE, DEVICE = "Sparkplug B Devices/Raspberry Pi", "Sparkplug B Devices/Raspberry Pi/Pibrella"
ASK = "spBv1.0/Sparkplug B Devices/NCMD/Raspberry Pi"

# The payloads of chapter 6 of the specification 3.0 ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH").
NODE_METRICS = [
    Metric("Node Control/Reboot", False, Datatype.BOOLEAN, time=T),
    Metric("Node Control/Next Server", False, Datatype.BOOLEAN, time=T),
    Metric("Node Control/Scan Rate", 3000, Datatype.INT64, time=T),
    Metric("Properties/Hardware Make", "Raspberry Pi", Datatype.STRING, time=T),
    Metric("Properties/Hardware Model", "Pi 3 Model B", Datatype.STRING, time=T),
    Metric("Properties/OS", "Raspbian", Datatype.STRING, time=T),
    Metric("Properties/OS Version", "Jessie with PIXEL/11.01.2017", Datatype.STRING, time=T),
    Metric("Supply Voltage", 12.1, Datatype.FLOAT, time=T),
]
DEVICE_METRICS = [
    Metric("Inputs/A", False, Datatype.BOOLEAN, time=T),
    Metric("Inputs/B", False, Datatype.BOOLEAN, time=T),
    Metric("Inputs/C", False, Datatype.BOOLEAN, time=T),
    Metric("Outputs/LEDs/Green", False, Datatype.BOOLEAN, time=T),
    Metric("Properties/Hardware Make", "Pibrella", Datatype.STRING, time=T),
]


def reader(channels: dict[str, str] | None = None, **more: object) -> SparkplugDecoder:
    return SparkplugDecoder(Source(format="sparkplug", channels=channels or {}, **more), 3)


def hear(
    decoder: SparkplugDecoder, kind: str, payload: bytes, whose: str = "", arrived: int = START
) -> list[Block]:
    whose = whose or (DEVICE if kind.startswith("D") else NODE)
    group, node = whose.split("/", 1)
    return decoder.decode(Heard(payload, arrived, {"group": group, "type": kind, "node": node}))


def values(block: Block) -> dict[str, list[float]]:
    return {name: block.values[:, i].tolist() for i, name in enumerate(block.channels)}


def born(metrics: list[Metric], channels: dict[str, str] | None = None) -> SparkplugDecoder:
    """A decoder that heard the births of the node (0) and of the device (1), which has those metrics."""
    decoder = reader(channels)
    hear(decoder, "NBIRTH", nbirth(NODE_METRICS, T))
    hear(decoder, "DBIRTH", dbirth(metrics, T, 1))
    return decoder


# --- the specification's examples


def test_the_specifications_node_and_device() -> None:
    decoder = reader()
    assert isinstance(decoder, Conversation)
    (block,) = hear(decoder, "NBIRTH", nbirth(NODE_METRICS, T))
    assert (block.device, block.source, block.arrival_stamped) == (NODE, 3, False)
    assert values(block) == {"Supply Voltage": [np.float32(12.1)]}
    assert block.times.tolist() == [T * MILLISECOND]

    (block,) = hear(decoder, "DBIRTH", dbirth(DEVICE_METRICS, T, 1))
    assert block.device == DEVICE
    assert values(block) == {name: [0] for name in ("Inputs/A", "Inputs/B", "Inputs/C", "Outputs/LEDs/Green")}

    changed = Metric("Supply Voltage", 12.3, Datatype.FLOAT, time=T)
    (block,) = hear(decoder, "NDATA", ndata([changed], T, 2))
    assert values(block) == {"Supply Voltage": [np.float32(12.3)]}

    pressed = [Metric(f"Inputs/{x}", True, Datatype.BOOLEAN, time=T) for x in "AC"]
    (block,) = hear(decoder, "DDATA", ddata(pressed, T, 3))
    assert values(block) == {"Inputs/A": [1], "Inputs/C": [1]}
    assert (decoder.lost(), decoder.asks()) == ({}, [])


def test_the_bytes_are_those_of_the_schema() -> None:
    """The simple payload of chapter 6 ("Payload Metric Naming Convention"), in the wire format by hand."""
    payload = (
        b"\x08\xea\xf2\xf5\xa8\xa0+"  # timestamp 1486144502122
        b"\x12\x1b" + b"\x0a\x09My Metric\x10\x01" + b"\x18\xb2\xaf\xbd\xf8\x85\x2b" + b"\x20\x0c\x7a\x04Test"
    )
    payload = payload.replace(b"\x12\x1b", b"\x12" + bytes([len(payload) - 9])) + b"\x18\x02"
    message = parse(payload, "it")
    assert message.seq == 2
    assert message.time == T
    (metric,) = message.metrics
    assert (metric.name, metric.alias, metric.datatype, metric.value) == ("My Metric", 1, 12, "Test")
    assert ddata([metric._replace(alias=None)], T, 2).endswith(b"\x18\x02")


def test_fields_that_are_not_described_are_skipped() -> None:
    """uuid and body of a payload; is_transient, metadata and a data set of a metric."""
    made = schema()["Metric"](name="x", datatype=Datatype.UINT8, int_value=7).SerializeToString()
    metric = b"\x30\x01" + b"\x42\x02\x10\x05" + made
    table = b"\x0a\x01t\x20\x10\x8a\x01\x02\x08\x02"  # name t, datatype DataSet, dataset_value
    payload = b"".join(b"\x12" + bytes([len(each)]) + each for each in (metric, table))
    (block,) = hear(reader(), "NDATA", payload + b"\x22\x02id\x2a\x03abc")
    assert values(block) == {"x": [7]}
    assert len(unknown_fields.UnknownFieldSet(schema()["Metric"].FromString(metric))) == 2


# --- datatypes


@pytest.mark.parametrize(
    ("datatype", "came", "meant"),
    [
        (Datatype.INT32, 0xFFFF_FFF4, -12),
        (Datatype.INT8, 0xFFFF_FFFF, -1),  # as Java and C libraries widen it
        (Datatype.INT8, 0xFF, -1),
        (Datatype.INT8, 127, 127),
        (Datatype.INT16, 0x8000, -32768),
        (Datatype.INT32, 2**64 - 12, -12),  # in a long_value
        (Datatype.INT64, 2**64 - 12, -12),
        (Datatype.INT64, 2**63 - 1, 2**63 - 1),
        (Datatype.UINT8, 255, 255),
        (Datatype.UINT32, 0xFFFF_FFF4, 0xFFFF_FFF4),
        (Datatype.UINT64, 2**64 - 12, 2**64 - 12),
        (Datatype.INT8, True, True),
        (Datatype.INT8, None, None),
    ],
)
def test_the_datatype_decides_the_sign(datatype: int, came: int | None, meant: int | None) -> None:
    assert signed(datatype, came) == meant


RANGES = {
    Datatype.INT8: (-(2**7), 2**7 - 1),
    Datatype.INT16: (-(2**15), 2**15 - 1),
    Datatype.INT32: (-(2**31), 2**31 - 1),
    Datatype.INT64: (-(2**63), 2**63 - 1),
    Datatype.UINT8: (0, 2**8 - 1),
    Datatype.UINT16: (0, 2**16 - 1),
    Datatype.UINT32: (0, 2**32 - 1),
    Datatype.UINT64: (0, 2**64 - 1),
}


def typed() -> st.SearchStrategy[tuple[Datatype, object]]:
    def of(datatype: Datatype) -> st.SearchStrategy[object]:
        if datatype in RANGES:
            return st.integers(*RANGES[datatype])
        if datatype == Datatype.FLOAT:
            return st.floats(width=32, allow_nan=False, allow_infinity=False)
        if datatype == Datatype.DOUBLE:
            return st.floats(allow_nan=False, allow_infinity=False)
        return st.booleans() if datatype == Datatype.BOOLEAN else st.text(max_size=20)

    return st.sampled_from(Datatype).flatmap(lambda kind: st.tuples(st.just(kind), st.none() | of(kind)))


@st.composite
def metrics(draw: st.DrawFn) -> list[Metric]:
    kinds = draw(st.lists(typed(), min_size=1, max_size=8))
    aliases = draw(
        st.lists(
            st.none() | st.integers(0, 2**64 - 1), min_size=len(kinds), max_size=len(kinds), unique_by=_alias
        )
    )
    times = st.sampled_from([T, T - 1, T + 1000])
    return [
        Metric(f"m{i}/ä", value, kind, alias, draw(times), draw(st.booleans()))
        for i, ((kind, value), alias) in enumerate(zip(kinds, aliases, strict=True))
    ]


def _alias(alias: int | None) -> object:
    return object() if alias is None else alias


@given(metrics())
def test_parsing_gives_what_was_encoded(told: list[Metric]) -> None:
    message = parse(dbirth(told, T, 255), "it")
    assert (message.time, message.seq) == (T, 255)
    assert [m._replace(value=signed(m.datatype, m.value)) for m in message.metrics] == told


@given(metrics())
def test_births_and_data_by_alias_give_the_same_readings(told: list[Metric]) -> None:
    told = [metric for metric in told if metric.datatype not in sparkplug.TEXTS]
    decoder = reader()
    hear(decoder, "NBIRTH", nbirth([], T))
    at_birth = hear(decoder, "DBIRTH", dbirth(told, T, 1))
    decoder.restore(decoder.snapshot())
    after = hear(decoder, "DDATA", ddata(told, T, 2))
    for blocks in (at_birth, after):
        found = {
            (name, int(time)): block.values[row, column]
            for block in blocks
            for column, name in enumerate(block.channels)
            for row, time in enumerate(block.times)
        }
        assert found.keys() == {(m.name, m.time * MILLISECOND) for m in told}
        for metric in told:
            value = np.nan if metric.value is None or abs(metric.value) >= 3.4e38 else metric.value
            np.testing.assert_equal(found[metric.name, metric.time * MILLISECOND], np.float32(value))


def test_text_counts_by_its_words_and_other_text_only_if_asked_for() -> None:
    told = [Metric("mode", "heat", 12), Metric("pump", "ON", 14), Metric("make", "Acme", 12)]
    (block,) = hear(reader(values={"heat": 2.0}), "NDATA", ndata(told, T, 1))
    assert values(block) == {"mode": [2], "pump": [1]}
    with pytest.raises(DataError, match=r"wrong_type: .*Pibrella: make: 'Acme' is no number"):
        hear(reader({"make": "make"}), "DDATA", ddata(told, T, 1))


def test_a_date_is_no_reading_and_a_channel_cannot_be_one() -> None:
    told = dbirth([Metric("since", None, 13)], T, 1)
    assert hear(reader(), "DBIRTH", told) == []
    with pytest.raises(DataError, match=r"wrong_type: .*since is of datatype 13"):
        hear(reader({"a": "since"}), "DBIRTH", told)


@pytest.mark.parametrize(("quality", "good"), [(192, True), (0, False), (500, False), (None, True)])
def test_a_value_of_bad_or_stale_quality_is_missing(quality: int | None, good: bool) -> None:
    classes = schema()
    kept = classes["PropertySet"](keys=["Unit", "Quality"])
    kept.values.extend([b"", classes["PropertyValue"](int_value=quality).SerializeToString()])
    metric = classes["Metric"](
        name="x", datatype=3, int_value=5, properties=kept.SerializeToString()
    ).SerializeToString()
    (block,) = hear(reader(), "NDATA", classes["Payload"](metrics=[metric]).SerializeToString())
    np.testing.assert_array_equal(block.values, [[5 if good else np.nan]])


# --- channels and times


def test_channels_have_names_of_their_own_and_others_are_left() -> None:
    decoder = born(DEVICE_METRICS, {"a": "Inputs/A", "also a": "Inputs/A", "led": "Outputs/LEDs/Green"})
    pressed = [Metric("Inputs/A", True, 11), Metric("Inputs/B", True, 11)]
    (block,) = hear(decoder, "DDATA", ddata(pressed, T, 2))
    assert values(block) == {"a": [1], "also a": [1]}
    assert hear(decoder, "DDATA", ddata(pressed[1:], T, 3)) == []


def test_a_control_can_be_a_channel_if_asked_for() -> None:
    (block,) = hear(reader({"rate": "Node Control/Scan Rate"}), "NBIRTH", nbirth(NODE_METRICS, T))
    assert values(block) == {"rate": [3000]}


def test_metrics_of_the_same_time_make_a_row_and_rows_of_the_same_metrics_a_block() -> None:
    told = [
        Metric("a", 1, 3, time=T, historical=True),
        Metric("b", 2, 3, time=T, historical=True),
        Metric("a", 3, 3, time=T + 5),
        Metric("b", None, 3, time=T + 5),
        Metric("a", 5, 3, time=T + 9),
    ]
    both, alone = hear(reader(), "NDATA", ndata(told, T + 9, 1))
    assert both.times.tolist() == [T * MILLISECOND, (T + 5) * MILLISECOND]
    np.testing.assert_array_equal(both.values, [[1, 2], [3, np.nan]])
    assert alone.times.tolist() == [(T + 9) * MILLISECOND]
    assert values(alone) == {"a": [5]}


def test_the_time_is_the_metrics_or_the_messages_or_of_arrival() -> None:
    classes = schema()
    metric = classes["Metric"](name="x", datatype=3, int_value=5).SerializeToString()
    for told, expected in ((T, T * MILLISECOND), (None, START)):
        payload = classes["Payload"](metrics=[metric], timestamp=told).SerializeToString()
        (block,) = hear(reader(), "NDATA", payload)
        assert block.times.tolist() == [expected]
        assert block.arrival_stamped == (told is None)


def test_a_time_beyond_all_clocks_is_absurd() -> None:
    with pytest.raises(DataError, match="absurd_time"):
        hear(reader(), "NDATA", ndata([Metric("x", 1, 3, time=2**63)], T, 1))


# --- births and deaths

X = Metric("x", -12, Datatype.INT32, alias=7)


def test_data_without_a_birth_has_a_rebirth_asked_for_once() -> None:
    decoder = reader()
    for seq in (5, 6, 7):
        with pytest.raises(DataError, match=r"no_birth: .*a rebirth was asked for") as error:
            hear(decoder, "DDATA", ddata([X], T, seq))
        assert error.value.reason == "no_birth"
    ((topic, payload),) = decoder.asks()
    assert topic == ASK
    (metric,) = parse(payload, "it").metrics
    assert (metric.name, metric.value, metric.datatype) == ("Node Control/Rebirth", True, Datatype.BOOLEAN)
    assert parse(payload, "it").seq is None  # as a command must be
    assert payload == rebirth(START // MILLISECOND)
    assert (decoder.asks(), decoder.lost()) == ([], {})

    hear(decoder, "NBIRTH", nbirth([], T + 1))
    hear(decoder, "DBIRTH", dbirth([X], T + 1, 1))
    (block,) = hear(decoder, "DDATA", ddata([X], T + 2, 2))
    assert values(block) == {"x": [-12]}
    assert decoder.asks() == []


def test_metrics_that_say_all_themselves_are_readings_without_a_birth() -> None:
    decoder = reader()
    (block,) = hear(decoder, "DDATA", ddata([X, Metric("y", 2, 3)], T, 5))
    assert values(block) == {"y": [2]}
    assert len(decoder.asks()) == 1  # for X, of which only the alias is there


def test_a_name_without_a_datatype_needs_a_birth() -> None:
    told = dbirth([X._replace(datatype=0, value=None)], T, 2)
    with pytest.raises(DataError, match="no_birth"):
        hear(reader(), "DDATA", told)
    (block,) = hear(born([X]), "DDATA", told)
    assert np.isnan(block.values).all()


def test_a_new_birth_forgets_the_aliases_of_the_one_before() -> None:
    decoder = born([X])
    hear(decoder, "DBIRTH", dbirth([X._replace(name="z", alias=8), X._replace(name="y")], T, 2))
    (block,) = hear(decoder, "DDATA", ddata([X], T, 3))
    assert values(block) == {"y": [-12]}
    hear(decoder, "NBIRTH", nbirth([], T + 1))  # of the devices too
    with pytest.raises(DataError, match="no_birth"):
        hear(decoder, "DDATA", ddata([X], T + 1, 1))


def test_after_its_death_a_device_is_unborn_and_the_node_goes_on() -> None:
    decoder = born([X])
    assert hear(decoder, "DDEATH", ddeath(T, 2)) == []
    with pytest.raises(DataError, match="no_birth"):
        hear(decoder, "DDATA", ddata([X], T, 3))
    assert hear(decoder, "NDATA", ndata([Metric("Supply Voltage", 1.0, 9)], T, 4))
    assert decoder.lost() == {}


def test_the_death_of_an_older_session_is_none() -> None:
    decoder = reader()
    hear(decoder, "NBIRTH", nbirth([X], T, birth_number=4))
    assert hear(decoder, "NDEATH", ndeath(3, T)) == []
    assert hear(decoder, "NDATA", ndata([X], T, 1))
    hear(decoder, "NDEATH", ndeath(4))
    hear(decoder, "NDEATH", ndeath(4))  # with QoS 1 it may come twice
    with pytest.raises(DataError, match="no_birth"):
        hear(decoder, "NDATA", ndata([X], T, 2))
    assert decoder.lost() == {}


# --- numbers


def test_a_gap_is_counted_and_a_rebirth_asked_for_until_the_next_birth() -> None:
    decoder = born([X])
    assert hear(decoder, "DDATA", ddata([X], T + 1, 5))  # 2, 3, 4 are missing; what came is good
    assert hear(decoder, "NDATA", ndata([], T + 2, 8)) == []
    assert decoder.lost() == {NODE: 5}
    assert decoder.lost() == {}
    assert [topic for topic, _ in decoder.asks()] == [ASK]

    hear(decoder, "NBIRTH", nbirth([], T + 3), arrived=START + PAUSE)
    hear(decoder, "NDATA", ndata([], T + 4, 2), arrived=START + PAUSE)
    assert decoder.lost() == {NODE: 1}
    assert len(decoder.asks()) == 1


def test_a_node_is_not_asked_time_and_again_in_one_breath() -> None:
    """One whose numbers never fit would spend its life on births."""
    decoder, asked = reader(), 0
    for i in range(100):
        now = START + i * PAUSE // 10
        hear(decoder, "NBIRTH", nbirth([], T + 2 * i), arrived=now)
        hear(decoder, "NDATA", ndata([], T + 2 * i + 1, 7), arrived=now)
        asked += len(decoder.asks())
    assert asked == 10


def test_zero_follows_255_over_all_messages_of_a_node() -> None:
    decoder = born([X])
    for seq in range(2, 600):
        assert hear(decoder, "DDATA", ddata([X], T + seq, seq % 256))
    assert (decoder.lost(), decoder.asks()) == ({}, [])


def test_what_comes_twice_is_dropped_and_what_comes_late_is_no_loss() -> None:
    decoder = born([X])
    data = [ddata([X], T + i, i) for i in range(6)]
    assert hear(decoder, "DDATA", data[2])
    assert hear(decoder, "DDATA", data[2]) == []
    assert hear(decoder, "DDATA", data[4])
    assert decoder.lost() == {NODE: 1}
    assert hear(decoder, "DDATA", data[3])
    assert hear(decoder, "DDATA", data[5])
    assert decoder.lost() == {}


def test_nodes_are_numbered_apart() -> None:
    decoder = reader()
    for whose in ("g/a", "g/b", "h/a"):
        hear(decoder, "NBIRTH", nbirth([X], T), whose)
    for whose in ("g/a", "g/b", "h/a"):
        (block,) = hear(decoder, "NDATA", ndata([X], T, 1), whose)
        assert block.device == whose
    hear(decoder, "NDATA", ndata([X], T, 3), "g/b")
    assert decoder.lost() == {"g/b": 1}
    assert [topic for topic, _ in decoder.asks()] == ["spBv1.0/g/NCMD/b"]


# --- topics and settings


@pytest.mark.parametrize("kind", ["NCMD", "DCMD", "STATE", "XYZ", ""])
def test_commands_are_not_readings(kind: str) -> None:
    assert hear(reader(), kind, b"\xff", DEVICE) == []


def test_what_a_host_says_is_not_heard() -> None:
    topic, payload = state("scada", True, T)
    assert (topic, payload) == ("spBv1.0/STATE/scada", b'{"online":true,"timestamp":1486144502122}')
    assert msgspec.json.decode(state("scada", False, T)[1]) == {"online": False, "timestamp": T}
    assert match(sparkplug.TOPIC, topic) is None
    assert reader().decode(Heard(payload, START, {"group": "STATE", "type": "NDATA", "node": "x"})) == []


@pytest.mark.parametrize("host", ["", "a/b", "+", "#"])
def test_a_host_is_one_level(host: str) -> None:
    with pytest.raises(ConfigError, match=r"host: .* must not be empty, and have no"):
        state(host, True, T)


@pytest.mark.parametrize(
    ("kind", "whose"),
    [
        ("NDATA", "g/e/d"),
        ("DDATA", "g/e"),
        ("DDATA", "g/e/d/x"),
        ("NDATA", "g/"),
        ("NDATA", "g/" + "x" * 2000),
    ],
)
def test_a_topic_with_too_few_or_too_many_levels_names_no_device(kind: str, whose: str) -> None:
    with pytest.raises(DataError, match="device_name"):
        hear(reader(), kind, b"", whose)


def test_a_source_may_be_one_group() -> None:
    decoder = reader(topic="spBv1.0/plant/{type}/{node...}")
    with pytest.raises(DataError, match="no_birth: plant/e: 1 metrics"):
        decoder.decode(Heard(ndata([X], T, 1), START, {"type": "NDATA", "node": "e"}))
    assert [topic for topic, _ in decoder.asks()] == ["spBv1.0/plant/NCMD/e"]


@pytest.mark.parametrize(
    "topic",
    [
        "x",
        "spBv1.0/{group}/{type}/{device}",
        "spBv1.0/+/{type}/{node...}",
        "spBv1.0/{g}/{type}/{node...}",
        "/",
    ],
)
def test_a_topic_of_another_form_is_refused(topic: str) -> None:
    with pytest.raises(ConfigError, match=r"topic: .* is not spBv1\.0/\{group\}/\{type\}/\{node\.\.\.\}"):
        reader(topic=topic)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="channels: a: which metric"):
        reader({"a": ""})
    with pytest.raises(ConfigError, match="device: "):
        reader(device="x")


@pytest.fixture
def _without_protobuf(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    schema.cache_clear()
    yield
    schema.cache_clear()


@pytest.mark.usefixtures("_without_protobuf")
def test_without_protobuf_the_way_to_get_it_is_told() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'iot-stream\[formats\]'"):
        reader()


# --- what is remembered


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    first = born([X._replace(alias=2**64 - 1)])
    kept = first.snapshot()
    second = reader()
    second.restore(kept)
    assert second.snapshot() == kept
    for decoder, lost in ((first, {NODE: 2}), (second, {})):  # numbers begin anew after a restart
        (block,) = hear(decoder, "DDATA", ddata([X._replace(alias=2**64 - 1)], T + 4, 4))
        assert values(block) == {"x": [-12]}
        assert decoder.lost() == lost
        hear(decoder, "DDATA", ddata([X._replace(alias=2**64 - 1)], T + 7, 7))
        assert decoder.lost() == {NODE: 2}
    assert first.snapshot() == second.snapshot() == kept


def test_after_a_restart_a_rebirth_is_asked_for_once() -> None:
    """Whatever changed meanwhile, and is told by exception, is told by a birth alone."""
    decoder = born([X])
    decoder.restore(decoder.snapshot())
    for again in (3, 4, 5, 4, 5, 6):  # with QoS 1 some come that were heard before
        hear(decoder, "DDATA", ddata([X], T + again, again))
    assert [topic for topic, _ in decoder.asks()] == [ASK]
    hear(decoder, "NBIRTH", nbirth([], T + 10))
    hear(decoder, "DBIRTH", dbirth([X], T + 10, 1))
    hear(decoder, "DDATA", ddata([X], T + 11, 2), arrived=START + PAUSE)
    assert (decoder.asks(), decoder.lost()) == ([], {})


def test_a_node_that_is_born_after_a_restart_is_not_asked() -> None:
    decoder = born([X])
    decoder.restore(decoder.snapshot())
    hear(decoder, "NBIRTH", nbirth([], T + 10))
    hear(decoder, "NDATA", ndata([], T + 11, 1))
    assert decoder.asks() == []


def test_messages_that_are_taken_back_are_read_when_they_come_again() -> None:
    decoder = born([X])
    kept = decoder.snapshot()
    for _ in range(2):
        (block,) = hear(decoder, "DDATA", ddata([X], T + 4, 4))
        assert values(block) == {"x": [-12]}
        decoder.restore(kept)
        assert (decoder.lost(), decoder.asks()) == ({}, [])


@given(st.binary(max_size=40))
def test_a_snapshot_that_cannot_be_read_is_a_new_beginning(snapshot: bytes) -> None:
    decoder = born([X])
    for broken in (snapshot, decoder.snapshot()[:-1], decoder.snapshot() + b"x", b""):
        decoder.restore(broken)
        assert decoder.snapshot() == reader().snapshot()


def test_births_are_bounded() -> None:
    many = [Metric(f"m{i}", 1, 3, i) for i in range(10_001)]
    decoder = reader()
    with pytest.raises(DataError, match="too_large: birth of g/e: more than 10000 metrics"):
        hear(decoder, "NBIRTH", nbirth(many, T), "g/e")  # with two of its own
    assert hear(decoder, "NBIRTH", nbirth(many[:9000], T), "g/0")
    with pytest.raises(DataError, match="too_large: birth of g/0/d"):
        hear(decoder, "DBIRTH", dbirth(many[:2000], T, 1), "g/0/d")
    for i in range(1, 11):
        hear(decoder, "NBIRTH", nbirth(many[:9000], T), f"g/{i}")
    with pytest.raises(DataError, match="too_large"):
        hear(decoder, "NBIRTH", nbirth(many[:9990], T), "g/11")
    size = decoder._size
    decoder.restore(decoder.snapshot())
    assert decoder._size == size == sum(node.size for node in decoder._nodes.values()) <= 100_000
    for i in range(11):
        hear(decoder, "NDEATH", ndeath(0), f"g/{i}")
    assert hear(decoder, "NBIRTH", nbirth(many[:9990], T + 1), "g/11")


def test_nodes_that_only_talk_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparkplug, "MOST", 50)
    decoder = reader()
    for i in range(50):
        hear(decoder, "NDATA", ndata([], T, 1), f"g/{i}")
    with pytest.raises(DataError, match="too_large"):
        hear(decoder, "NDATA", ndata([], T, 1), "g/50")


# --- whatever the bytes


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", "malformed"),
        (b"\x12\x05abc", "malformed"),
        (b"\x33" * 100_000, "malformed"),  # groups within groups
        (b"\x12\x03\x0a\x01\xff", "malformed"),  # a name that is no UTF-8
        (b"\x12\x05\x20\x0c\x7a\x01\xff", "malformed"),  # a text
        (b"\x12\x05\x50\x01\x4a\x01\xff", "malformed"),  # properties
        (b"\x12\x00" * 2_000_000, "too_large"),
        (b"\x12\x87\x08\x0a\x84\x08" + b"x" * 1028, "too_large"),  # a long name
        (b"\x18\xac\x02", "malformed"),  # number 300
    ],
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        hear(born([X]), "NDATA", payload)
    assert error.value.reason == reason


SAMPLES: dict[str, bytes] = {
    "NBIRTH": nbirth(NODE_METRICS, T),
    "DBIRTH": dbirth([*DEVICE_METRICS, X], T, 1),
    "DDATA": ddata([*DEVICE_METRICS, X], T, 2),
    "NDATA": ndata([X], T, 3),
    "DDEATH": ddeath(T, 4),
    "NDEATH": ndeath(0, T),
}


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    kind = draw(st.sampled_from(sorted(SAMPLES)))
    payload = bytearray(SAMPLES[kind])
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(payload) - 1))
        payload[place] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(payload)))
    return kind, bytes(payload[cut:] if draw(st.booleans()) and cut < 5 else payload)


ANY = st.tuples(st.sampled_from(sorted(SAMPLES)), st.binary(max_size=60)) | mutated()


@settings(max_examples=300)
@given(st.lists(ANY, min_size=1, max_size=6), st.sampled_from([{}, {"a": "x", "b": "Inputs/A"}]))
def test_whatever_comes_readings_or_a_refusal(
    heard: list[tuple[str, bytes]], channels: dict[str, str]
) -> None:
    decoder = born([X], channels)
    for kind, payload in heard:
        try:
            blocks = hear(decoder, kind, payload)
        except DataError:
            blocks = []
        for block in blocks:
            assert block.values.shape == (len(block.times), len(block.channels))
            assert (block.values.dtype, block.times.dtype) == (np.float32, np.int64)
            assert block.times.min() >= 0
        assert decoder._size == sum(node.size for node in decoder._nodes.values())
        assert all(0 < n < 256 for n in decoder.lost().values())
        kept = decoder.snapshot()
        other = reader(channels)
        other.restore(kept)
        assert other.snapshot() == kept
    assert len(decoder.asks()) <= 1


def test_a_long_backlog_is_read() -> None:
    told = [Metric("x", i, 3, time=T + i) for i in range(20_000)]
    (block,) = hear(reader(), "NDATA", ndata(told, T, 1))
    assert block.values[:, 0].tolist() == list(range(20_000))


def test_metrics_that_each_have_a_time_of_their_own_are_bounded() -> None:
    told = [Metric(f"m{i}", i, 3, time=T + i) for i in range(10_001)]
    assert len(hear(reader(), "NDATA", ndata(told[1:], T, 1))) == 10_000
    with pytest.raises(DataError, match=r"too_large: .* more than 10000 metrics at times of their own"):
        hear(reader(), "NDATA", ndata(told, T, 1))

"""What every dialect owes the collector: whatever the bytes, readings or a countable refusal."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_stream.clock import SECOND
from iot_stream.config import Source
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats import FORMATS, Decoder, Heard, Together, arrays, decoder, format_of, frames, senml
from iot_stream.formats.sparkplug_payload import Datatype, Metric, ndata
from iot_stream.formats.telemetry import encode
from iot_stream.readings import Block
from iot_stream.units import Duration
from tests.streams import START

NUMBERED = Source(
    format="json",
    channels={"co2": "$.values.co2", "t": '$["room temperature"][0]'},
    time="$.ts",
    boot="$.boot",
    seq="$.n",
)
LISTED = Source(
    format="json", channels={"co2": "$.co2"}, readings="$.list", time="$.ts", zone="Europe/Berlin"
)


class Sample(NamedTuple):
    """A decoder, a message that it understands, and what the topic's places stood for."""

    decode: Decoder
    payload: bytes
    places: Mapping[str, str] = MappingProxyType({"device": "d"})

    def heard(self, payload: bytes) -> Heard:
        return Heard(payload, START, self.places)


def sample(payload: bytes, places: dict[str, str] | None = None, **settings: object) -> Sample:
    return Sample(decoder(Source(**settings), 0), payload, {"device": "d"} | (places or {}))


CHANNEL = {"channel": "co2"}
SAMPLES: dict[str, list[Sample]] = {
    "telemetry": [
        sample(
            encode(
                ("a", "b"),
                START + np.arange(3) * 7,
                np.array([[1, 2.5], [3, np.nan], [-4, 0.1]], np.float32),
                "x",
                7,
            )
        ),
        sample(b'{"channels":{"a":[1.5],"b":[2]},"times":[1424357000000000000]}', channels={"a": ""}),
    ],
    "json": [
        Sample(
            decoder(NUMBERED, 0),
            b'{"values":{"co2":512.25},"room temperature":[21.5],"ts":"2015-02-04T17:51Z","boot":"x","n":3}',
        ),
        Sample(decoder(LISTED, 0), b'{"list":[{"co2":1,"ts":1424357000},{"co2":2.5,"ts":1424357060.5}]}'),
        sample(b"21.5", format="json", channels={"x": "$"}),
        sample(b'{"x":[1,2],"t":[7,8]}', format="json", channels={"x": "$.x"}, step=Duration(10**9)),
        sample(
            b'{"list":[{"id":"a","x":"on"},{"id":"b","x":2}]}',
            format="json",
            device="$.id",
            readings="$.list",
            channels={"x": "$.x"},
        ),
    ],
    "zigbee2mqtt": [
        sample(
            b'{"temperature":21.46,"humidity":48,"contact":false,"last_seen":1424357000000,"battery":97}',
            format="zigbee2mqtt",
        )
    ],
    "tasmota": [
        sample(
            b'{"Time":"2015-02-19T14:43:20","DS18B20":{"Id":"01131B","Temperature":21.4},"TempUnit":"C"}',
            format="tasmota",
        )
    ],
    "esphome": [sample(b"512.25", CHANNEL, format="esphome")],
    "statestream": [sample(b'"21.5"', CHANNEL, format="statestream")],
    "topic_per_channel": [sample(b"ON", CHANNEL, format="topic_per_channel")],
    "shelly": [
        sample(b"21.5", {"channel": "sensor/temperature"}, format="shelly"),
        sample(
            b'{"src":"shelly-a","method":"NotifyStatus","params":{"ts":1424357000.5,"switch:0":{"apower":8.9}}}',
            {"channel": "events/rpc"},
            format="shelly",
        ),
    ],
    "array": [
        sample(
            arrays.encode(np.array([[1, 2], [3, 4]], np.float32), dtype="<i2"),
            format="array",
            channels={"x": "0", "y": "1"},
            dtype="<i2",
            step=Duration(10**9),
        )
    ],
    "cbor": [
        sample(cbor2.dumps({"x": 1.5, "t": 1424357000}), format="cbor", channels={"x": "$.x"}, time="$.t")
    ],
    "csv": [
        sample(
            b"t,x,y\n1424357000,1,2.5\n1424357060,,4\n", format="csv", channels={"x": "x", "y": "y"}, time="t"
        )
    ],
    "senml": [
        sample(
            b'[{"bn":"urn:dev:ow:10e2073a01080063:","bt":1424357000,"n":"t","v":1},{"n":"h","t":1,"v":2}]',
            format="senml",
        )
    ],
    "senml_cbor": [
        sample(
            senml.encode_cbor("d", ("x",), np.array([START]), np.ones((1, 1), np.float32)),
            format="senml_cbor",
        )
    ],
    "sparkplug": [
        sample(
            ndata([Metric("x", -12, Datatype.INT32)], 1424357000000, 1),
            {"group": "g", "type": "NDATA", "node": "e"},
            format="sparkplug",
        )
    ],
    "frame": [sample(frames.encode(np.linspace(0, 1, 12), (4, 3)), format="frame", channels={"p": "2x2"})],
}
SAMPLED = [each for samples in SAMPLES.values() for each in samples]


def test_every_dialect_is_sampled_here() -> None:
    format_of("json")  # imports them all
    assert set(SAMPLES) == set(FORMATS)


@pytest.mark.parametrize("each", SAMPLED)
def test_a_sample_is_understood(each: Sample) -> None:
    blocks = each.decode.decode(each.heard(each.payload))
    assert blocks
    for block in blocks:
        check(block)


def check(block: Block) -> None:
    assert block.times.dtype == np.int64
    assert block.values.dtype == np.float32
    assert block.values.shape == (len(block.times), len(block.channels))
    assert (block.seq == -1) or (0 <= block.seq < 2**62 and 0 < len(block.boot) <= 64)
    assert len(block) == 0 or block.times.min() >= 0
    block.packed().block()


def try_out(each: Sample, payload: bytes) -> bool:
    together = None
    if isinstance(each.decode, Together):
        together = each.decode.decode_together([each.payload, payload], [each.places] * 2)
    try:
        for block in each.decode.decode(each.heard(payload)):
            check(block)
    except DataError as error:
        message = str(error)
    else:
        return True
    assert len(message) < 2000
    assert together is None  # what is refused alone is not taken among others
    return False


@settings(max_examples=500)
@given(st.sampled_from(SAMPLED), st.data())
def test_decode_of_altered_messages_raises_data_errors_only(each: Sample, data: st.DataObject) -> None:
    changed = bytearray(each.payload)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try_out(each, bytes(changed))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "ts", "n", "boot", "co2"]), inner)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("channels", "times", "time", "step", "boot", "seq", "values", "ts", "n", "list", "co2"), JSON
        ),
    )
)
def test_decode_of_other_json_raises_data_errors_only(message: dict[str, object]) -> None:
    for each in SAMPLED:
        try_out(each, json.dumps(message).encode())


@given(st.binary(max_size=40))
def test_decode_of_any_bytes_raises_data_errors_only(payload: bytes) -> None:
    for each in SAMPLED:
        try_out(each, payload)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(5_000),
        pytest.param(50_000, marks=pytest.mark.slow),
        pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_mutations_swept_at_random_raise_data_errors_only(messages: int) -> None:
    rng = np.random.default_rng(messages)
    understood = 0
    for _ in range(messages):
        each = SAMPLED[rng.integers(len(SAMPLED))]
        changed = np.frombuffer(each.payload, np.uint8).copy()
        places = rng.integers(0, len(changed), rng.integers(1, 4))
        changed[places] = rng.choice(
            np.frombuffer(b'0123456789.eE+-{}[]",:\\\x00\xff\xc3ntru', np.uint8), len(places)
        )
        understood += try_out(each, changed.tobytes())
    assert 0.05 * messages < understood < 0.95 * messages  # both ways were walked


@pytest.mark.parametrize(
    "payload",
    [
        b'{"channels":{"a":[1]},"boot":"\\ud800","seq":1}',
        b'{"channels":{"a":[1e39]},"time":1}',
        b'{"channels":{"a":[1]},"time":9223372036854775807,"step":9223372036854775807}',
        b'{"channels":{"a":[1,2]},"time":9223372036854775800,"step":100}',
        b'{"channels":{"a":[1]},"times":[99999999999999999999999]}',
        b'{"channels":{"a":[1]},"seq":99999999999999999999999}',
        b'{"list":[{"co2":1,"ts":' + b"9" * 4000 + b"}]}",
        b'{"list":[{"co2":' + b"9" * 4000 + b',"ts":1}]}',
        b'{"list":[{"co2":1,"ts":' + b"[" * 900 + b"]" * 900 + b"}]}",
        b'{"list":' + b"[" * 100_000,
        b'{"list":[{"co2":1,"ts":"0001-01-01T00:00:00+14:00"}]}',
        b'{"list":[{"co2":true,"ts":true}]}',
        b"\xff\xfe",
        b'{"channels":{"\xff":[1]}}',
        b"",
        b"null",
    ],
)
def test_nasty_messages_raise_data_errors_only(payload: bytes) -> None:
    for each in SAMPLED:
        try_out(each, payload)


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no format 'jsn'; is json meant"):
        decoder(Source(format="jsn"), 0)


def test_times_of_one_second_in_every_unit() -> None:
    decode = decoder(Source(format="json", channels={"x": "$.x"}, time="$.t"), 0)
    moment = 1_423_072_260 * SECOND
    for value in (
        1_423_072_260,
        1_423_072_260.0,
        1_423_072_260_000,
        1_423_072_260_000_000,
        moment,
        "2015-02-04T17:51:00Z",
        "2015-02-04 17:51:00",
        "2015-02-04T18:51:00+01:00",
        "2015-02-04T17:51:00.000000000Z",
    ):
        (block,) = decode.decode(Heard(json.dumps({"x": 1, "t": value}).encode(), 0))
        assert block.times.tolist() == [moment], value

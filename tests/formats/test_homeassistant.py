"""What devices announce to Home Assistant."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream.errors import DataError
from iot_stream.formats.homeassistant import Sensor, path_of, sensors
from iot_stream.formats.json_paths import Path

# home-assistant.io, "MQTT", "Device discovery payload"
DEVICE = {
    "dev": {"ids": "ea334450945afc", "name": "Kitchen", "mf": "Bla electronics", "mdl": "xya", "sw": "1.0"},
    "o": {"name": "bla2mqtt", "sw": "2.1", "url": "https://bla2mqtt.example.com/support"},
    "cmps": {
        "some_unique_component_id1": {
            "p": "sensor",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "value_template": "{{ value_json.temperature}}",
            "unique_id": "temp01ae_t",
        },
        "some_unique_id2": {
            "p": "sensor",
            "device_class": "humidity",
            "unit_of_measurement": "%",
            "value_template": "{{ value_json.humidity}}",
            "unique_id": "temp01ae_h",
        },
    },
    "state_topic": "sensorBedroom/state",
    "qos": 2,
}
# What Tasmota announces, from a log that a user published
TASMOTA = (
    b'{"name":"plug001 ENERGY Total","stat_t":"tele/plug001/SENSOR","avty_t":"tele/plug001/LWT",'
    b'"pl_avail":"Online","pl_not_avail":"Offline","uniq_id":"218FF9_ENERGY_Total","dev":{"ids":["218FF9"]},'
    b'"unit_of_meas":"kWh","dev_cla":"energy","stat_cla":"total_increasing","frc_upd":true,'
    b"\"val_tpl\":\"{{value_json['ENERGY']['Total']}}\"}"
)


def read(topic: str, config: dict[str, object]) -> list[Sensor]:
    return sensors(topic, json.dumps(config).encode())


def test_a_device_with_its_components() -> None:
    assert read("homeassistant/device/0AFFD2/config", DEVICE) == [
        Sensor(
            topic="sensorBedroom/state",
            path="$.temperature",
            name="temperature",
            device="Kitchen",
            component="sensor",
            unit="°C",
            device_class="temperature",
            unique_id="temp01ae_t",
            template="{{ value_json.temperature}}",
        ),
        Sensor(
            topic="sensorBedroom/state",
            path="$.humidity",
            name="humidity",
            device="Kitchen",
            component="sensor",
            unit="%",
            device_class="humidity",
            unique_id="temp01ae_h",
            template="{{ value_json.humidity}}",
        ),
    ]


def test_a_component_that_is_taken_back_is_none() -> None:
    taken = DEVICE | {"cmps": DEVICE["cmps"] | {"some_unique_id2": {"p": "sensor"}}}  # type: ignore[operator]
    assert [found.unique_id for found in read("homeassistant/device/0AFFD2/config", taken)] == ["temp01ae_t"]


def test_a_component_in_abbreviations() -> None:
    assert sensors("homeassistant/sensor/218FF9_ENERGY_Total/config", TASMOTA) == [
        Sensor(
            topic="tele/plug001/SENSOR",
            path="$.ENERGY.Total",
            name="plug001 ENERGY Total",
            device="218FF9",
            component="sensor",
            unit="kWh",
            device_class="energy",
            state_class="total_increasing",
            unique_id="218FF9_ENERGY_Total",
            template="{{value_json['ENERGY']['Total']}}",
            availability="tele/plug001/LWT",
        )
    ]


# home-assistant.io, "MQTT", "Using abbreviations": a switch with a base topic
def test_a_base_topic_stands_for_its_tilde() -> None:
    config = {"~": "homeassistant/switch/irrigation", "name": "garden", "cmd_t": "~/set", "stat_t": "~/state"}
    (found,) = read("homeassistant/switch/irrigation/config", config)
    assert (found.topic, found.path, found.name, found.component) == (
        "homeassistant/switch/irrigation/state",
        "$",
        "garden",
        "switch",
    )
    (after,) = read("homeassistant/sensor/x/config", {"~": "/temp", "stat_t": "home~", "exp_aft": 60})
    assert (after.topic, after.name, after.expire_after) == ("home/temp", "x", 60)


def test_a_node_may_stand_in_the_topic_and_another_prefix() -> None:
    (found,) = sensors("ha/binary_sensor/node/door/config", b'{"stat_t":"door","name":null}', prefix="ha")
    assert (found.topic, found.name, found.component) == ("door", "door", "binary_sensor")


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("homeassistant/sensor/x/config", b""),  # removed
        ("homeassistant/device/x/config", b""),
        ("homeassistant/status", b"online"),
        ("homeassistant/sensor/x/state", b"21.5"),
        ("homeassistant/a/b/c/d/config", b"{}"),
        ("other/sensor/x/config", b"{}"),
        ("homeassistant/button/x/config", b'{"cmd_t":"x/press"}'),
        ("homeassistant/sensor/x/config", b'{"stat_t":{},"dev":3,"~":[]}'),
        ("homeassistant/device/x/config", b'{"migrate_discovery":true}'),
        ("homeassistant/device/x/config", b'{"cmps":[1],"stat_t":"x"}'),
        ("homeassistant/device/x/config", b'{"cmps":{"a":1,"b":{}},"stat_t":"x"}'),
    ],
)
def test_what_announces_nothing_gives_nothing(topic: str, payload: bytes) -> None:
    assert sensors(topic, payload) == []


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"{", "malformed"), (b"[]", "wrong_type"), (b"[" * 100_000, "malformed")]
)
def test_what_is_wrong_has_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DataError) as error:
        sensors("homeassistant/sensor/x/config", payload)
    assert error.value.reason == reason


def test_a_device_has_no_thousands_of_components() -> None:
    config = {"cmps": {f"c{i}": {"p": "sensor", "stat_t": "x"} for i in range(2000)}}
    with pytest.raises(DataError, match=r"too_large: .*: 2000 components, at most 1000"):
        read("homeassistant/device/x/config", config)


def test_a_topic_that_mqtt_cannot_carry_is_none() -> None:
    assert read("homeassistant/sensor/x/config", {"~": "b" * 70_000, "stat_t": "~/x"}) == []


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("", "$"),
        ("{{ value }}", "$"),
        ("{{ value | float }}", "$"),
        ("{{ value_json }}", "$"),
        ("{{ value_json.temperature }}", "$.temperature"),
        ("{{ value_json.a.b }}", "$.a.b"),
        ("{{value_json['a']}}", "$.a"),
        ('{{ value_json["a b"].c }}', '$["a b"].c'),
        ("{{ value_json['switch:0'].apower }}", '$["switch:0"].apower'),
        ("{{ value_json.list[2] }}", "$.list[2]"),
        ("{{ value_json.temperature | round(1) }}", "$.temperature"),
        ("{{ value_json.t | float(0) | round(2) }}", "$.t"),
        ("{{ value_json.tempc | is_defined }}", "$.tempc"),
        ("{{- value_json.t|default('')  -}}", "$.t"),
        ("{{ value_json.t * 2 }}", ""),
        ("{{ value_json.t | multiply(2) }}", ""),
        ("{{ value_json.t }} °C", ""),
        ("{{ value_json.t if value_json.t else 0 }}", ""),
        ("{% if value_json.t %}1{% endif %}", ""),
        ("{{ value_json[key] }}", ""),
        ("{{ value.t }}", ""),
        ("{{ states('sensor.x') }}", ""),
        ("{{ value_json.a }}{{ value_json.b }}", ""),
        ("{{" * 100_000, ""),
        ("{{ value_json" + ".a" * 100_000, ""),
        ("{{ value_json.t" + "|d" * 100_000, ""),
    ],
)
def test_a_simple_template_is_a_path(template: str, path: str) -> None:
    assert path_of(template) == path
    if path:
        Path(path)


@given(st.text(alphabet="abc_.[]'\"0|() {}", max_size=30))
def test_whatever_a_template_is_its_path_is_one(inside: str) -> None:
    path = path_of(f"{{{{ value_json{inside} }}}}")
    if path:
        Path(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["p", "ids", "name", "stat_t", "~", "dev_cla"]), inner)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["dev", "cmps", "stat_t", "val_tpl", "~", "name", "exp_aft", "avty_t"]), JSON
    ),
    st.sampled_from(["sensor", "device"]),
)
def test_whatever_the_config_only_data_errors_are_raised(config: dict[str, object], component: str) -> None:
    try:
        for found in read(f"homeassistant/{component}/x/config", config):
            assert isinstance(found, Sensor)
            assert found.topic
    except DataError:
        return


@given(st.data())
def test_whatever_the_bytes_only_data_errors_are_raised(data: st.DataObject) -> None:
    changed = bytearray(TASMOTA)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for component in ("sensor", "device"):
        try:
            sensors(f"homeassistant/{component}/x/config", bytes(changed))
        except DataError:
            continue

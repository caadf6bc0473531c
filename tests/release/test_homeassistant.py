"""What Home Assistant is told of each device: by its documentation, and over a real broker."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_stream import topics
from iot_stream.config import Config, HomeAssistant, load
from iot_stream.errors import ConfigError, DataError
from iot_stream.readings import check_device_name
from iot_stream.release.homeassistant import discovery, identifier
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.store.registry import Device
from tests.release import homeassistant_schema as schema
from tests.release.test_publisher import Listener, add_version, config, publishing
from tests.release.test_publisher import store as store  # a fixture
from tests.service.running import write_config
from tests.waiting import wait_until

CLASSES = ("good", "worn")


def announced(device: str = "pump-01") -> dict[str, Any]:
    return discovery("iot", "pumps", device, CLASSES)


def rendered(template: str, payload: msgspec.Struct) -> str:
    """As Home Assistant renders it: Jinja, with the message as `value_json`."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    value = json.loads(topics.encode(payload))
    return environment.from_string(template).render(value_json=value)


def test_the_payload_is_one_by_the_documentation() -> None:
    jsonschema.validate(announced(), schema.PAYLOAD)
    assert {entity["platform"] for entity in announced()["components"].values()} == {"sensor", "update"}


def test_a_prediction_may_expire() -> None:
    payload = discovery("iot", "pumps", "pump-01", CLASSES, expire=10 * 60 * 10**9)
    jsonschema.validate(payload, schema.PAYLOAD)
    lasting = {name: entity.get("expire_after") for name, entity in payload["components"].items()}
    assert lasting == {"prediction": 600, "confidence": 600, "version": None, "update": None}
    assert "expire_after" not in str(announced())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("origin",), None),
        (("device", "identifiers"), []),
        (("components", "prediction", "device_class"), "temperature"),
        (("components", "prediction", "unit_of_measurement"), "%"),
        (("components", "prediction", "options"), []),
        (("components", "version", "entity_category"), "config"),
        (("components", "update", "platform"), None),
        (("components", "confidence", "unique_id"), None),
        (("components", "confidence", "unit_of_mesurement"), "%"),
    ],
)
def test_the_schema_refuses_what_the_documentation_does(place: tuple[str, ...], value: object) -> None:
    """The schema itself is worth something."""
    payload = announced()
    within = payload
    for name in place[:-1]:
        within = within[name]
    if value is None:
        del within[place[-1]]
    else:
        within[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(payload, schema.PAYLOAD)


def test_its_templates_make_states_of_our_messages() -> None:
    entities = announced()["components"]
    said = topics.Prediction(1, "worn", 0.97314, 12)
    assert rendered(entities["prediction"]["value_template"], said) == "worn"
    assert "worn" in entities["prediction"]["options"]
    assert rendered(entities["confidence"]["value_template"], said) == "97.31"
    update = topics.Update("11", "12", "t")
    assert rendered(entities["version"]["value_template"], update) == "11"
    (available,) = announced()["availability"]
    assert rendered(available["value_template"], topics.Status(online=True, version=3)) == "online"
    assert rendered(available["value_template"], topics.Status(online=False)) == "offline"


def test_its_topics_are_those_that_devices_and_publisher_use() -> None:
    wanted = {
        "prediction": "iot/pumps/device/pump-01/prediction",
        "confidence": "iot/pumps/device/pump-01/prediction",
        "version": "iot/pumps/device/pump-01/update",
        "update": "iot/pumps/device/pump-01/update",
    }
    assert {name: each["state_topic"] for name, each in announced()["components"].items()} == wanted


def test_a_device_is_called_what_it_calls_itself() -> None:
    assert discovery("iot", "p", "living%2Fclimate", CLASSES)["device"]["name"] == "living/climate"


@pytest.mark.parametrize(
    "names",
    [
        ("iot", "pumps", "Gerät 1"),
        ("iot", "a_b", "c"),
        ("iot", "a", "b_c"),
        ("i", "p", "x.y"),
        ("i", "p", "x_y"),
    ],
)
def test_an_identifier_may_stand_in_a_topic(names: tuple[str, str, str]) -> None:
    assert re.fullmatch("[a-zA-Z0-9_-]+", identifier(*names))


NAME = st.text(st.sampled_from("ab_-.é "), min_size=1, max_size=5)


@given(st.tuples(NAME, NAME, NAME), st.tuples(NAME, NAME, NAME))
def test_no_two_devices_have_one_identifier(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (identifier(*one) == identifier(*other)) == (one == other)


@given(st.text(min_size=1, max_size=20))
def test_every_device_that_may_be_is_announced_by_the_documentation(name: str) -> None:
    try:
        check_device_name(name)
    except DataError:
        return
    jsonschema.validate(discovery("iot", "p", name, CLASSES), schema.PAYLOAD)


# --- over a broker --------------------------------------------------------------------------


class Home:
    """A listener as Home Assistant is one, beside one for our own topics."""

    def __init__(self, url: str, prefix: str) -> None:
        self.own = Listener(url, prefix)
        self.found = Listener(url, f"home-{prefix}")

    def device(self, prefix: str, name: str) -> dict[str, Any]:
        """As discovered; empty where there is none."""
        payload = self.found.retained.get(f"home-{prefix}/device/{identifier(prefix, 'p', name)}/config", b"")
        return json.loads(payload) if payload else {}

    def update(self, prefix: str, name: str) -> dict[str, str]:
        payload = self.own.retained.get(topics.UPDATE.of(prefix=prefix, pipeline="p", device=name), b"")
        return json.loads(payload) if payload else {}

    def stop(self) -> None:
        self.own.connection.stop()
        self.found.connection.stop()


@pytest.fixture
def home(broker: Broker, prefix: str) -> Iterator[Home]:
    it = Home(broker.url, prefix)
    yield it
    it.stop()


def at_home(url: str, prefix: str, folder: Path) -> Config:
    settings = HomeAssistant(discovery_prefix=f"home-{prefix}", birth=f"home-{prefix}/status")
    return msgspec.structs.replace(config(url, prefix, folder), homeassistant=settings)


def join(store: Store, name: str, version: int, *, online: bool = False) -> None:
    store.registry.save_device("p", Device(name, "all", online, version, 1), "{}")


def test_devices_are_announced_with_what_there_is_for_them(
    broker: Broker, prefix: str, store: Store, tmp_path: Path, home: Home
) -> None:
    join(store, "d-1", 0)
    add_version(store, 1, gate={"reason": "better, " + 300 * "x"})
    with publishing(at_home(broker.url, prefix, tmp_path), store, tmp_path):
        wait_until(lambda: home.update(prefix, "d-1").get("latest_version") == "1", "the newest version")
        wait_until(lambda: bool(home.device(prefix, "d-1")), "the device")  # on another connection
        jsonschema.validate(home.device(prefix, "d-1"), schema.PAYLOAD)
        jsonschema.validate(home.update(prefix, "d-1"), schema.UPDATE_STATE)
        assert home.update(prefix, "d-1")["installed_version"] == "0"
        assert home.update(prefix, "d-1")["release_summary"].startswith("better, ")
        join(store, "d-1", 1)
        wait_until(lambda: home.update(prefix, "d-1")["installed_version"] == "1", "that it was taken")
        join(store, "d-2", 2)  # of a canary, ahead of all
        wait_until(lambda: bool(home.update(prefix, "d-2")), "a device that came later")
        assert home.update(prefix, "d-2")["latest_version"] == "2"
        with store.write() as tx:
            store.registry.pin(tx, "p", "d-1", pinned=True)
        add_version(store, 2)
        join(store, "d-3", 0)
        wait_until(lambda: home.update(prefix, "d-3").get("latest_version") == "2", "a newer one")
        assert home.update(prefix, "d-1")["latest_version"] == "1"  # there is none for who is pinned
    for topic in home.found.retained:
        if topic.endswith("/config"):
            assert re.fullmatch(schema.DISCOVERY_TOPIC, topic.replace(f"home-{prefix}", "homeassistant"))


def test_home_assistant_that_starts_is_told_again(
    broker: Broker, prefix: str, store: Store, tmp_path: Path, home: Home
) -> None:
    join(store, "d-1", 3)
    with publishing(at_home(broker.url, prefix, tmp_path), store, tmp_path):
        wait_until(lambda: bool(home.device(prefix, "d-1")), "the device")
        home.found.retained.clear()
        home.own.retained.clear()
        home.own.connection.publish(f"home-{prefix}/status", b"offline")
        home.own.connection.publish(f"home-{prefix}/status", b"online")
        wait_until(lambda: bool(home.device(prefix, "d-1")), "the device, again")
        wait_until(lambda: bool(home.update(prefix, "d-1")), "its versions, again")


def test_a_device_that_is_forgotten_leaves_home_assistant_and_the_broker(
    broker: Broker, prefix: str, store: Store, tmp_path: Path, home: Home
) -> None:
    status = topics.STATUS.of(prefix=prefix, pipeline="p", device="d-1")
    gone = topics.encode(topics.Status(online=False, version=1))
    home.own.connection.publish_and_wait(status, gone, retain=True)
    with publishing(at_home(broker.url, prefix, tmp_path), store, tmp_path):
        wait_until(lambda: bool(home.device(prefix, "d-1")), "the device")

        def forget(name: str) -> tuple[str, str]:
            command = store.registry.command("test", "forget", "p", device=name)
            wait_until(lambda: store.registry.outcome(command)[0] != "open", "an answer")
            return store.registry.outcome(command)

        join(store, "d-2", 1, online=True)
        assert forget("d-2") == ("failed", "d-2 is online, and would be back at once; stop it first")
        assert forget("d-9")[1].startswith("no device d-9 of p has run a model")
        assert forget("d-1") == ("done", "d-1 is forgotten")
        wait_until(lambda: not home.device(prefix, "d-1"), "that it has gone")
        wait_until(lambda: not home.own.retained[status], "that its status has gone")
        wait_until(lambda: not home.update(prefix, "d-1"), "that its versions have gone")
        assert [each.device for each in store.registry.devices("p")] == ["d-2"]
    with publishing(at_home(broker.url, prefix, tmp_path), store, tmp_path):  # nor does a new start bring it
        wait_until(lambda: bool(home.device(prefix, "d-2")), "the other")
        assert not home.device(prefix, "d-1")


def test_without_the_setting_nothing_is_announced(
    broker: Broker, prefix: str, store: Store, tmp_path: Path, home: Home
) -> None:
    join(store, "d-1", 0)
    add_version(store, 1)
    with publishing(config(broker.url, prefix, tmp_path), store, tmp_path):
        wait_until(lambda: bool(home.own.bundle(prefix)), "a release")
    assert not home.found.retained
    assert not home.update(prefix, "d-1")


def test_a_prefix_with_a_wildcard_is_refused(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    text = path.read_text()
    path.write_text(text + "homeassistant: {}\n")
    assert load(path).homeassistant == HomeAssistant("homeassistant", "homeassistant/status")
    path.write_text(text + "homeassistant: {discovery_prefix: home/#}\n")
    with pytest.raises(ConfigError, match=r"homeassistant\.discovery_prefix"):
        load(path)


def test_the_page_has_a_configuration_that_is_one_and_names_all_entities(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "homeassistant.md").read_text()
    (tmp_path / "iot-stream.yml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    assert load(tmp_path / "iot-stream.yml").homeassistant == HomeAssistant()
    for entity in announced()["components"].values():
        assert f"| {entity['name']} ({entity['platform']}" in page

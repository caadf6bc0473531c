"""Devices as Home Assistant discovers them: prediction, confidence, model version, and what there is for it.

One retained message a device, as Home Assistant's pages on MQTT discovery, MQTT sensor and MQTT update say
(https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, …/sensor.mqtt/, …/update.mqtt/).
"""

import hashlib
import re
from importlib.metadata import version as package_version
from typing import Any

import msgspec

from iot_stream import topics
from iot_stream.artifact import trust
from iot_stream.clock import SECOND
from iot_stream.config import Config, HomeAssistant
from iot_stream.mqtt import Connection, Message
from iot_stream.readings import spoken_name
from iot_stream.store import Store
from iot_stream.store.registry import Device

ONLINE = b"online"
SUMMARY = 255  # characters of a summary that Home Assistant shows

Key = tuple[str, str]  # pipeline and device


def identifier(prefix: str, pipeline: str, device: str) -> str:
    """Letters, digits, `_` and `-` alone, as a discovery topic allows; no two devices have the same."""
    name = f"{prefix}_{pipeline}_{device}"
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)
    told_apart = "" if plain == name and "_" not in prefix + pipeline else _digest(prefix, pipeline, device)
    return f"iot_stream_{plain}{told_apart}"


def _digest(*names: str) -> str:
    return "_" + hashlib.sha256("/".join(names).encode()).hexdigest()[:8]


def discovery(
    prefix: str, pipeline: str, device: str, classes: tuple[str, ...], expire: int | None = None
) -> dict[str, Any]:
    """The payload that announces a device and its four entities; `expire`: ns that a prediction stands."""
    name = identifier(prefix, pipeline, device)
    levels = {"prefix": prefix, "pipeline": pipeline, "device": device}
    prediction, update = topics.PREDICTION.of(**levels), topics.UPDATE.of(**levels)
    said: dict[str, Any] = {"state_topic": prediction}
    if expire is not None:
        said["expire_after"] = max(1, round(expire / SECOND))
    return {
        "device": {
            "identifiers": [name],
            "name": spoken_name(device),
            "manufacturer": "iot-stream",
            "model": f"{pipeline} student",
        },
        "origin": {"name": "iot-stream", "sw_version": package_version("iot-stream")},
        "availability": [
            {
                "topic": topics.STATUS.of(**levels),
                "value_template": "{{ 'online' if value_json.online else 'offline' }}",
            }
        ],
        "qos": 1,
        "components": {
            "prediction": {
                "platform": "sensor",
                "unique_id": f"{name}_prediction",
                "name": "Prediction",
                "device_class": "enum",
                "options": list(classes),
                **said,
                "value_template": "{{ value_json['class'] }}",
            },
            "confidence": {
                "platform": "sensor",
                "unique_id": f"{name}_confidence",
                "name": "Confidence",
                "unit_of_measurement": "%",
                "state_class": "measurement",
                "suggested_display_precision": 0,
                **said,
                "value_template": "{{ (value_json.p * 100) | round(2) }}",
            },
            "version": {
                "platform": "sensor",
                "unique_id": f"{name}_version",
                "name": "Model version",
                "entity_category": "diagnostic",
                "state_topic": update,
                "value_template": "{{ value_json.installed_version }}",
            },
            "update": {
                "platform": "update",
                "unique_id": f"{name}_update",
                "name": "Model",
                "entity_category": "diagnostic",
                "state_topic": update,
            },
        },
    }


class Announcer:
    """Keeps on the broker what Home Assistant is to know of the devices that the registry has."""

    def __init__(self, config: Config, settings: HomeAssistant, store: Store, connection: Connection) -> None:
        self._config, self._settings, self._connection = config, settings, connection
        self._registry, self._overview = store.registry, store.overview
        self._said: dict[Key, topics.Update] = {}
        self._reasons: dict[tuple[str, str, int], str] = {}  # why each cohort's version was released

    def subscribe(self) -> None:
        self._connection.subscribe(self._settings.birth)

    def heard(self, message: Message) -> None:
        """When Home Assistant starts, it is told everything again."""
        if message.topic == self._settings.birth and message.payload == ONLINE:
            self.begin_anew()

    def begin_anew(self) -> None:
        self._said.clear()

    def announce(self) -> None:
        """Devices that are new, and what has changed about the others."""
        for name in self._config.pipelines:
            released = {each.cohort: each.version for each in self._overview.releases(name, trust.STABLE)}
            for device in self._registry.devices(name):
                key, update = (name, device.device), self._update(name, device, released)
                if key not in self._said:
                    self._publish(self._topic(*key), self._discovery(*key))
                if self._said.get(key) != update:
                    self._publish(self._levels(topics.UPDATE, *key), topics.encode(update))
                    self._said[key] = update

    def remove(self, pipeline: str, device: str) -> None:
        """An empty message takes the device out of Home Assistant."""
        self._said.pop((pipeline, device), None)
        for topic in (self._topic(pipeline, device), self._levels(topics.UPDATE, pipeline, device)):
            self._publish(topic, b"")

    def _update(self, name: str, device: Device, released: dict[str, int]) -> topics.Update:
        """A device of a canary is ahead of what all have: then that is the newest for it. For one that is
        pinned there is none."""
        latest = device.version if device.pinned else max(released.get(device.cohort, 0), device.version)
        return topics.Update(
            str(device.version),
            str(latest),
            f"{name} student",
            self._reason(name, device.cohort, latest),
        )

    def _reason(self, name: str, cohort: str, number: int) -> str:
        key = (name, cohort, number)
        if key not in self._reasons:
            found = self._registry.version(*key)
            reason = found.provenance.get("gate", {}).get("reason", "") if found else ""
            self._reasons[key] = reason[:SUMMARY]
        return self._reasons[key]

    def _discovery(self, pipeline: str, device: str) -> bytes:
        classes, expire = self._config.pipelines[pipeline].classes, self._settings.expire
        return msgspec.json.encode(discovery(self._config.prefix, pipeline, device, classes, expire))

    def _topic(self, pipeline: str, device: str) -> str:
        name = identifier(self._config.prefix, pipeline, device)
        return f"{self._settings.discovery_prefix}/device/{name}/config"

    def _levels(self, topic: topics.Topic, pipeline: str, device: str) -> str:
        return topic.of(prefix=self._config.prefix, pipeline=pipeline, device=device)

    def _publish(self, topic: str, payload: bytes) -> None:
        self._connection.publish(topic, payload, retain=True)

"""What Home Assistant's documentation says of a discovery payload, as a JSON schema, and of its topics.

- device discovery, origin, device, availability, topics: https://www.home-assistant.io/integrations/mqtt/
  (sections "Discovery topic", "Device discovery payload", "Using availability topics")
- a sensor's options: https://www.home-assistant.io/integrations/sensor.mqtt/
- an update entity's options and the JSON of its state: https://www.home-assistant.io/integrations/update.mqtt/
- entity categories: https://developers.home-assistant.io/docs/core/entity/#generic-properties

Unknown options are ignored there; here they are refused, so that a slip of the pen is found.
"""

from typing import Any

DISCOVERY_TOPIC = r"homeassistant/device/[a-zA-Z0-9_-]+/config"

TEXT = {"type": "string", "minLength": 1}
TOPIC = {"type": "string", "pattern": "^[^+#\u0000]+$"}
TEMPLATE = {"type": "string", "pattern": r"\{\{.*\}\}"}

ABOUT = (
    "name", "manufacturer", "model", "model_id", "hw_version", "sw_version", "serial_number",
    "suggested_area", "via_device", "configuration_url",
)  # fmt: skip

DEVICE = {
    "type": "object",
    "properties": dict.fromkeys(ABOUT, TEXT)
    | {"identifiers": {"type": "array", "items": TEXT, "minItems": 1}},
    "required": ["identifiers", "name"],
    "additionalProperties": False,
}

ORIGIN = {
    "type": "object",
    "properties": {"name": TEXT, "sw_version": TEXT, "support_url": TEXT},
    "required": ["name"],
    "additionalProperties": False,
}

AVAILABILITY = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "topic": TOPIC,
            "value_template": TEMPLATE,
            "payload_available": TEXT,
            "payload_not_available": TEXT,
        },
        "required": ["topic"],
        "additionalProperties": False,
    },
}

_ENTITY: dict[str, Any] = {
    "unique_id": TEXT,
    "name": {"type": ["string", "null"]},
    "entity_category": {"enum": ["diagnostic", "config"]},
    "state_topic": TOPIC,
    "value_template": TEMPLATE,
    "icon": {"type": "string", "pattern": "^mdi:"},
    "enabled_by_default": {"type": "boolean"},
}

SENSOR = {
    "type": "object",
    "properties": _ENTITY
    | {
        "platform": {"const": "sensor"},
        "entity_category": {"const": "diagnostic"},  # "must be `diagnostic` for sensors"
        "device_class": TEXT,
        "options": {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
        "state_class": {"enum": ["measurement", "total", "total_increasing"]},
        "unit_of_measurement": TEXT,
        "suggested_display_precision": {"type": "integer", "minimum": 0},
        "expire_after": {"type": "integer", "minimum": 0},
        "force_update": {"type": "boolean"},
    },
    "required": ["platform", "unique_id", "state_topic"],
    "additionalProperties": False,
    # "The sensor's `device_class` must be set to `enum`. The `options` option cannot be used together with
    # `state_class` or `unit_of_measurement`."
    "dependentSchemas": {
        "options": {
            "properties": {
                "device_class": {"const": "enum"},
                "state_class": False,
                "unit_of_measurement": False,
            },
            "required": ["device_class"],
        }
    },
}

UPDATE = {
    "type": "object",
    "properties": _ENTITY
    | {
        "platform": {"const": "update"},
        "device_class": {"const": "firmware"},
        "latest_version_topic": TOPIC,
        "latest_version_template": TEMPLATE,
        "title": TEXT,
        "release_summary": {"type": "string", "maxLength": 255},
        "release_url": TEXT,
        "command_topic": TOPIC,
        "payload_install": TEXT,
    },
    "required": ["platform", "unique_id"],
    "additionalProperties": False,
}

PAYLOAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "device": DEVICE,
        "origin": ORIGIN,
        "availability": AVAILABILITY,
        "availability_mode": {"enum": ["all", "any", "latest"]},
        "components": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "properties": {"platform": {"enum": ["sensor", "update"]}},
                "required": ["platform"],
                "if": {"properties": {"platform": {"const": "sensor"}}},
                "then": SENSOR,
                "else": UPDATE,
            },
        },
        "state_topic": TOPIC,
        "command_topic": TOPIC,
        "qos": {"enum": [0, 1, 2]},
        "encoding": {"type": "string"},
    },
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
}

# What the page on MQTT update says of a JSON payload on its `state_topic`.
UPDATE_STATE = {
    "type": "object",
    "properties": {
        "installed_version": TEXT,
        "latest_version": TEXT,
        "title": {"type": "string"},
        "release_summary": {"type": "string", "maxLength": 255},
        "release_url": TEXT,
        "entity_picture": TEXT,
    },
    "required": ["installed_version", "latest_version"],
    "additionalProperties": False,
}

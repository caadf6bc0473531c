"""Sensors that devices announce to Home Assistant, to write a configuration from.

See home-assistant.io, "MQTT", sections "Discovery messages", "Discovery payload" and "Using abbreviations in
MQTT discovery messages". A component is announced on
homeassistant/<component>/[<node_id>/]<object_id>/config, a device with all its components on
homeassistant/device/[<node_id>/]<object_id>/config.
"""

import re
from typing import Any, NamedTuple

from iot_stream.errors import DataError
from iot_stream.formats.json_paths import parse_json

ABBREVIATIONS = {
    "avty_t": "availability_topic", "cmps": "components", "dev": "device", "dev_cla": "device_class",
    "exp_aft": "expire_after", "ids": "identifiers", "p": "platform", "stat_cla": "state_class",
    "stat_t": "state_topic", "uniq_id": "unique_id", "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
}  # fmt: skip
MOST = 1000  # components of a device
LONGEST = 65_535  # bytes of a topic
SHARED = ("state_topic", "availability_topic", "~")  # by the components of a device
_VALUE = re.compile(r"\s*(value(?:_json)?)((?:\.\w+|\[[^\[\]]+\])*)\s*")
_STEP = re.compile(r"\.(\w+)|\[\s*(?:'([^'\"]+)'|\"([^'\"]+)\"|(\d+))\s*\]")
_FILTER = re.compile(r"\s*(?:float|int|round|default|d|is_defined)\s*(?:\([^()]*\))?\s*")  # still that value


class Sensor(NamedTuple):
    """What is announced of one value. `path` is where it is in a message on `topic`: $.a.b, or $ where the
    payload is the value; empty where only `template`, in Jinja, says it."""

    topic: str
    path: str
    name: str
    device: str
    component: str
    unit: str = ""
    device_class: str = ""
    state_class: str = ""
    unique_id: str = ""
    template: str = ""
    availability: str = ""
    expire_after: float = 0.0


def sensors(topic: str, payload: bytes, prefix: str = "homeassistant") -> list[Sensor]:
    """What a message announces that has a state topic; nothing, if it is no announcement or takes one back.

    Raises DataError.
    """
    levels = topic.removeprefix(f"{prefix}/").split("/")
    if not topic.startswith(f"{prefix}/") or len(levels) not in (3, 4) or levels[-1] != "config":
        return []
    if not payload:
        return []
    config = _config(parse_json(payload, topic[:200]))
    if not config:
        raise DataError("wrong_type", f"{topic[:200]}: no JSON object of a component or a device")
    about = _config(config.get("device"))
    identifiers = about.get("identifiers")
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else identifiers
    device = _text(about.get("name")) or _text(first)
    if levels[0] != "device":
        return _sensor(config, levels[0], levels[-2], device)
    components = config.get("components")
    if isinstance(components, dict) and len(components) > MOST:
        raise DataError("too_large", f"{topic[:200]}: {len(components)} components, at most {MOST}")
    shared = {name: config[name] for name in SHARED if name in config}
    found = []
    for identity, component in components.items() if isinstance(components, dict) else ():
        own = _config(component)
        if own.keys() > {"platform"}:  # with nothing but it, a component is taken back
            found += _sensor(shared | own, _text(own.get("platform")), identity, device)
    return found


def _sensor(config: dict[str, Any], component: str, identity: str, device: str) -> list[Sensor]:
    base = _text(config.get("~"))
    topic = _expanded(_text(config.get("state_topic")), base)
    if not 0 < len(topic) <= LONGEST or len(base) > LONGEST:
        return []
    template = _text(config.get("value_template"))
    kind, expire = _text(config.get("device_class")), config.get("expire_after")
    return [
        Sensor(
            topic=topic,
            path=path_of(template),
            name=_text(config.get("name")) or kind or identity,
            device=device,
            component=component,
            unit=_text(config.get("unit_of_measurement")),
            device_class=kind,
            state_class=_text(config.get("state_class")),
            unique_id=_text(config.get("unique_id")),
            template=template,
            availability=_expanded(_text(config.get("availability_topic")), base),
            expire_after=float(expire) if isinstance(expire, int | float) else 0.0,
        )
    ]


def path_of(template: str) -> str:
    """The path of a template like {{ value_json.a['b'] | float }}; empty where it is of another form."""
    if not template:
        return "$"
    inner = template.strip()
    if not inner.startswith("{{") or not inner.endswith("}}"):
        return ""
    value, *filters = inner[2:-2].removeprefix("-").removesuffix("-").split("|")
    match = _VALUE.fullmatch(value)
    if not match or not all(_FILTER.fullmatch(each) for each in filters):
        return ""
    if match[1] == "value":
        return "" if match[2] else "$"
    steps, position, path = match[2], 0, "$"
    while position < len(steps):
        step = _STEP.match(steps, position)
        if not step:
            return ""
        name = step[1] or step[2] or step[3] or ""
        path += f"[{step[4]}]" if step[4] else f".{name}" if name.isidentifier() else f'["{name}"]'
        position = step.end()
    return path


def _config(value: Any) -> dict[str, Any]:
    """With the names in full; empty if it is no object."""
    if not isinstance(value, dict):
        return {}
    return {ABBREVIATIONS.get(str(name), str(name)): told for name, told in value.items()}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _expanded(topic: str, base: str) -> str:
    """The topic with `~`, at its start or its end, replaced."""
    if base and topic.startswith("~"):
        return base + topic[1:]
    return topic[:-1] + base if base and topic.endswith("~") else topic

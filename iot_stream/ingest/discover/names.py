"""What names say: times, devices, quantities and their units, and what tells of the device alone."""

import re
from collections.abc import Iterable

from iot_stream.clock import SECOND, wall
from iot_stream.errors import DataError
from iot_stream.formats.json_paths import parse_time
from iot_stream.hygiene import AHEAD, EARLIEST

QUANTITIES = {
    "temperature": "°C", "temp": "°C", "dew_point": "°C", "humidity": "%", "soil_moisture": "%",
    "moisture": "%", "pressure": "hPa", "co2": "ppm", "carbon_dioxide": "ppm", "voc": "ppb", "tvoc": "ppb",
    "pm1": "µg/m³", "pm25": "µg/m³", "pm2_5": "µg/m³", "pm10": "µg/m³", "illuminance": "lx",
    "illuminance_lux": "lx", "lux": "lx", "light": "", "power": "W", "apower": "W", "energy": "kWh",
    "current": "A", "voltage": "V", "frequency": "Hz", "acc": "", "acceleration": "", "gyro": "",
    "vibration": "", "noise": "", "sound": "", "motion": "", "occupancy": "", "presence": "", "contact": "",
    "speed": "", "rpm": "", "flow": "", "level": "", "weight": "", "distance": "", "wind": "", "rain": "",
    "ph": "",
}  # fmt: skip
"""Quantity → the unit that it mostly has."""

HIGHEST_VOLTS = 1000
"""Of what sensors are fed with; Zigbee's batteries tell 3000, in mV."""

WORDS = frozenset((
    "state", "status", "data", "telemetry", "tele", "stat", "sensor", "sensors", "reading", "readings",
    "value", "values", "measurement", "measurements", "json", "up", "uplink", "event", "events", "update",
    "raw", "sensor_data", "message", "messages", "info", "line", "lines", "frame", "image", "picture",
    "pack", "csv", "cbor", "senml",
))  # fmt: skip
"""Levels of topics that say what is told, not by whom."""

TIMES = (
    "time", "ts", "timestamp", "datetime", "date", "last_seen", "at", "t", "time_stamp", "utc", "when",
    "created_at", "tst", "received_at", "measured_at", "sampled_at", "event_time", "from", "since", "start",
    "begin", "start_time", "started_at",
)  # fmt: skip
ENDS = ("until", "to", "end", "till", "stop", "end_time", "stop_time", "ended_at")
"""Fields with the end of what began at a time."""
DEVICES = (
    "device", "device_id", "dev", "dev_eui", "deveui", "devid", "device_name", "deviceid", "sensor",
    "sensor_id", "node", "node_id", "host", "machine", "asset", "serial", "sn", "mac", "id",
)  # fmt: skip
LABELS = ("name", "alias", "label")
"""Fields that name a device where they tell several apart."""
_HEALTH = re.compile(
    r"link_?quality|lqi|rssi|.*_rssi|snr|signal(_.*)?|wifi.*|batt(ery.*)?|uptime.*|heap.*|free_?(mem|heap).*|ram_.*"
    r"|(fw|sw|hw|firmware|software|hardware)(_.*)?|.*version|update.*|seq|sequence|boot|f_?cnt|f_?port|counter"
    r"|id|.*_id|msg_?id|.*timestamp|time|ts|last_.*|epoch|loadavg|mqtt_count|restart.*|reset.*|retr(y|ies).*|port|sleep"
    r"|bdseq|schema|device_temperature|vcc|vbat|power_outage_count|.*_calibration"
)
_OF_DEVICE = re.compile(r"(battery|devicepower|wifi|update|rx_metadata|tx_info|settings|esp32)(_\d+)?$")
_BATTERY = re.compile(r"batt(ery.*)?")
_FLOWS = re.compile(
    r"(?!tx_|transmit_|low_)(.*_)?(a?power|current|energy)(_(\d+|l\d|[a-c]|phase_\w|left|right|total))?"
)
_RANGE = re.compile(r"\[\d+-\d+\]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PIECES = re.compile(r"[^\w]+")
_OFFSET = re.compile(r"(Z|[+-]\d\d(:?\d\d)?)$", re.IGNORECASE)


def plain(name: str) -> str:
    """A name in small letters, its words parted by `_`: CarbonDioxide becomes carbon_dioxide."""
    return _PIECES.sub("_", _CAMEL.sub("_", name)).strip("_").lower()


def measures_nothing(place: str, beside: Iterable[str] = ()) -> bool:
    """Whether a path or name tells how the device is, or when and by whom something was said, not what is
    measured. `beside`: what else the device tells, which says whether a voltage is its own battery's."""
    *outer, last = pieces(place)
    if last == "voltage" and _is_fed_by_battery(beside):
        return True
    return bool(_HEALTH.fullmatch(last)) or any(map(_OF_DEVICE.match, outer))


def _is_fed_by_battery(places: Iterable[str]) -> bool:
    """A meter on a battery tells what flows, too."""
    names = [pieces(place)[-1] for place in places]
    return any(map(_BATTERY.fullmatch, names)) and not any(map(_FLOWS.fullmatch, names))


def is_range(place: str) -> bool:
    """Whether a configuration would take a name for several, as s[00-15]."""
    return bool(_RANGE.search(place))


def pieces(place: str) -> list[str]:
    """$.acc["a b"][0] as its names; a number stays with the name before it: ["acc", "a_b_0"]."""
    found: list[str] = []
    for piece in (plain(each) for each in re.split(r"[./\[]", place)):
        if piece.isdigit() and found:
            found[-1] += f"_{piece}"
        elif piece:
            found.append(piece)
    return found or ["value"]


def channel_names(places: Iterable[str], part: str = "") -> dict[str, str]:
    """Channel → place: the last name of each, and more of them where that is not enough to tell them apart.

    `part` stands before all, and in place of names that say nothing.
    """
    named: dict[str, str] = {}
    places = list(places)
    split = {place: [plain(part) or "part", *pieces(place)] if part else pieces(place) for place in places}
    ends: dict[str, int] = {}
    for names in split.values():
        ends[names[-1]] = ends.get(names[-1], 0) + 1
    for place, names in split.items():
        if part:
            name = names[0] if names[1:] in (["value"], [names[0]]) else "_".join(names)
        else:
            name = names[-1] if ends[names[-1]] == 1 else "_".join(names)
        name = f"n{name}" if name[0].isdigit() else name
        unique, again = name, 2
        while unique in named:
            unique, again = f"{name}_{again}", again + 1
        named[unique] = place
    return named


def unit_of(channel: str, highest: float = 0) -> str:
    """That it mostly has, for its highest value."""
    if channel == "voltage" and highest > HIGHEST_VOLTS:
        return "mV"
    return QUANTITIES.get(channel, "")


def is_moment(value: object) -> bool:
    """Whether a time that is possible is told."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return False
    if isinstance(value, str) and len(value) < 8:
        return False
    try:
        return EARLIEST <= parse_time(value, "UTC") <= wall() + AHEAD
    except DataError:
        return False


def zone_note(told: Iterable[tuple[object, int]]) -> str:
    """What is to be said of (time as told, arrival in ns) that name no zone; empty where they do."""
    naive = [(text, arrived) for text, arrived in told if isinstance(text, str) and _is_naive(text)]
    if not naive:
        return ""
    text, arrived = naive[-1]
    quarters = round((parse_time(text, "UTC") - arrived) / (900 * SECOND))
    ahead = f"; they are {quarters / 4:+g} h from UTC" if quarters and abs(quarters) <= 56 else ""
    return f"zone: Europe/Berlin, say: its times, as {text}, name no zone and are read as UTC{ahead}"


def _is_naive(text: str) -> bool:
    return is_moment(text) and ":" in text and not _OFFSET.search(text)

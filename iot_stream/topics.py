"""The one table of topics and payloads: who writes what, where, kept or not.

Everything that iot-stream says over MQTT is here; `docs/protocol.md` is checked against it.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

ROOT_LEVELS = "{prefix}/{pipeline}"
REST = "...}"

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
Time = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1, description="ns since 1970 UTC")]


class Telemetry(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Readings of one device: numbered from `seq` within `boot`, columns of equal length.

    Times in nanoseconds since 1970 UTC: either `time` of the first reading with `step` between
    readings, or `times` of each.
    """

    channels: dict[str, list[float | None]]
    boot: Annotated[str, msgspec.Meta(max_length=64)] = ""
    seq: Annotated[int, msgspec.Meta(ge=-1, lt=2**62)] = -1
    time: int = -1
    step: int = 0
    times: list[int] = []


class LabelMessage(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Ground truth for a moment (`time`) or an interval (`time` to `until`), in nanoseconds.

    `value`: a class, or its index from 0.
    """

    time: int
    value: str | int
    until: int = 0


class Prediction(msgspec.Struct, omit_defaults=True, rename={"klass": "class"}):
    """What the device says of its newest window, and of those cut from the same message before it.

    `time`: of the window's last reading; `p`: the certainty. `earlier`: time, class and certainty of each.
    """

    time: Time
    klass: str
    p: float
    version: Count
    earlier: list[tuple[Time, str, float]] = []


class Status(msgspec.Struct, omit_defaults=True):
    """Retained; Last Will is `online: false`. `version` is what runs, 0 before the first model.

    `runtime`: what runs its models. `boot` names this run of its process. `max_packet`: bytes of the largest
    message that it takes, 0 for any. `signed`: slot → the highest count of signings that it has seen there;
    it takes no bundle that counts less. `pinned`: it stays at its version, as it was told.
    """

    online: bool
    version: Count = 0
    cohort: str = ""
    runtime: str = ""
    boot: str = ""
    max_packet: Count = 0
    signed: dict[str, Count] = {}
    pinned: bool = False


class Report(msgspec.Struct, omit_defaults=True):
    """An event of a device: `applied`, `rejected`, `rolled_back` or `health`.

    `version` runs, `previous` ran before, `offered` is what it refused, for a `reason`, with a `detail` for
    people. `swap_us`: how long readings waited while models changed. `readings` and `windows`: how many
    there were since its process began. In `health`, `infer_us` is the median time of an inference and
    `mean_p` the mean certainty, both of its last windows.
    """

    event: str
    time: Time
    version: Count = 0
    previous: Count = 0
    offered: Count = 0
    reason: str = ""
    detail: str = ""
    swap_us: float = 0.0
    readings: Count = 0
    windows: Count = 0
    mean_p: float = 0.0
    infer_us: float = 0.0


class Update(msgspec.Struct, omit_defaults=True):
    """Retained, where `homeassistant` is set: the version that the device runs, and the newest for it.

    Named as Home Assistant's update entity knows them. `release_summary`: why the newest was released.
    """

    installed_version: str
    latest_version: str
    title: str = ""
    release_summary: str = ""


class Cohort(msgspec.Struct, omit_defaults=True):
    """Retained, from the service: which cohort's model the device follows. `pinned`: it stays at the version
    that it runs, or at the first that it gets, until it is told otherwise."""

    cohort: str
    pinned: bool = False


READY = "rounds can begin"
"""Detail of the last word of what comes before the first round, each time that a distiller has started."""


class RoundEvent(msgspec.Struct, omit_defaults=True):
    """A step of a round: `started`, `progress`, `gated`, `released`, `rejected`, `failed`.

    `trigger`: why it began; `stage`: how far it is; `version`: what it released.
    """

    event: str
    round: str
    time: Time
    cohort: str = "all"
    trigger: str = ""
    stage: str = ""
    version: Count = 0
    detail: str = ""


class Service(msgspec.Struct, omit_defaults=True):
    """Retained, Last Will `online: false`: which part of the service runs where.

    `instance` names its process on `host`; `since`: when that began or, as it says itself, ended. `fault`
    says why it holds its work back, while it does. A publisher that hears another instance there say
    `online: false` says itself again: so a second one asks whether the first is alive, or only retained.
    """

    online: bool
    instance: str
    host: str = ""
    since: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Topic:
    """One row of the table. `template` under the prefix; `payload` a struct sent as JSON, or bytes."""

    template: str
    payload: type[msgspec.Struct] | type[bytes]
    writer: str
    retained: bool
    meaning: str

    def of(self, **levels: str) -> str:
        return self.template.format(**levels)

    def pattern(self, **levels: str) -> str:
        """The subscription that matches this topic for every level that is not given."""
        return self.template.format_map(_Plus(levels))

    def levels(self, topic: str) -> dict[str, str] | None:
        """The named levels of a concrete topic, or None if it is not of this kind."""
        return match(self.template, topic)


class _Plus(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "+"


def match(template: str, topic: str) -> dict[str, str] | None:
    """Levels of `topic` named by `{…}` in `template`; `+` matches any one level, a last `{name...}` all that
    are left."""
    wanted, given = template.split("/"), topic.split("/")
    if wanted[-1].endswith(REST) and len(given) >= len(wanted):
        given[len(wanted) - 1 :] = ["/".join(given[len(wanted) - 1 :])]
    if len(wanted) != len(given):
        return None
    levels: dict[str, str] = {}
    for want, have in zip(wanted, given, strict=True):
        if want.startswith("{") and want.endswith("}"):
            levels[want[1:-1].removesuffix("...")] = have
        elif want not in ("+", have):
            return None
    return levels


def filter_of(template: str) -> str:
    """The subscription that brings all topics of a template."""
    levels = template.split("/")
    rest = levels[-1].endswith(REST)
    given = ["+" if level.startswith("{") else level for level in levels]
    return "/".join([*given[:-1], "#"] if rest else given)


def covers(wide: str, narrow: str) -> bool:
    """Whether one subscription brings all that another does."""
    ours, theirs = wide.split("/"), narrow.split("/")
    for place, level in enumerate(ours):
        if level == "#":
            return True
        if place == len(theirs) or theirs[place] == "#" or level not in ("+", theirs[place]):
            return False
    return len(ours) == len(theirs)


_DEVICE = ROOT_LEVELS + "/device/{device}/"

TELEMETRY = Topic(_DEVICE + "telemetry", Telemetry, "device", False, "readings (the default source)")
LABEL = Topic(_DEVICE + "label", LabelMessage, "anyone who knows", False, "ground truth")
PREDICTION = Topic(
    _DEVICE + "prediction", Prediction, "device", False, "what the student says of each window"
)
SAMPLE = Topic(
    _DEVICE + "sample", bytes, "device", False, "where links cost: some windows, and a summary of the rest"
)
STATUS = Topic(_DEVICE + "status", Status, "device", True, "online or not, the version it runs; Last Will")
REPORT = Topic(_DEVICE + "report", Report, "device", False, "applied, rejected, rolled back, health")
COHORT = Topic(
    _DEVICE + "cohort",
    Cohort,
    "publisher",
    True,
    "the cohort that it follows; whether it is pinned",
)
UPDATE = Topic(_DEVICE + "update", Update, "publisher", True, "the version it runs, and the newest for it")
BUNDLE = Topic(
    ROOT_LEVELS + "/model/{cohort}/{slot}/bundle",
    bytes,
    "publisher",
    True,
    "signed metadata, small artifacts",
)
BLOB = Topic(ROOT_LEVELS + "/blob/{sha256}/{n}", bytes, "publisher", True, "an artifact, by its content")
ROUND = Topic(ROOT_LEVELS + "/round/{round}", RoundEvent, "distiller, publisher", False, "steps of a round")
SERVICE = Topic("{prefix}/service/{part}", Service, "each part", True, "which part runs where; Last Will")

TABLE = {name: value for name, value in sorted(globals().items()) if isinstance(value, Topic)}


# Made here, and not by the threads that decode: what msgspec knows of a type is not whole while it is built.
_DECODERS = {topic.payload: msgspec.json.Decoder(topic.payload) for topic in TABLE.values()}


def encode(payload: msgspec.Struct) -> bytes:
    return msgspec.json.encode(payload)


def decode(kind: type[Any], payload: bytes) -> Any:
    """The typed payload; raises msgspec.DecodeError (of which ValidationError is one)."""
    try:
        return _DECODERS[kind].decode(payload)
    except (UnicodeDecodeError, RecursionError) as error:  # msgspec lets these two through
        raise msgspec.DecodeError(str(error)) from error

"""What a model is: a built-in architecture, a factory of the user's, an ONNX file, or what a topic says."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from iot_stream.address import Settings
from iot_stream.errors import ConfigError, nearest
from iot_stream.formats.source import Source
from iot_stream.formats.values import STATES
from iot_stream.states import Hold
from iot_stream.units import Duration

TOPIC, ONNX = "topic", "onnx"
WAYS = ("arch", "factory", ONNX, TOPIC)


class TopicTeacher(Settings, frozen=True):
    """Whatever tells classes or their probabilities over MQTT. One of `value`, `probability` and
    `probabilities` says where in a message, as the format has it."""

    topic: Annotated[str, Meta(description="Topic of its words; {device} names the device that they are of")]
    format: Annotated[str, Meta(description="The dialect, as of `sources`")] = "json"
    value: Annotated[
        str,
        Meta(description="Where the class is: its name, its index, or true and on for the second of two"),
    ] = ""
    values: Annotated[
        dict[str | bool | int, str],
        Meta(description="What it says → the class that it means, as {occupied: present, 0: empty}"),
    ] = field(default_factory=dict)
    probability: Annotated[str, Meta(description="Where the probability of one of two classes is")] = ""
    of: Annotated[str, Meta(description="The class that `probability` is of; default: the second")] = ""
    probabilities: Annotated[
        dict[str, str], Meta(description="Class → where its probability is; for all classes")
    ] = field(default_factory=dict)
    device: Annotated[str, Meta(description="As of `sources`")] = ""
    devices: Annotated[
        dict[str, tuple[str, ...] | str],
        Meta(description="As of `sources`: which devices a camera or a room teaches"),
    ] = field(default_factory=dict)
    time: Annotated[str, Meta(description="Path of the time; left out: time of arrival")] = ""
    zone: Annotated[str, Meta(description="Time zone of times that name none")] = "UTC"
    hold: Annotated[
        Duration | None,
        Meta(description="A word holds no longer than this; left out: until the next one"),
    ] = None

    @property
    def channels(self) -> tuple[str, ...]:
        """What its words are called as channels: `teacher`, or `teacher_CLASS` for each."""
        return tuple(f"teacher_{name}" for name in self.probabilities) or ("teacher",)

    @property
    def holds(self) -> tuple[Hold, ...]:
        return tuple(Hold(name, int(self.hold or 0)) for name in self.channels)

    def source(self, classes: tuple[str, ...]) -> Source:
        """Raises ConfigError for what does not fit the classes."""
        ways = [bool(self.value), bool(self.probability), bool(self.probabilities)]
        if sum(ways) != 1:
            raise ConfigError("a topic teaches by one of `value`, `probability` and `probabilities`")
        if self.probability and len(classes) != 2:
            raise ConfigError("`probability` is for two classes; write `probabilities`, one for each")
        if self.probabilities and set(self.probabilities) != set(classes):
            raise ConfigError(f"probabilities: are needed for {', '.join(classes)}, and for them alone")
        for name in [*self.values.values(), *([self.of] if self.of else [])]:
            if name not in classes:
                raise ConfigError(f"no class {name!r}; {nearest(name, classes)}")
        paths = list(self.probabilities.values()) or [self.value or self.probability]
        return Source(
            topic=self.topic,
            format=self.format,
            device=self.device,
            devices=self.devices,
            channels=dict(zip(self.channels, paths, strict=True)),
            values=self._words(classes) if self.value else {},
            time=self.time,
            zone=self.zone,
        )

    def _words(self, classes: tuple[str, ...]) -> dict[str, float]:
        words = {name: float(index) for index, name in enumerate(classes)}
        for said, name in self.values.items():
            # YAML reads on, off, yes and no as true and false too: each means all words for that state.
            alike = [word for word, state in STATES.items() if state == said] if said in (True, False) else []
            for word in alike if isinstance(said, bool) else [str(said)]:
                words[word] = float(classes.index(name))
        return words


class Network:
    """A model's `arch`, the channels that it sees, and its own options.

    `arch` is the name of a built-in one, `module:function` of a factory, `onnx` or `topic`. No dataclass:
    msgspec would fill one by itself, past `parse`, and drop the options.
    """

    def __init__(
        self, arch: str, channels: tuple[str, ...] = (), options: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        self.arch, self.channels, self.options = arch, channels, options

    def __repr__(self) -> str:
        return f"Network({self.arch!r}, {self.channels!r}, {self.options!r})"

    @classmethod
    def parse(cls, data: object) -> "Network":
        """Raises ConfigError."""
        ways = [name for name in WAYS if isinstance(data, dict) and name in data]
        if not isinstance(data, dict) or len(ways) != 1 or not isinstance(data[ways[0]], str):
            raise ConfigError(
                "a model is {arch: …, channels: […], …}, or {factory: …}, {onnx: …}, {topic: …}"
            )
        (way,) = ways
        if way == TOPIC:
            return cls(TOPIC, (), ((TOPIC, _topic(data)),))
        channels = data.get("channels", [])
        if not isinstance(channels, list) or not all(isinstance(name, str) for name in channels):
            raise ConfigError("channels: a list of names is expected")
        if way == "factory" and not all(data[way].partition(":")):
            raise ConfigError(f"factory: {data[way]!r} is no module:function")
        rest = {key: value for key, value in data.items() if key not in ("arch", "factory", "channels")}
        return cls(ONNX if way == ONNX else data[way], tuple(channels), tuple(sorted(rest.items())))

    @property
    def topic(self) -> TopicTeacher | None:
        """What makes a topic a teacher, if this is one."""
        return dict(self.options)[TOPIC] if self.arch == TOPIC else None

    @property
    def own(self) -> bool:
        """A factory of the user's."""
        return ":" in self.arch

    def beside(self, folder: Path) -> "Network":
        """With files, here and among an ensemble's members, where the configuration is that names them."""
        options = dict(self.options)
        if self.arch == ONNX:
            options[ONNX] = str(folder / options[ONNX])
        if isinstance(members := options.get("members"), list):
            options["members"] = [
                each | {ONNX: str(folder / each[ONNX])}
                if isinstance(each, dict) and isinstance(each.get(ONNX), str)
                else each
                for each in members
            ]
        return Network(self.arch, self.channels, tuple(sorted(options.items())))


def _topic(data: dict[str, Any]) -> TopicTeacher:
    names = [each.encode_name for each in msgspec.structs.fields(TopicTeacher)]
    for name in data:
        if name not in names:
            raise ConfigError(f"a topic as teacher has no `{name}`; {nearest(str(name), names, '`')}")
    try:
        return msgspec.convert(data, TopicTeacher, dec_hook=lambda kind, value: kind.parse(value))
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error

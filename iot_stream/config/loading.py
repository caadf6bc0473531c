"""A configuration from its file; what it does not know is refused with the line and the nearest name."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from iot_stream.address import DEVICES, Address, Broker, Settings, login_name, without_password
from iot_stream.config import names
from iot_stream.config.cohorts import RAY
from iot_stream.config.network import ONNX, Network
from iot_stream.config.ranges import expanded
from iot_stream.config.recordings import Recordings
from iot_stream.config.settings import Pipeline
from iot_stream.config.uploading import device_upload
from iot_stream.config.watching import Dashboard, HomeAssistant, Metrics
from iot_stream.derive import Derived
from iot_stream.errors import ConfigError, DataError, nearest
from iot_stream.formats import channels_of, decoder, format_of
from iot_stream.formats.json_paths import Path as JsonPath
from iot_stream.formats.json_paths import parse_time, time_zone
from iot_stream.formats.source import Source
from iot_stream.readings import spoken_name
from iot_stream.units import Delay, Duration, Percent, Rate, Size, Spending
from iot_stream.yaml_lines import Lines, convert, line_of
from iot_stream.yaml_lines import load as load_yaml


class Config(Settings, frozen=True):
    """One service: a broker, a store, pipelines."""

    base: Annotated[
        str,
        Meta(description="Another file beside this one, whose settings hold where this one says nothing"),
    ] = ""
    broker: Annotated[Broker | str, Meta(description="A URL, or {url, user, password, ca}")] = Broker()
    store: Annotated[
        str,
        Meta(
            description="sqlite:///folder (sqlite:folder: in this file's folder), or PostgreSQL: "
            "postgresql://user:password@host/database"
        ),
    ] = "sqlite:///var/lib/iot-stream"
    keys: Annotated[
        str,
        Meta(
            description="Folder of the keys that sign releases, from this file's; default: keys in that of "
            "an SQLite store, /var/lib/iot-stream/keys with PostgreSQL"
        ),
    ] = ""
    store_limit: Annotated[
        Size,
        Meta(description="When the store holds more, its oldest readings and windows go, whatever their age"),
    ] = Size(20 * 10**9)
    prefix: Annotated[str, Meta(pattern=r"^[^+#\s/]+$", description="First level of all topics")] = "iot"
    metrics: Annotated[
        Metrics | None,
        Meta(
            description="`serve` answers Prometheus, as {} says at port 9464 of loopback; left out: it opens "
            "no port"
        ),
    ] = None
    homeassistant: Annotated[
        HomeAssistant | None,
        Meta(description="Announce each device to Home Assistant, as {} says; left out: no"),
    ] = None
    dashboard: Annotated[
        Dashboard | None,
        Meta(
            description="`serve` shows itself in a browser, as {} says at port 8480 of loopback; left out: "
            "it opens no port"
        ),
    ] = None
    pipelines: Annotated[dict[str, Pipeline], Meta(description="Name → pipeline")] = field(
        default_factory=dict
    )

    @property
    def access(self) -> Broker:
        return Broker(url=self.broker) if isinstance(self.broker, str) else self.broker

    @property
    def address(self) -> Address:
        """Raises ConfigError, also where each part has a login of its own: see `as_part`."""
        return self.access.address()

    def as_part(self, part: str) -> "Config":
        """As a part of the service sees it, that logs in with its own login where it has one; raises
        ConfigError."""
        return msgspec.structs.replace(self, broker=self.access.login(part))

    def as_device(self, pipeline: str, device: str) -> "Config":
        """As `as_part`, for a device."""
        return self.as_part(f"{DEVICES}/{pipeline}/{login_name(device)}")

    @property
    def store_place(self) -> Path | str:
        """SQLite's folder, or PostgreSQL's URL; raises ConfigError."""
        scheme, _, rest = self.store.partition(":")
        if scheme == "postgresql" and rest.startswith("//"):
            return self.store
        return self.store_folder

    @property
    def store_folder(self) -> Path:
        """Of an SQLite store; raises ConfigError."""
        scheme, _, rest = self.store.partition(":")
        if scheme != "sqlite" or not rest.strip("/"):
            shown = without_password(self.store)
            raise ConfigError(f"store: {shown!r} is neither sqlite:///folder nor postgresql://host/database")
        return Path(rest[2:] if rest.startswith("//") else rest)

    @property
    def keys_folder(self) -> Path:
        if self.keys:
            return Path(self.keys)
        place = self.store_place
        return (place if isinstance(place, Path) else Path("/var/lib/iot-stream")) / "keys"


def _hook(kind: type, data: object) -> object:
    if kind in (Delay, Duration, Percent, Rate, Size, Spending, Network):
        try:
            return kind.parse(data)
        except ConfigError as error:  # msgspec adds the path to a ValueError
            raise ValueError(str(error)) from error
    raise TypeError(f"no setting of type {kind}")


def load(path: Path, **changes: str) -> Config:
    """The configuration in a file, `changes` put over its top level; raises ConfigError with the place.

    Relative paths in the file are from its folder, those in `changes` from the working folder.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file; `iot-stream init` writes one, --config names another")
    data, lines = load_yaml(path)
    data = _upon_base(path, data, (path.resolve(),)) | changes
    given = data.pop("pipelines", None)
    top: Config = convert(data, Config, _hook, str(path), lines)
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"{path}:{line_of(lines, ('pipelines',))}: pipelines: at least one is needed")
    pipelines = {}
    for name, block in given.items():
        if not re.fullmatch(r"[\w.-]{1,64}", str(name)):
            raise ConfigError(
                f"{path}:{line_of(lines, ('pipelines', str(name)))}: {name!r}: letters, digits, . _ - only"
            )
        pipelines[str(name)] = _pipeline(path, str(name), block, lines, top.prefix)
    _one_cluster(path, pipelines, lines)
    config = msgspec.structs.replace(top, pipelines=pipelines, broker=top.access.beside(path.parent))
    if config.keys and "keys" not in changes:
        config = msgspec.structs.replace(config, keys=str(path.parent / config.keys))
    for name in ("broker", "store"):  # found here, not at the first connection
        try:
            if name == "store":
                place = config.store_place
                if isinstance(place, Path) and "store" not in changes:
                    config = msgspec.structs.replace(config, store=f"sqlite:{path.parent / place}")
            elif not config.access.logins:
                config.address  # noqa: B018
        except ConfigError as error:
            raise ConfigError(f"{path}:{line_of(lines, (name,))}: {error}") from error
    return config


def _one_cluster(path: Path, pipelines: dict[str, Pipeline], lines: Lines) -> None:
    """One process distils all pipelines, and can be in one cluster."""
    wanting = {name: each.cohorts.address for name, each in pipelines.items() if each.cohorts.engine == RAY}
    first = next(iter(wanting.values()), "")
    for name, address in wanting.items():
        if address != first:
            line = line_of(lines, ("pipelines", name, "cohorts", "address"))
            raise ConfigError(
                f"{path}:{line}: pipelines.{name}.cohorts.address: {address!r} is not {first!r}, as another "
                "pipeline has it; the service can be in one cluster"
            )


def _upon_base(path: Path, data: dict[str, Any], seen: tuple[Path, ...]) -> dict[str, Any]:
    """The settings of a file over those of its base; mappings are merged, all else is replaced."""
    if not isinstance(data.get("base"), str):
        return data
    base = path.parent / data["base"]
    if base.resolve() in seen:
        raise ConfigError(f"{path}: base: {data['base']} is based on this file itself")
    return _merged(_upon_base(base, load_yaml(base)[0], (*seen, base.resolve())), data)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            value = _merged(before, value)
        merged[key] = value
    return merged


def _pipeline(path: Path, name: str, block: Any, lines: Lines, prefix: str) -> Pipeline:
    at = ("pipelines", name)
    try:
        block = expanded(block, lines, at)
    except ConfigError as error:
        raise ConfigError(f"{path}:{error}") from error
    pipeline: Pipeline = convert(block, Pipeline, _hook, str(path), lines, at, Config)
    try:
        pipeline = _heard(pipeline)
    except ConfigError as error:
        line = line_of(lines, (*at, "teacher"))
        raise ConfigError(f"{path}:{line}: pipelines.{name}.teacher: {error}") from error
    for place, check in _checks(pipeline):
        try:
            check()
        except (ConfigError, DataError) as error:
            message = error.detail if isinstance(error, DataError) else str(error)
            if own := re.match(r"([\w.]+): (.*)", message, re.DOTALL):  # it names a nearer place
                for nearer in (own[1], f"{place}.{own[1]}"):
                    if (*at, *nearer.split(".")) in lines:
                        place, message = nearer, own[2]
            line = line_of(lines, (*at, *place.split(".")))
            raise ConfigError(f"{path}:{line}: pipelines.{name}.{place}: {message}") from error
    return _resolved(pipeline, prefix, name, path.parent)


def _heard(pipeline: Pipeline) -> Pipeline:
    """With a source more where a topic teaches: its words are readings as any."""
    if pipeline.student.topic or pipeline.student.arch == ONNX:
        raise ConfigError("a student has to be trained: {arch: …} or {factory: …}")
    told = pipeline.teacher.topic
    if told is None:
        return pipeline
    return msgspec.structs.replace(pipeline, sources=(*pipeline.sources, told.source(pipeline.classes)))


def _resolved(pipeline: Pipeline, prefix: str, name: str, folder: Path) -> Pipeline:
    """Topics with their prefix and pipeline written out, the teacher's files with their folder."""

    def resolve(topic: str) -> str:
        return topic.replace("{prefix}", prefix).replace("{pipeline}", name)

    replace = msgspec.structs.replace
    labels = pipeline.labels and replace(pipeline.labels, topic=resolve(pipeline.labels.topic))
    sources = tuple(
        replace(source, topic=resolve(source.topic or format_of(source.format).topic))
        for source in pipeline.sources
    )
    return replace(pipeline, sources=sources, labels=labels, teacher=pipeline.teacher.beside(folder))


def _checks(pipeline: Pipeline) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the types cannot say: a field, and what raises ConfigError or DataError if it is wrong."""
    teaching = len(pipeline.sources) - 1 if pipeline.teacher.topic else -1
    for i, source in enumerate(pipeline.sources):
        at = "teacher" if i == teaching else f"sources.{i}"
        yield f"{at}.zone", partial(time_zone, source.zone)
        yield at, partial(decoder, source, i)
        yield f"{at}.topic", partial(_source_topic, source)
        yield f"{at}.devices", partial(_can_be_heard, source)
        if source.host and source.format != "sparkplug":
            yield f"{at}.host", partial(_refuse, "is for format sparkplug")
        if bool(source.seq) != bool(source.boot):
            yield f"{at}.seq", partial(_refuse, "numbers need a boot id too: they start anew at a reboot")
    yield "derive", lambda: [Derived.parse(name, text) for name, text in pipeline.derive.items()]
    yield from names.checks(pipeline.distill.loss, pipeline.student, pipeline.teacher)
    yield "student", lambda: pipeline.cut(pipeline.student)
    yield "teacher", lambda: pipeline.cut(pipeline.teacher)
    yield "upload", partial(device_upload, pipeline)
    yield "window.required", lambda: _known_channels(pipeline, pipeline.window.required)
    yield "hygiene.limits", lambda: _known_channels(pipeline, pipeline.hygiene.limits)
    if labels := pipeline.labels:
        yield "labels.topic", partial(_device_level, labels.topic)
        yield "labels.zone", partial(time_zone, labels.zone)
        for name in ("value", "time", "until"):
            yield f"labels.{name}", partial(JsonPath, getattr(labels, name))
    if recordings := pipeline.recordings:
        yield from _recording_checks(recordings)
        for channel in recordings.late:
            yield f"recordings.late.{channel}", partial(_own_source, channel, recordings, pipeline)


def _recording_checks(recordings: Recordings) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "recordings.zone", partial(time_zone, recordings.zone)
    yield "recordings.match", partial(_expression, recordings.match)
    for name in ("order", "shuffle", "segments"):
        yield f"recordings.{name}", partial(_possible, name, recordings)
    for name in recordings.values:
        yield f"recordings.values.{name}", partial(_told_of, name, recordings)
    for place, part in recordings.parts.items():
        for end, moment in (("from", part.from_), ("to", part.to)):
            if moment:
                yield f"recordings.{place}.{end}", partial(parse_time, moment, recordings.zone)
    for channel, late in recordings.late.items():
        if channel not in recordings.channels:
            yield (
                f"recordings.late.{channel}",
                partial(_refuse, f"no channel {channel!r}; {nearest(channel, recordings.channels)}"),
            )
        if late.every <= 0:
            yield f"recordings.late.{channel}.every", partial(_refuse, "must be longer than nothing")


def _possible(name: str, recordings: Recordings) -> None:
    """A column or field that orders, shuffles or tells apart, as far as can be known without the files."""
    wanted, fields = getattr(recordings, name), recordings.fields
    if not wanted or (name, wanted) == ("segments", "day"):
        return
    if recordings.time and name != "segments":
        raise ConfigError("is for recordings without times, and there is `time`")
    if name == "shuffle" and not recordings.columns_by_name:
        raise ConfigError("only rows of CSV or Parquet files can be shuffled")
    if wanted not in fields and (name == "order" or not recordings.columns_by_name):
        raise ConfigError(f"no field {wanted!r}; there are {', '.join(sorted(fields))}")


def _told_of(name: str, recordings: Recordings) -> None:
    used = recordings.fields | (recordings.told_by if recordings.columns_by_name else set())
    if name not in used:
        raise ConfigError(f"nothing asks for {name!r}; there are {', '.join(sorted(used))}")


def _own_source(channel: str, recordings: Recordings, pipeline: Pipeline) -> None:
    """A logger is read out on a topic of its own, all its channels at once."""
    carriers = [source for source in pipeline.sources if channel in source.channels]
    if not carriers:
        raise ConfigError(f"no source names {channel!r}; give it one, with a topic of its own")
    for source in carriers:
        for other in source.channels:
            if recordings.late.get(other) != recordings.late[channel]:
                raise ConfigError(f"its source carries {other!r} too, which comes at another time; part them")


def _known_channels(pipeline: Pipeline, names: Iterable[str]) -> None:
    used = {name for model in (pipeline.student, pipeline.teacher) for name in pipeline.cut(model).channels}
    known = used | {name for source in pipeline.sources for name in channels_of(source)}
    for name in names:
        if name not in known:
            raise ConfigError(f"no channel {name!r}; {nearest(name, known)}")


def _source_topic(source: Source) -> None:
    dialect = format_of(source.format)
    topic = source.topic or dialect.topic
    if not topic:
        raise ConfigError(f"is needed: format {source.format} is spoken anywhere")
    *levels, last = topic.split("/")
    if any("..." in level for level in levels) or "#" in topic:
        raise ConfigError(f"{topic!r}: what stands for all levels that are left is {{device...}}, at the end")
    if not source.device and not dialect.names_device:
        _device_level(topic, "/".join([*levels, last.replace("...}", "}")]))


def _can_be_heard(source: Source) -> None:
    """No name with a slash where the topic has one level for it. iot-stream's own topics write it as %2F."""
    topic = source.topic or format_of(source.format).topic
    if source.device or "{device}" not in topic.split("/") or "/device/{device}/" in topic:
        return
    for name in map(spoken_name, source.devices):
        if "/" in name:
            raise ConfigError(
                f"{name!r} is never heard on {topic!r}, where {{device}} is one level; {{device...}} at the "
                "end of a topic is all that are left"
            )


def _device_level(topic: str, levels: str = "") -> None:
    """`levels`: the topic, where {device...} counts as a level."""
    if (levels or topic).split("/").count("{device}") != 1 or "#" in topic:
        raise ConfigError(f"{topic!r} must have one level {{device}}, and no #")


def _expression(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ConfigError(f"not a regular expression: {text!r}: {error}") from error


def _refuse(message: str) -> None:
    raise ConfigError(message)

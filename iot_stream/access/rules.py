"""Who may say and hear what: written from the one table of topics, read from who needs it.

Writers stand in the table (`topics.TABLE`). Everybody who logs in is named here, with what they hear; topics
of other formats come from the configuration.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from iot_stream import topics
from iot_stream.config import Config, Pipeline
from iot_stream.formats import Conversation, decoder, format_of
from iot_stream.formats.source import Source
from iot_stream.topics import Topic

# Parts that write for all devices, and hold sessions that nobody may take over.
CORE = ("collector", "distiller", "publisher", "doctor")
# What looks on, or speaks for sensors; each has one connection at a time.
OTHERS = ("metrics", "monitor", "dashboard", "sensors")
HOME = "homeassistant"
KNOWS = "anyone who knows"  # the table's writer of labels


class Rule(NamedTuple):
    access: Literal["read", "write", "readwrite"]
    topic: str


def parts(config: Config) -> tuple[str, ...]:
    """All that log in but devices and readers."""
    return (*CORE, *OTHERS, HOME) if config.homeassistant else (*CORE, *OTHERS)


def of_reader(config: Config) -> list[Rule]:
    """A person's monitor or `discover`, or a program that uses predictions."""
    foreign = {topics.filter_of(topic) for each in config.pipelines.values() for topic in _foreign(each)}
    return [Rule("read", topic) for topic in (f"{config.prefix}/#", *sorted(foreign))]


def of_part(part: str, config: Config) -> list[Rule]:
    """What a part of the service may; of `OTHERS` too."""
    kind = part.partition("-")[0]  # collectors that share the work are called collector-NAME
    rules = [Rule("write", topic) for topic in _written(part, kind, config)]
    rules += [Rule("read", topic) for topic in _heard(kind, config)]
    if kind == "publisher":  # it hears itself behind all that is retained
        rules.append(Rule("readwrite", f"{topics.SERVICE.of(prefix=config.prefix, part=part)}/sync/+"))
        rules.append(Rule("write", topics.STATUS.pattern(prefix=config.prefix)))  # of who is forgotten
    if kind == "doctor":
        rules.append(Rule("readwrite", f"{topics.SERVICE.of(prefix=config.prefix, part=part)}/+"))
    if home := config.homeassistant:
        if kind == "publisher":
            rules += [Rule("write", f"{home.discovery_prefix}/device/+/config"), Rule("read", home.birth)]
        elif kind == HOME:
            shown = (topics.PREDICTION, topics.STATUS, topics.UPDATE)
            rules += [Rule("read", topic.pattern(prefix=config.prefix)) for topic in shown]
            rules += [Rule("read", f"{home.discovery_prefix}/device/+/config"), Rule("write", home.birth)]
    return sorted(set(rules), key=lambda rule: (rule.topic, rule.access))


def of_device(config: Config, pipeline: str, device: str) -> list[Rule]:
    """Its own subtree and no other; the models of its pipeline."""
    levels = {"prefix": config.prefix, "pipeline": pipeline, "device": device}
    own = [topic for topic in topics.TABLE.values() if topic.writer in ("device", KNOWS)]
    hears = [topics.COHORT, topics.BUNDLE, topics.BLOB]
    return [Rule("write", topic.of(**levels)) for topic in own] + [
        Rule("read", topic.pattern(**levels)) for topic in hears
    ]


def of_input(config: Config, pipeline: str, device: str) -> list[Rule]:
    """A gateway's second connection: it reads the topic of a sensor that cannot compute."""
    source = config.pipelines[pipeline].spoken_by_others
    if source is None:
        return []
    decode = decoder(source, 0)
    if isinstance(decode, Conversation):
        hears, asks = decode.spoken_by(device)
        return [Rule("read", hears), Rule("write", asks)]
    return [Rule("read", topics.filter_of(_of(source, device)))]


def _written(part: str, kind: str, config: Config) -> Iterator[str]:
    for topic in topics.TABLE.values():
        if topic is topics.SERVICE:
            if kind in CORE and kind != "doctor":
                yield topic.of(prefix=config.prefix, part=part)
        elif kind in topic.writer.split(", "):
            yield topic.pattern(prefix=config.prefix)
    for pipeline in config.pipelines.values():
        if kind == "collector":
            yield from _asked(pipeline)
        elif kind == "sensors":
            yield from (topics.filter_of(topic) for topic in _foreign(pipeline))
            yield topics.LABEL.pattern(prefix=config.prefix)


def _heard(kind: str, config: Config) -> Iterator[str]:
    def all_of(*heard: Topic) -> list[str]:
        return [topic.pattern(prefix=config.prefix) for topic in heard]

    if kind == "collector":
        yield from all_of(topics.LABEL, topics.PREDICTION, topics.SAMPLE)
        for pipeline in config.pipelines.values():
            yield from (topics.filter_of(source.topic) for source in pipeline.sources)
            yield from (topics.filter_of(topic) for topic in _foreign(pipeline))
            yield from _hosts(pipeline)
    elif kind == "publisher":
        yield from all_of(topics.STATUS, topics.REPORT, topics.BUNDLE, topics.BLOB)
        yield topics.SERVICE.of(prefix=config.prefix, part="publisher")
    elif kind == "metrics":
        yield from all_of(topics.SERVICE)
    elif kind == "doctor":
        yield from all_of(topics.SERVICE, topics.STATUS, topics.BUNDLE)
        yield "$SYS/#"
    elif kind == "sensors":
        for pipeline in config.pipelines.values():
            for group in _groups(pipeline):
                yield from (f"{group}/NCMD/#", f"{group}/DCMD/#")
            yield from _hosts(pipeline)
    elif kind in ("monitor", "dashboard"):
        yield f"{config.prefix}/#"


def _foreign(pipeline: Pipeline) -> Iterator[str]:
    """Templates of what others say on topics that are not iot-stream's own; a teacher's is a source."""
    yield from (source.topic for source in pipeline.sources if source.format != "telemetry")
    if pipeline.labels:
        yield pipeline.labels.topic


def _asked(pipeline: Pipeline) -> Iterator[str]:
    """What a dialect says to those that it hears."""
    yield from (f"{group}/NCMD/+" for group in _groups(pipeline))
    yield from _hosts(pipeline)


def _groups(pipeline: Pipeline) -> Iterator[str]:
    """Namespace and group of those that are spoken to."""
    for index, source in enumerate(pipeline.sources):
        if isinstance(decoder(source, index), Conversation):
            namespace, group, *_ = source.topic.split("/")
            yield f"{namespace}/{group if '{' not in group else '+'}"


def _hosts(pipeline: Pipeline) -> Iterator[str]:
    """Where a primary host says that it is there, and hears itself."""
    for source in pipeline.sources:
        if source.host:
            yield f"{source.topic.split('/')[0]}/STATE/{source.host}"


def _of(source: Source, device: str) -> str:
    """The template, with the device's name where the topic alone says which it is."""
    if source.device or source.devices or format_of(source.format).names_device:
        return source.topic
    spoken = device.replace("%2F", "/")  # what else a name may have cannot stand in a topic
    return source.topic.replace("{device...}", spoken).replace("{device}", spoken)

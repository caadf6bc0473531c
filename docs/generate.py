"""Writes the generated parts of the documentation: `python docs/generate.py`.

`configuration.md` comes whole from the settings' descriptions, `cli.md` from the commands, `errors.md` from
the messages in the source, `results.md` and `benchmarks.md` from the JSON of replays and benchmarks,
`protocol.md`'s tables from `iot_stream/topics.py`, its limits and examples from `wire.py`, `metrics.md`'s
tables from `iot_stream/watch/metrics.py`, `device.md`'s from the settings of a device; a test fails when they
are out of date.
"""

import dataclasses
import inspect
import sys
import types
import typing
from pathlib import Path
from typing import Any, get_args, get_origin

import benchmarks  # beside this file, as are commands, messages, results, triggers and wire
import commands
import messages
import msgspec
import results
import triggers
import wire

from iot_stream import config, topics
from iot_stream.cli import reasons
from iot_stream.device.health import Rules
from iot_stream.device.inputs.kinds import Call, Mqtt, Serial, Stdin
from iot_stream.device.settings import DeviceSettings
from iot_stream.units import Duration, Percent, Rate, Size
from iot_stream.watch import metrics

HERE = Path(__file__).parent
READING = ("channels", "input", "publish_readings", "outbox")  # settings of a device that concern no other
BEGIN, END = "<!-- generated: {} -->\n", "<!-- end -->"


def configuration() -> str:
    """The page of all settings."""
    intro = (
        "# Configuration\n\n"
        "Generated from the settings themselves by `python docs/generate.py`. Unknown names are errors that\n"
        "say the line and the nearest name; `iot-stream config check` tells what a file means.\n\n"
        "Durations are written `500 ms`, `10 s`, `30 min`, `1 day`; rates `50/s`, `1/min`, `12.8 kHz`.\n"
        "Times are ISO 8601. Derived channels are `function(channel, …)`; the functions stand at the end.\n"
    )
    sections = [intro, _section("Top level", config.Config)]
    seen: list[type] = [config.Config]
    queue: list[tuple[str, type]] = [("pipelines.NAME", config.Pipeline), ("broker", config.Broker)]
    queue += [("metrics", config.Metrics), ("dashboard", config.Dashboard)]
    queue.append(("homeassistant", config.HomeAssistant))
    while queue:
        name, kind = queue.pop(0)
        if kind in seen:
            continue
        seen.append(kind)
        sections.append(_section(name, kind))
        queue += [(f.encode_name, inner) for f in msgspec.structs.fields(kind) for inner in _structs(f.type)]
    sections.append(_section("teacher: {topic: …}", config.TopicTeacher))
    return "\n".join([*sections, _formats(), _models(), _functions()])


def _section(name: str, kind: type, *, inherited: bool = True) -> str:
    lines = [f"## {name}\n", "| setting | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        if not inherited and field.name not in kind.__annotations__:
            continue
        default = "required" if field.required else _default(field)
        meaning = _description(field.type).replace("|", "\\|")
        lines.append(f"| `{field.encode_name}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, Duration | Rate):
        return f"`{_duration(int(value))}`"
    if isinstance(value, tuple) and value and isinstance(value[0], Percent):
        return f"`[{', '.join(f'{each:g}%' for each in value)}]`"
    if isinstance(value, Size):
        return f"`{value / 1e9:g} GB`" if value >= 1e9 else f"`{value / 1e6:g} MB`"
    if isinstance(value, config.Network):
        return f"`{{arch: {value.arch}}}`"
    if isinstance(value, msgspec.Struct) or (
        isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct)
    ):
        return "see below"
    if value in (None, "", (), {}):
        return "–"
    return f"`{value}`"


def _duration(nanoseconds: int) -> str:
    for unit, size in (
        ("day", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("min", 60_000_000_000),
        ("s", 10**9),
    ):
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size} {unit}"
    return f"{nanoseconds / 1e6:g} ms"


def _description(kind: Any) -> str:
    for part in get_args(kind) if get_origin(kind) is typing.Annotated else ():
        if isinstance(part, msgspec.Meta):
            return part.description or ""
    return ""


def _structs(kind: Any) -> list[type]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    if isinstance(kind, typing.ForwardRef | str):
        return [config.Late]
    return [inner for argument in get_args(kind) for inner in _structs(argument)]


def _functions() -> str:
    from iot_stream.derive import FUNCTIONS

    lines = ["## Functions of `derive`\n", "| function | meaning |", "|---|---|"]
    for name, known in sorted(FUNCTIONS.items()):
        lines.append(f"| `{name}({', '.join(known.arguments)})` | {known.meaning} |")
    return "\n".join(lines) + "\n"


def _formats() -> str:
    from iot_stream.formats import FORMATS, format_of

    format_of("json")  # registers all
    lines = [
        "## Formats of `sources`\n",
        "`module:function` names a decoder of your own; `iot_stream/formats/own.py` shows one.\n",
        "| format | topic, if the source names none | what |",
        "|---|---|---|",
    ]
    for name, known in sorted(FORMATS.items()):
        topic = f"`{known.topic}`" if known.topic else ""
        meaning = " ".join((inspect.getdoc(known.make) or "").split())
        lines.append(f"| `{name}` | {topic} | {meaning} |")
    return "\n".join(lines) + "\n"


def _models() -> str:
    from iot_stream.distill.models.build import ARCHITECTURES, options
    from iot_stream.distill.teachers import drift
    from iot_stream.distill.teachers.estimators import ESTIMATORS

    lines = [
        "## Architectures of `teacher` and `student`\n",
        "A student is a network. A teacher may be an estimator of scikit-learn too, fitted anew each round,\n"
        "or several of either kind, whose probabilities are averaged:\n"
        "`{arch: ensemble, channels: […], members: [{arch: mlp}, {arch: svc}]}`. Others:\n"
        "[my own teacher](teachers.md).\n",
        "| arch | its options | what |",
        "|---|---|---|",
    ]
    for name in ARCHITECTURES.names():
        known = ARCHITECTURES.get(name)
        what = (sys.modules[known.__module__].__doc__ or "").strip().splitlines()[0].rstrip(".")
        chosen = " ".join(f"`{key}: {_plain(value)}`" for key, value in options(name).items())
        lines.append(f"| `{name}` | {chosen} | {what}. {inspect.getdoc(known)} |".replace("\n\n", " "))
    for name in ESTIMATORS.names():
        make = ESTIMATORS.get(name)
        parameters = inspect.signature(make).parameters.values()
        chosen = " ".join(f"`{each.name}: {each.default:g}`" for each in parameters)
        lines.append(f"| `{name}` | {chosen} | teacher only: {inspect.getdoc(make)} |")
    chosen = " ".join(f"`{each.name}: {_plain(each.default)}`" for each in dataclasses.fields(drift.Options))
    what = " ".join(f"{inspect.getdoc(drift)} {inspect.getdoc(drift.Options)}".split())
    lines.append(f"| `drift` | {chosen} | teacher only: {what} |")
    return "\n".join(lines) + "\n"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def topic_tables() -> str:
    """Topics and the fields of their payloads."""
    lines = ["| topic | payload | written by | retained | what |", "|---|---|---|---|---|"]
    payloads: dict[str, type[msgspec.Struct]] = {}
    for topic in topics.TABLE.values():
        kind = topic.payload
        name = "bytes"
        if issubclass(kind, msgspec.Struct):
            name = f"[{kind.__name__}](#{kind.__name__.lower()})"
            payloads[kind.__name__] = kind
        retained = "yes" if topic.retained else ""
        lines.append(f"| `{topic.template}` | {name} | {topic.writer} | {retained} | {topic.meaning} |")
    for name, payload in payloads.items():
        lines += ["", f"### {name}", "", " ".join((payload.__doc__ or "").split()), ""]
        lines += ["| field | type | default |", "|---|---|---|"]
        for field in msgspec.structs.fields(payload):
            value = field.default if field.default is not msgspec.NODEFAULT else None
            value = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else value
            default = "required" if field.required else f"`{value!r}`"
            lines.append(f"| `{field.encode_name}` | `{_type(field.type)}` | {default} |")
        lines += ["", wire.payload_example(payload)]
    return "\n".join(lines)


def device_settings() -> str:
    """What a device is set up with, as far as others must know it."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(DeviceSettings):
        if field.name in READING:
            continue
        default = "required" if field.required else f"`{msgspec.json.encode(field.default).decode()}`"
        if isinstance(field.default, msgspec.Struct):
            default = "see below" if field.encode_name == "health" else f"`{field.default.url}`"
        lines.append(f"| `{field.encode_name}` | {default} | {_description(field.type)} |")
    return "\n".join(lines)


def _type(kind: Any) -> str:
    if get_origin(kind) is typing.Annotated:
        return _type(get_args(kind)[0])
    if get_origin(kind) in (types.UnionType, typing.Union):
        return " \\| ".join(map(_type, get_args(kind)))
    if get_args(kind):
        return f"{kind.__origin__.__name__}[{', '.join(map(_type, get_args(kind)))}]"
    return "None" if kind is type(None) else str(kind.__name__)


def metric_tables() -> str:
    """Every metric, and every reason that counts input."""
    lines = []
    for title, group in metrics.GROUPS:
        lines += [f"### {title}", "", "| metric | kind | labels | what |", "|---|---|---|---|"]
        for metric in group:
            labels = " ".join(f"`{label}`" for label in metric.labels)
            lines.append(f"| `{metric.full_name}` | {metric.kind} | {labels} | {metric.help} |")
        lines.append("")
    lines += ["### Reasons", "", "| `reason` | what it counts |", "|---|---|"]
    lines += [f"| `{reason}` | {meaning} |" for reason, meaning in reasons.MEANINGS.items()]
    lines.append(f"| any other | messages that were {reasons.meaning('malformed')} |")
    return "\n".join(lines)


def device_tables() -> str:
    """A device's file, and what its input may be."""
    kinds = [(f"input: {kind.__struct_config__.tag}", kind) for kind in (Stdin, Serial, Call, Mqtt)]
    sections = []
    for name, kind in [("The file", DeviceSettings), *kinds, ("health", Rules)]:
        section = _section(name, kind, inherited=kind is not Mqtt)
        what = f"\n{inspect.getdoc(kind)}\n" if kind not in (DeviceSettings, Rules) else ""
        sections.append(f"#{section}".replace("\n", f"\n{what}", 1))
    return "\n".join(sections)


def protocol(text: str) -> str:
    """The page of topics, payloads, limits and bytes."""
    parts = {
        "settings": device_settings,
        "topics": topic_tables,
        "slots": wire.slot_example,
        "limits": wire.limits,
        "bundle": wire.bundle_example,
        "sample": wire.sample_example,
    }
    for place, part in parts.items():
        text = filled(text, place, part())
    return text


def filled(text: str, place: str, tables: str) -> str:
    """A page with its generated part as it is now."""
    begin = BEGIN.format(place)
    before, rest = text.split(begin)
    return before + begin + tables + "\n" + END + rest.split(END, 1)[1]


def pages() -> dict[Path, str]:
    """Each generated page as it should be."""
    path, shown, rounds = HERE / "protocol.md", HERE / "metrics.md", HERE / "triggers.md"
    device = HERE / "device.md"
    return {
        HERE / "benchmarks.md": benchmarks.page(),
        HERE / "cli.md": commands.page(),
        HERE / "errors.md": messages.page(),
        HERE / "configuration.md": configuration(),
        HERE / "results.md": results.page(),
        path: protocol(path.read_text()),
        device: filled(device.read_text(), "settings", device_tables()),
        shown: filled(shown.read_text(), "metrics", metric_tables()),
        rounds: triggers.filled(rounds.read_text()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(path.name)

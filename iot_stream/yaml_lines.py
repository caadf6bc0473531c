"""YAML with the line of every field, so that an error can name the place."""

from collections.abc import Mapping
from pathlib import Path
from re import search
from typing import Any, Literal, get_origin

import msgspec
import yaml

from iot_stream import mistakes
from iot_stream.errors import ConfigError

Lines = dict[tuple[str, ...], int]


class _Loader(yaml.SafeLoader):
    """Leaves dates as they are written: what a field means by them is the field's matter."""

    yaml_implicit_resolvers = {  # noqa: RUF012  as in the base class
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def load(path: Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file, and the line of each path in it; raises ConfigError."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from error
    try:
        root = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a mapping is expected, `broker: …`, `pipelines: …`")
    lines: Lines = {}
    try:
        _note(root, (), lines)
    except ConfigError as error:
        raise ConfigError(f"{path}:{error}") from error
    return data, lines


def _note(node: yaml.Node | None, path: tuple[str, ...], lines: Lines) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here, line = (*path, str(key.value)), key.start_mark.line + 1
            if here in lines:
                raise ConfigError(f"{line}: {'.'.join(here)}: is there already, in line {lines[here]}")
            lines[here] = line
            _note(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[(*path, str(i))] = item.start_mark.line + 1
            _note(item, (*path, str(i)), lines)


def convert(
    data: Any,
    kind: Any,
    hook: Any,
    place: str,
    lines: Lines,
    at: tuple[str, ...] = (),
    above: Any = None,
) -> Any:
    """`data` as the typed struct `kind`; raises ConfigError with file, line, path and nearest name.

    `above`: the struct around it, whose settings may have been written one level too deep.
    """
    try:
        return msgspec.convert(data, kind, dec_hook=hook)
    except msgspec.ValidationError as error:
        message = str(error)
        steps = mistakes.steps_of(message)
        path = (*at, *_spell_out(data, steps))
        if name := mistakes.unknown(message):
            path = (*path, name)
            message = mistakes.unknown_setting(name, kind, data, steps, above)
        else:
            message = mistakes.plain(mistakes.without_place(message))
            if enum := search(r"Invalid enum value '(.*)'", message):
                message = f"{enum[1]!r} is none of {', '.join(_choices(kind, steps))}"
        raise ConfigError(f"{place}:{line_of(lines, path)}: {'.'.join(path) or 'file'}: {message}") from error


def _spell_out(data: Any, steps: list[str]) -> list[str]:
    """The keys of mappings, which msgspec elides as `...`, where there is only one to choose from."""
    spelled = []
    for step in steps:
        if step == "..." and isinstance(data, Mapping) and len(data) == 1:
            step = str(next(iter(data)))
        spelled.append(step)
        if isinstance(data, Mapping):
            data = data.get(step)
        elif isinstance(data, list) and step.isdigit() and int(step) < len(data):
            data = data[int(step)]
    return [step for step in spelled if step != "..."]


def _choices(kind: Any, steps: list[str]) -> list[str]:
    """Of the setting at `steps`, whose type is a Literal."""
    *place, name = [step for step in steps if not step.isdigit()]
    fields = msgspec.structs.fields(mistakes.levels_of(kind, None, place)[-1])
    found = [each for field in fields if field.encode_name == name for each in _literals(field.type)]
    return [str(each) for each in found if each]


def _literals(kind: Any) -> list[Any]:
    arguments = getattr(kind, "__args__", ())
    if get_origin(kind) is Literal:
        return list(arguments)
    return [each for argument in arguments for each in _literals(argument)]


def line_of(lines: Lines, path: tuple[str, ...]) -> int:
    """The line of the longest part of `path` that the file has."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1

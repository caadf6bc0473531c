"""What is wrong with a file's settings, in words that a person understands: msgspec's are for programmers."""

from collections.abc import Iterator, Mapping
from re import Match, findall, search, sub
from typing import Annotated, Any, get_origin

import msgspec

from iot_stream.errors import nearest

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def plain(message: str) -> str:
    """A message of msgspec's, without its place."""
    if bound := search(r"^Expected `(?:int|float)` ([<>]=?) ([-\d.e]+)", message):
        return f"must be {BOUNDS[bound[1]]} {bound[2].removesuffix('.0')}"
    if length := search(r"^Expected `(array|object|str)` of length ([<>]=?) (\d+)", message):
        what = "characters" if length[1] == "str" else "entries"
        return f"must have {BOUNDS[length[2]]} {length[3]} {what}"
    if kinds := search(r"^Expected `([^`]+)`, got `([^`]+)`", message):
        return f"must be {_named(kinds[1])}, and is {_named(kinds[2])}"
    if form := search(r"^Expected `str` matching regex '?(.*?)'?$", message):
        return f"must be written as {form[1]} (a regular expression)"
    return sub(r"^Object missing required field (`[^`]+`)", _missing, message)


def _missing(found: Match[str]) -> str:
    return f"{found[1]} is missing"


def _named(kinds: str) -> str:
    names = [KINDS.get(each, each) for each in kinds.split(" | ") if each != "null" or kinds == "null"]
    return " or ".join(names)


def unknown(message: str) -> str:
    """The setting that there is none of, if that is what the message says; "" otherwise."""
    found = search(r"unknown field `([^`]+)`", message)
    return found[1] if found else ""


def steps_of(message: str) -> list[str]:
    """Where it is, from the top: names, places in lists, and `...` for a key of a mapping."""
    inside = search(r"- at `\$\.?(.*)`$", message)
    return findall(r"\.\.\.|[^.\[\]]+", inside[1]) if inside else []


def without_place(message: str) -> str:
    return message.split(" - at `")[0]


def unknown_setting(name: str, kind: Any, data: Any, steps: list[str], above: Any = None) -> str:
    """That there is none of this name at `steps` of a struct `kind`, which is meant, and whether there is one
    a level further up or down. `above`: the struct around `kind`, whose level is the top one."""
    levels = [*([above] if above else []), *levels_of(kind, data, steps)]
    here = levels[-1]
    names = [field.encode_name for field in msgspec.structs.fields(here)]
    meant, stands = nearest(name, names, "`"), ""
    if len(levels) > 1 and name in _names(levels[-2]):
        stands = "at the top level" if len(levels) == 2 else "one level up"
    elif places := list(_below(here, name)):
        stands = f"under {', '.join(f'`{place}`' for place in places)}"
    if not stands:
        return f"unknown setting `{name}`; {meant}"
    known = f"`{name}` stands {stands}"
    return f"unknown setting `{name}`; {f'{meant} {known}' if meant.startswith('is ') else known}"


def _below(kind: Any, name: str) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        inner = next(structs_in(field.type), None)
        if inner is not None and name in _names(inner):
            yield f"{field.encode_name}.NAME" if _is_mapping(field.type) else field.encode_name


def _names(kind: Any) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind.__origin__ if get_origin(kind) is Annotated else kind) is dict


def levels_of(kind: Any, data: Any, steps: list[str]) -> list[Any]:
    """The structs from `kind` down to what is at `steps`; of several that may stand there, the one that the
    data's tag names."""
    levels = [kind]
    for step in steps:
        data = data.get(step) if isinstance(data, Mapping) else None
        field = next((each for each in msgspec.structs.fields(levels[-1]) if each.encode_name == step), None)
        if field is None:
            continue
        found = list(structs_in(field.type))
        tagged = [each for each in found if _tag_fits(each, data)]
        if inner := tagged or found:
            levels.append(inner[0])
    return levels


def _tag_fits(kind: Any, data: Any) -> bool:
    config = kind.__struct_config__
    return bool(config.tag_field) and isinstance(data, Mapping) and data.get(config.tag_field) == config.tag


def structs_in(kind: Any) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for argument in getattr(kind, "__args__", ()):
        yield from structs_in(argument)

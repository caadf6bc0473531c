"""The page of all messages that say what went wrong, from the source: whoever searches for one finds it.

A message is what an error of `iot_stream/errors.py` is made of, or a warning of the log. What stands in it at
run time is `…` here.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[1] / "iot_stream"
GAP = "…"

# kind → what a person sees of it
KINDS = {
    "ConfigError": "exit 2",
    "UsageError": "exit 2",
    "BrokerError": "exit 3",
    "StoreError": "exit 4",
    "ModelError": "exit 5",
    "TeacherAway": "is waited for",
    "NotTaughtYet": "is waited for",
    "DataError": "exit 6, or counted and quarantined",
    "Refused": "exit 7, or reported",
    "ProtocolError": "exit 3",
    "IotStreamError": "exit 1",
    "ValueError": "exit 2",  # of a setting: msgspec adds the place
    "fail": "exit 2",
    "warning": "log",
    "error": "log",
}


class Room(NamedTuple):
    """Files of the source, where their messages are met, and what to do about them."""

    title: str
    files: str  # a pattern of their paths, in `iot_stream/`
    advice: str


ROOMS = (
    Room(
        "The configuration",
        r"config/|units|address|yaml_lines|cut|derive|hygiene|states|labelling|order|windows|spec",
        "Met at the start of every command. The line and the setting stand before the message. "
        "`iot-stream config check` says what a file means; [all settings](configuration.md).",
    ),
    Room(
        "Commands",
        r"cli/|operate|logs",
        "Of the command line itself, before anything was done. [All commands](cli.md), or `--help`.",
    ),
    Room(
        "Messages of sensors",
        r"formats/|readings|columns|resample|topics",
        "What a device said and the service could not take. Nothing stops: it is counted "
        "(`iot-stream windows stats`) and kept (`iot-stream quarantine list`); once the `sources` are "
        "mended, `iot-stream quarantine replay --all` takes it again. [Your own sensors](sensors.md).",
    ),
    Room(
        "Collector and discover",
        r"ingest/",
        "Of `iot-stream collect`, a part of `serve`, and `iot-stream discover`.",
    ),
    Room(
        "The broker",
        r"mqtt|presence|service/broker|access/",
        "Is it there, is the address right, does it let us in?",
    ),
    Room(
        "The store",
        r"store/",
        "SQLite's folder or PostgreSQL: is there room on the disk, is another program holding it, is it of "
        "another version? `iot-stream restore` takes a backup.",
    ),
    Room(
        "Recordings",
        r"recordings/",
        "Of files that a teacher learns from or a replay plays; file and column stand in the message.",
    ),
    Room(
        "Teacher, student and rounds",
        r"distill/|service/",
        "Of `iot-stream distill`, a part of `serve`, and of `replay`. A round that fails changes nothing: "
        "the version before goes on. `iot-stream explain` says why a round ended as it did; "
        "[my own teacher](teachers.md).",
    ),
    Room(
        "Releases and keys",
        r"release/|artifact/",
        "Of `iot-stream publish`, a part of `serve`, of `keys`, and of what a device refuses. "
        "[Protocol](protocol.md#refusals), [rollouts](rollouts.md).",
    ),
    Room(
        "A device",
        r"device/",
        "Of `iot-device`. It goes on with the version that it has; `iot-device status` says which. "
        "[A device](device.md).",
    ),
    Room("Export", r"export/", "Of `iot-stream export`. [Export](export.md)."),
    Room("Watching", r"watch/", "Of `iot-stream metrics`, `monitor` and their like."),
    Room(
        "Demo, replay and bench",
        r"evaluate/",
        "[Replay](replay.md), [benchmarks](benchmarks.md).",
    ),
    Room("The Python interface", r"__init__|api", "Of `from iot_stream import …`."),
)


@dataclass(frozen=True)
class Message:
    path: str
    line: int
    kind: str
    text: str


def page() -> str:
    lines = [
        "# Messages\n",
        "Generated from the source by `python docs/generate.py`. Every message that says what went wrong,",
        "with `…` for what stands there at run time: search for a few of its words. The sections say where",
        "it is met, and what to do when the message does not say that already. Where nothing is said and",
        "something is wrong all the same: [troubleshooting](troubleshooting.md).\n",
    ]
    left = messages()
    for room in ROOMS:
        own = [each for each in left if re.match(room.files, each.path)]
        left = [each for each in left if each not in own]
        if own:
            lines += [f"## {room.title}\n", f"{room.advice}\n", "| message | seen as |", "|---|---|"]
            rows = {each.text: KINDS[each.kind] for each in own}
            lines += [f"| {cell(text)} | {seen} |" for text, seen in rows.items()]
            lines.append("")
    assert not left, f"docs/messages.py: no room for {left[0].path}"
    return "\n".join(lines)


def messages() -> list[Message]:
    """In the order of the files and their lines."""
    trees = {path: ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
    makers = _functions(trees.values())
    found = []
    for path, tree in trees.items():
        place = str(path.relative_to(SOURCE))
        for call, function in _calls(tree):
            kind, wanted = _kind(call, makers, place)
            for text in wanted and _texts(wanted, function, makers):
                if re.search(r"\w", text.replace(GAP, "")):
                    found.append(Message(place, call.lineno, kind, text))
    return found


def _kind(call: ast.Call, makers: dict[str, ast.FunctionDef], path: str) -> tuple[str, list[ast.expr]]:
    """What a call makes, and the parts of its text; no parts where it makes no message."""
    name = ast.unparse(call.func).split(".")[-1]
    if isinstance(call.func, ast.Attribute) and name in ("warning", "error"):
        return (name, call.args[:1]) if ast.unparse(call.func.value) == "log" else ("", [])
    if name == "ValueError":
        return (name, call.args) if re.match(ROOMS[0].files, path) else ("", [])
    if name in KINDS:
        return name, call.args
    made = makers.get(name)
    if made is not None and made.returns is not None and ast.unparse(made.returns) in KINDS:
        return ast.unparse(made.returns), [
            each for each in call.args if isinstance(each, ast.Constant | ast.JoinedStr)
        ]
    return "", []


def _texts(parts: list[ast.expr], function: ast.AST | None, makers: dict[str, ast.FunctionDef]) -> list[str]:
    """All that the arguments of an error may say; `reason, detail` are one text."""
    texts = [""]
    for part in parts:
        texts = [
            f"{text}: {more}" if text else more for text in texts for more in _said(part, function, makers)
        ]
    return [re.sub(f"{GAP}+", GAP, " ".join(text.split())) for text in texts]


def _said(part: ast.expr, function: ast.AST | None, makers: dict[str, ast.FunctionDef]) -> list[str]:
    match part:
        case ast.Constant(value=str(text)):
            return [re.sub(r"%[-\d.,]*[sdfgr]", GAP, text)]
        case ast.JoinedStr(values=values):
            whole = [""]
            for value in values:
                told = value.value if isinstance(value, ast.Constant) else _placed(value)
                whole = [f"{text}{told}" for text in whole]
            return whole
        case ast.IfExp(body=body, orelse=other):
            return [*_said(body, function, makers), *_said(other, function, makers)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in _said(left, function, makers) for b in _said(right, function, makers)]
        case ast.Name(id=name) if function is not None:
            told = [
                each.value
                for each in ast.walk(function)
                if isinstance(each, ast.Assign) and _names(each, name)
            ]
            return [text for value in told for text in _said(value, None, makers)] or [GAP]
        case ast.Call(func=ast.Name(id=name)) if name in makers:
            inner = makers[name]
            values = [each.value for each in ast.walk(inner) if isinstance(each, ast.Return) and each.value]
            return [text for value in values for text in _said(value, inner, {})] or [GAP]
    return [GAP]


def _placed(value: ast.expr) -> str:
    """What stands in a message at run time: `…`, but for errors.nearest's words."""
    return f"is {GAP} meant?" if "nearest(" in ast.unparse(value) else GAP


def _names(assign: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in assign.targets)


def _functions(trees: Iterable[ast.Module]) -> dict[str, ast.FunctionDef]:
    return {each.name: each for tree in trees for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, ast.AST | None]]:
    """Every call with the function that it stands in."""

    def inside(node: ast.AST, function: ast.AST | None) -> Iterator[tuple[ast.Call, ast.AST | None]]:
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.Call):
                yield each, function
            yield from inside(each, each if isinstance(each, ast.FunctionDef) else function)

    return inside(tree, None)


def cell(text: str) -> str:
    """As text, whatever Markdown would make of it; what stands in backquotes is code and stays."""
    return re.sub(r"(`[^`]*`)|([|*_<\[])", lambda found: found[1] or f"\\{found[2]}", text)

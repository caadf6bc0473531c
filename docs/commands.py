"""The page of all commands, from the commands themselves."""

import argparse
import inspect
from collections.abc import Iterator

import click

from iot_stream.cli import COMMANDS, main
from iot_stream.device.__main__ import parser as device_parser
from simulator.__main__ import main as simulator

INTRO = """\
# Commands

Generated from the commands themselves by `python docs/generate.py`; each says the same with `--help`.

| program | for |
|---|---|
| `iot-stream` | the service, and all that a person does with it |
| [`iot-device`](#iot-device) | a device, or what runs beside a sensor that cannot compute |
| [`iot-simulator`](#iot-simulator) | a fleet that is not there: worlds, recordings, faults |

`iot-stream --quiet …` logs warnings only; `iot-stream --version` says which it is. What goes wrong is said in
one line on standard error, with the remedy ([all of these messages](errors.md)), and by the exit code:

| exit code | what |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | wrong configuration or command line |
| 3 | the broker, or the way to it |
| 4 | the store |
| 5 | a model: teacher or student |
| 6 | data: what a device or a recording said |
| 7 | a release that a device will not take |
| 130 | interrupted |
"""


def page() -> str:
    sections = [INTRO, "## iot-stream\n"]
    context = click.Context(main, info_name="iot-stream")
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        for path, each in leaves(f"iot-stream {name}", command):
            sections.append(_section(path, each))
    sections += ["## iot-device\n", *map(_parsed, _subparsers(device_parser()))]
    sections.append(_section("iot-simulator", simulator).removeprefix("#"))
    return "\n".join(sections)


def leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A command, or what a group holds; the group itself where it does something alone."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name, inner in command.commands.items():
        yield from leaves(f"{path} {name}", inner)


def _section(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path.split()[-1])
    arguments = " ".join(command.collect_usage_pieces(context)).removeprefix("[OPTIONS]").strip()
    lines = [f"### {path}\n", f"`{path}{f' {arguments}' if arguments else ''}`\n", _text(command.help), ""]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        for option in options:
            names, meaning = option.get_help_record(context) or ("", "")
            lines.append(f"| `{_cell(names)}` | {_cell(' '.join(meaning.split()))} |")
        lines.append("")
    return "\n".join(lines)


def _text(help_text: str | None) -> str:
    """Help as Markdown: what is set off for the terminal is set off here too."""
    paragraphs = inspect.cleandoc(help_text or "").split("\n\n")
    return "\n\n".join(
        f"```text\n{each[2:]}\n```" if each.startswith("\b\n") else each for each in paragraphs
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    (group,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return list(group.choices.values())


def _parsed(parser: argparse.ArgumentParser) -> str:
    what = (parser.description or "").capitalize()
    lines = [f"### {parser.prog}\n", f"{what}.\n", "| option | meaning |", "|---|---|"]
    for action in parser._actions:
        if "--help" not in action.option_strings:
            place = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 else ""
            lines.append(f"| `{', '.join(action.option_strings)}{place}` | {_cell(action.help or '')} |")
    return "\n".join([*lines, ""])

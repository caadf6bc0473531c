"""Every command line of the documentation is one: the command exists, and its options do."""

import re
from collections.abc import Iterator

import click
import pytest

from iot_stream.cli import main
from iot_stream.device.__main__ import parser
from simulator.__main__ import main as simulator
from tests.docs.pages import ROOT, everywhere, pages
from tests.docs.terminal import AGAIN, commands, without_comment, words

PROGRAMS = ("iot-stream", "iot-device", "iot-simulator", "make")


def _parsed(words_: list[str]) -> None:
    """Raises UsageError, or SystemExit, for what the program would not take."""
    program, *arguments = (word.rsplit("/", 1)[-1] if n == 0 else word for n, word in enumerate(words_))
    arguments = ["2026-01-01" if word == "…" else word for word in arguments]
    if program == "make":
        targets = [word for word in arguments if "=" not in word and not word.startswith("-")]
        known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(targets) <= set(known), f"make {targets}"
    elif program == "iot-device":
        parser().parse_args(arguments)
    elif program == "iot-simulator":
        simulator.make_context("iot-simulator", arguments)
    else:
        _descend(main, "iot-stream", arguments, None)


def _descend(command: click.Command, name: str, arguments: list[str], parent: click.Context | None) -> None:
    try:
        context = command.make_context(name, arguments, parent)
    except click.BadParameter as error:
        if "does not exist" in error.message:  # a file that an earlier line has made
            return
        raise
    rest = [*context._protected_args, *context.args]
    if isinstance(command, click.Group) and rest:
        inner_name, inner, left = command.resolve_command(context, rest)
        assert inner is not None
        _descend(inner, inner_name or "", left, context)


def _lines() -> Iterator[tuple[str, str]]:
    """(place, line) of all that is typed in blocks."""
    for block in everywhere("sh", "console", ""):
        whole = block.text.replace("\\\n", " ").splitlines()
        if block.language == "sh":
            found = whole
        elif block.language == "console":
            found = [command.removeprefix(AGAIN) for command, _ in commands(block.text)]
        else:
            found = [line for line in whole if line.startswith(PROGRAMS)]
        for line in found:
            yield str(block), without_comment(re.sub(r"<[\w ]+>", "there", line))


LINES = [
    (place, program)
    for place, line in _lines()
    for program in words(line)
    if program and program[0].rsplit("/", 1)[-1] in PROGRAMS
]
SPOKEN = [
    (str(page.relative_to(ROOT)), spoken)
    for page in pages()
    if page.name not in ("CHANGELOG.md", "cli.md", "errors.md")
    for spoken in re.findall(r"`((?:iot-stream|iot-device) [^`\n]+)`", page.read_text())
]


@pytest.mark.parametrize(
    ("place", "line"), LINES, ids=lambda each: each if isinstance(each, str) else each[-1]
)
def test_a_command_line_is_understood(place: str, line: list[str]) -> None:
    _parsed(line)


@pytest.mark.parametrize(("place", "line"), SPOKEN)
def test_a_command_in_a_sentence_is_one(place: str, line: str) -> None:
    """It may leave out what has to be said: NAME, or a file."""
    (program,) = words(line.replace("|", "").removesuffix(" …"))
    try:
        _parsed([word for word in program if word != "…"])
    except click.MissingParameter:
        pass
    except SystemExit:
        assert program[0] == "iot-device", line  # argparse, whose --config is required
        assert program[1] in ("run", "status"), line


def test_commands_are_found() -> None:
    assert len(LINES) > 80
    assert len(SPOKEN) > 60


@pytest.mark.parametrize("line", ["iot-stream serv", "iot-stream serve --confg x", "iot-stream models lst"])
def test_what_is_no_command_is_found_out(line: str) -> None:
    with pytest.raises(click.UsageError):
        _parsed(line.split())

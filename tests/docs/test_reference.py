"""What can be said, set, asked or heard is documented."""

import importlib
import json
import re
from collections.abc import Iterator

import click
import msgspec
import pytest

from iot_stream import config, topics
from iot_stream.cli import COMMANDS, main
from iot_stream.watch import metrics
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text()


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _commands(f"{path} {name}", inner)


def test_every_command_and_option_stands_on_the_page_of_commands() -> None:
    sections = re.split(r"^###? ", page("cli.md"), flags=re.MULTILINE)
    known = {section.split("\n", 1)[0]: section for section in sections}
    context, checked = click.Context(main), 0
    for name in COMMANDS:
        top = main.get_command(context, name)
        assert top is not None
        for path, command in _commands(f"iot-stream {name}", top):
            if isinstance(command, click.Group) and not command.invoke_without_command:
                continue
            for option in command.params:
                if isinstance(option, click.Option) and not option.hidden:
                    assert all(each in known[path] for each in option.opts), f"{path} {option.opts}"
                    checked += 1
    assert checked > 100


def _settings(kind: type[msgspec.Struct], seen: set[type]) -> Iterator[str]:
    if kind in seen:
        return
    seen.add(kind)
    for field in msgspec.structs.fields(kind):
        yield field.encode_name
        for inner in _structs(field.type):
            yield from _settings(inner, seen)


def _structs(kind: object) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for argument in getattr(kind, "__args__", ()):
        yield from _structs(argument)


def test_every_setting_stands_on_the_page_of_the_configuration() -> None:
    text = page("configuration.md")
    names = set(_settings(config.Config, set()))
    assert len(names) > 100
    assert [name for name in sorted(names) if f"| `{name}` |" not in text] == []


def test_every_topic_stands_on_the_page_of_the_protocol() -> None:
    text = page("protocol.md")
    assert [each.template for each in topics.TABLE.values() if f"`{each.template}`" not in text] == []


def test_every_metric_stands_on_the_page_of_metrics() -> None:
    names = [metric.full_name for _, group in metrics.GROUPS for metric in group]
    assert len(names) > 20
    assert [name for name in names if f"`{name}`" not in page("metrics.md")] == []


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("messages")


def test_every_message_stands_on_the_page_of_messages(messages) -> None:
    found = messages.messages()
    assert len(found) > 400
    text = page("errors.md")
    assert [each for each in found if f"| {messages.cell(each.text)} |" not in text] == []


def test_a_new_message_is_found_wherever_it_is_made(messages, tmp_path, monkeypatch) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "new.py").write_text(
        "def off(name: str) -> StoreError:\n"
        "    return StoreError(f'store {name}: is off')\n\n"
        "def check(name: str) -> None:\n"
        "    hint = f'is {near} meant?' if near else 'look again'\n"
        "    log.warning('%s: going on in %.1f s', name, 2)\n"
        "    raise ConfigError(f'no {name}; {hint}') if name else DataError('empty', 'no ' + 'name')\n"
    )
    monkeypatch.setattr(messages, "SOURCE", tmp_path)
    assert [(each.kind, each.text) for each in messages.messages()] == [
        ("StoreError", "store …: is off"),
        ("warning", "…: going on in … s"),
        ("ConfigError", "no …; …"),
        ("DataError", "empty: no name"),
    ]


def test_the_page_of_concepts_has_the_words_of_the_design() -> None:
    words = re.findall(r"^\| \*\*(\w+)\*\*", page("concepts.md"), re.MULTILINE)
    wanted = (
        "Reading Window Pipeline Task Teacher Student Cohort Trigger Round Gate Version Artifact Bundle Slot"
    )
    assert set(wanted.split()) <= set(words)


def test_the_story_of_the_office_has_the_figures_of_the_results() -> None:
    result = json.loads((DOCS / "results" / "occupancy.config.json").read_text())["overall"]["accuracy"]
    told = re.search(
        r"(0\.\d+) of the minutes are right over the eight days, (0\.\d+)", page("better-sensor.md")
    )
    assert told is not None
    assert told.groups() == tuple(f"{result[rival]['mean']:.3f}" for rival in ("static", "student"))


def test_every_page_stands_on_the_map() -> None:
    told = page("README.md")
    names = [
        path.relative_to(DOCS) for path in DOCS.rglob("*.md") if path.parent.name not in ("adr", "sensors")
    ]
    assert [str(name) for name in names if str(name) != "README.md" and f"({name})" not in told] == []

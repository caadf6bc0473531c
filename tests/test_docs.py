import importlib.util
import re
import sys
from pathlib import Path

import click
import pytest

from iot_stream import topics
from iot_stream.cli import COMMANDS, main
from iot_stream.config import load

ROOT = Path(__file__).resolve().parents[1]


def _generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration.md", "protocol.md"])
def test_generated_page_is_up_to_date(name):
    pages = {path.name: (path.read_text(), text) for path, text in _generator().pages().items()}
    have, wanted = pages[name]
    assert have == wanted, "run `python docs/generate.py`"


def test_protocol_names_every_topic():
    text = (ROOT / "docs" / "protocol.md").read_text()
    assert len(topics.TABLE) == 10
    for topic in topics.TABLE.values():
        assert f"`{topic.template}`" in text


def test_protocol_names_every_reason_of_refusal():
    from iot_stream.artifact.trust import REASONS

    text = (ROOT / "docs" / "protocol.md").read_text()
    assert [reason for reason in REASONS if reason not in text] == []


def test_links_inside_the_docs_lead_somewhere():
    pages = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
    checked = 0
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            checked += 1
            assert (page.parent / target).exists(), f"{page}: {target}"
    assert checked > 10


def test_the_readmes_configuration_is_one(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "iot-stream.yml").write_text(block)
    (tmp_path / "other.yml").write_text(block.replace("- channels: {x: x, y: y}", "").replace("# - {", "- {"))
    for name in ("iot-stream.yml", "other.yml"):
        pipeline = load(tmp_path / name).pipelines["pumps"]
        assert pipeline.cut(pipeline.student).inputs == ("x", "y")


def test_every_command_teaches():
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        subcommands = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in subcommands:
            assert each.help, name
            assert all(p.help for p in each.params if isinstance(p, click.Option) and not p.hidden), each.name

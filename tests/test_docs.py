import importlib
import json
import re
from pathlib import Path

import click
import msgspec
import pytest

from iot_stream import topics
from iot_stream.cli import COMMANDS, main
from iot_stream.config import TopicTeacher, load
from iot_stream.device.inputs.opening import channels_of
from iot_stream.device.settings import DeviceSettings

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pages() -> dict[Path, str]:
    """What `python docs/generate.py` would write."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs"))
        found: dict[Path, str] = importlib.import_module("generate").pages()
    return found


@pytest.mark.parametrize(
    "name",
    [
        "benchmarks.md",
        "cli.md",
        "configuration.md",
        "device.md",
        "errors.md",
        "metrics.md",
        "protocol.md",
        "results.md",
        "triggers.md",
    ],
)
def test_generated_page_is_up_to_date(name, pages):
    path = ROOT / "docs" / name
    assert path.read_text() == pages[path], "run `python docs/generate.py`"


def test_protocol_names_every_topic():
    text = (ROOT / "docs" / "protocol.md").read_text()
    assert len(topics.TABLE) == 12
    for topic in topics.TABLE.values():
        assert f"`{topic.template}`" in text


def test_protocol_names_every_reason_of_refusal():
    from iot_stream.artifact.trust import REASONS

    text = (ROOT / "docs" / "protocol.md").read_text()
    assert [reason for reason in REASONS if reason not in text] == []


SENSORS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "sensors.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", SENSORS, ids=lambda block: block.split("\n")[1].strip())
def test_a_configuration_of_the_sensors_page_is_one(block, tmp_path, monkeypatch):
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    (tmp_path / "iot-stream.yml").write_text(block)
    config = load(tmp_path / "iot-stream.yml")
    assert config.address
    for pipeline in config.pipelines.values():
        assert pipeline.cuts


TEACHERS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "teachers.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", TEACHERS, ids=range(len(TEACHERS)))
def test_a_configuration_of_the_teachers_page_is_one(block, tmp_path):
    (tmp_path / "iot-stream.yml").write_text(block)
    for pipeline in load(tmp_path / "iot-stream.yml").pipelines.values():
        assert pipeline.cuts
        assert pipeline.teacher.topic or pipeline.teacher.own or pipeline.teacher.arch == "onnx"


def test_the_teachers_page_names_every_setting_of_a_topic():
    text = (ROOT / "docs" / "teachers.md").read_text()
    names = [field.encode_name for field in msgspec.structs.fields(TopicTeacher)]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_the_sensors_page_names_every_format():
    from iot_stream.formats import FORMATS, format_of

    format_of("json")  # registers all
    text = (ROOT / "docs" / "sensors.md").read_text()
    assert [name for name in FORMATS if not re.search(rf"\b{name}\b", text)] == []


DEVICES = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "device.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", DEVICES, ids=range(len(DEVICES)))
def test_a_file_of_the_device_page_is_one(block, tmp_path):
    file = {"pipeline": "p", "device": "d", "root": "{}"} | json.loads(block)
    (tmp_path / "d.json").write_text(json.dumps(file))
    assert channels_of(DeviceSettings.load(tmp_path / "d.json"))


def test_the_device_page_shows_every_kind_of_input():
    assert {json.loads(block)["input"]["from"] for block in DEVICES} == {"stdin", "serial", "call", "mqtt"}


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

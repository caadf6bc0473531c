"""Every configuration that a page shows loads; of a part, with the rest around it."""

import re
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from iot_stream.config import Config, Pipeline, load
from tests.docs.pages import Block, everywhere

OTHERS = ("docker-compose.yml", "prometheus.yml", "configuration.yml")  # files of other programs
BLOCKS = [block for block in everywhere("yaml") if block.file not in OTHERS]


def _names(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


AROUND = {
    "sources": [{"channels": {"x": "x"}}],
    "window": {"length": 4},
    "task": {"classify": ["good", "worn"]},
    "student": {"arch": "mlp", "channels": ["x"]},
    "teacher": {"arch": "mlp", "channels": ["x"]},
}


def _whole(told: dict[str, Any]) -> dict[str, Any]:
    """A block, or a small configuration with the block as a part of it."""
    if "pipelines" in told:
        parts = told["pipelines"]
        whole = {name: part if "window" in part else AROUND | part for name, part in parts.items()}
        return told | {"pipelines": whole}
    if set(told) <= _names(Config):
        return {"pipelines": {"p": AROUND}} | told
    assert set(told) <= _names(Pipeline), f"neither settings nor a pipeline's: {sorted(told)}"
    return {"pipelines": {"p": AROUND | told}}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_configuration_loads(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    (tmp_path / "secret").write_text("secret")
    text = re.sub(r"(password_file|ca|cert|key): /\S+", rf"\1: {tmp_path / 'secret'}", block.text)
    (tmp_path / "iot-stream.yml").write_text(
        yaml.safe_dump(_whole(yaml.safe_load(textwrap.dedent(text))), sort_keys=False)
    )
    for pipeline in load(tmp_path / "iot-stream.yml").pipelines.values():
        assert pipeline.cuts


def test_configurations_are_found() -> None:
    assert len(BLOCKS) > 25

"""`iot-stream metrics`, as far as it goes without a service."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from iot_stream.cli import main
from iot_stream.config import load
from iot_stream.errors import ConfigError
from tests.service.running import write_config


def test_what_must_be_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    monkeypatch.setitem(sys.modules, "iot_stream.watch.exposition", None)
    ended = CliRunner().invoke(main, ["metrics", "--config", str(path)])
    assert ended.exit_code == 2
    assert "pip install 'iot-stream[metrics]'" in ended.output
    assert not (tmp_path / "store").exists()


def test_metrics_are_off_unless_configured_and_on_loopback_unless_told(tmp_path: Path) -> None:
    path = write_config(tmp_path, "mqtt://localhost", "p")
    assert load(path).metrics is None
    path.write_text(path.read_text() + "metrics: {}\n")
    settings = load(path).metrics
    assert settings is not None
    assert (settings.host, settings.port, settings.devices) == ("127.0.0.1", 9464, 100)
    path.write_text(path.read_text().replace("metrics: {}", "metrics: {prot: 1}"))
    with pytest.raises(ConfigError, match="is `port` meant"):
        load(path)

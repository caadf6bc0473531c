"""What a demo is made of, without running one."""

from pathlib import Path

import pytest

from iot_stream.config import load
from iot_stream.evaluate import demo


@pytest.mark.parametrize("show", [demo.MACHINES, demo.OFFICE, demo.ROLLBACK], ids=lambda show: show.name)
def test_its_dashboard_is_at_the_address_that_is_said(show: demo.Show, tmp_path: Path) -> None:
    said: list[str] = []
    config = load(demo._own_config(show, tmp_path, "mqtt://127.0.0.1:1", said.append))
    assert config.dashboard is not None
    assert said == [f"page     http://127.0.0.1:{config.dashboard.port} shows it in a browser"]


def test_where_it_cannot_be_shown_in_a_browser_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    said: list[str] = []
    config = load(demo._own_config(demo.MACHINES, tmp_path, "mqtt://127.0.0.1:1", said.append))
    assert config.dashboard is None
    assert "pip install 'iot-stream[dashboard]'" in said[0]

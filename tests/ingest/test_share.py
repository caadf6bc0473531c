"""What collectors need to share the work."""

from pathlib import Path

import pytest

from iot_stream.config import load
from iot_stream.errors import ConfigError
from iot_stream.ingest import share

CONFIG = """\
store: {store}
prefix: north
pipelines:
  p:
    window: {{length: 1}}
    task: {{classify: [good, bad]}}
    sources: [{source}]
"""
TELEMETRY = "{channels: {x: x}}"
SPARKPLUG = "{format: sparkplug, channels: {x: x}}"


@pytest.mark.parametrize(
    ("store", "source", "name", "message"),
    [
        ("sqlite:store", TELEMETRY, "a", "in PostgreSQL only"),
        ("postgresql://db/iot", SPARKPLUG, "a", r"pipelines\.p\.sources\[0\]: what sparkplug says"),
        ("postgresql://db/iot", TELEMETRY, "a/b", "'a/b' is no name"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, store: str, source: str, name: str, message: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.format(store=store, source=source))
    with pytest.raises(ConfigError, match=message):
        share.check(load(path), name)


def test_a_shared_subscription_names_its_group_by_the_prefix(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.format(store="postgresql://db/iot", source=TELEMETRY))
    config = load(path)
    share.check(config, "a")
    assert share.shared(["plant/+/x", "#"], config) == [
        "$share/north/plant/+/x",
        "$share/north/#",
    ]
    assert (share.part("a"), share.part("")) == ("collector-a", "collector")

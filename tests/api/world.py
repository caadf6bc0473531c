"""A small world, opened from Python: no broker, no process, a round in a second."""

from pathlib import Path

import iot_stream
from tests.evaluate.replaying import RECORDINGS
from tests.service.running import write_config


def configured(folder: Path, url: str = "mqtt://127.0.0.1:1", prefix: str = "p") -> Path:
    """At port 1 there is no broker."""
    recordings = RECORDINGS | {"labels": {"fraction": 0.3, "delay": "1 s"}}
    recordings["stream"] = {"regimes": ["commissioned", "heavy"], "machines": [0, 4], "bursts": 64}
    return write_config(folder, url, prefix, clock="stream", recordings=recordings)


def opened(folder: Path) -> iot_stream.Opened:
    """With its recordings read."""
    small = iot_stream.open(configured(folder))
    small.read_recordings()
    return small

"""Channels on topics of their own, each at its own times: from messages to windows on an even grid."""

import json
from pathlib import Path

import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.config import load
from iot_stream.ingest.cutter import Cutter
from iot_stream.ingest.intake import Intake
from iot_stream.store import Store
from tests.streams import START

CONFIG = """\
store: sqlite:{folder}
prefix: t
pipelines:
  room:
    clock: stream
    window: {{length: 10, rate: 1/s, gap: 30 s, fill: {fill}, lateness: 20 s}}
    task: {{classify: [a, b]}}
    sources:
      - {{topic: "{topics[0]}", format: json, time: $.at, channels: {{warm: $.v}}}}
      - {{topic: "{topics[1]}", format: json, time: $.at, channels: {{damp: $.v}}}}
"""
EVERY = {"warm": 7, "damp": 11}  # seconds


def said(channel: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (s from the start) and values of a channel."""
    times = np.arange(0 if channel == "warm" else 3, 600, EVERY[channel])
    return times, np.sin(times / 40).astype(np.float32)


@pytest.mark.parametrize("fill", ["linear", "hold"])
def test_each_channel_is_resampled_between_its_own_readings(tmp_path: Path, fill: str) -> None:
    path = tmp_path / "config.yml"
    topics = [f"home/{{device}}/{channel}" for channel in EVERY]
    path.write_text(CONFIG.format(folder=tmp_path / "store", fill=fill, topics=topics))
    config = load(path)
    store = Store(config.store_folder)
    intake, pipeline = Intake(config, store), config.pipelines["room"]
    messages = sorted((t, channel, v) for channel in EVERY for t, v in zip(*said(channel), strict=True))
    origin = START // SECOND
    for at, channel, value in messages:
        payload = json.dumps({"at": origin + int(at), "v": float(value)}).encode()
        with store.write() as tx:
            intake.take(tx, f"home/kitchen/{channel}", payload)
            intake.conclude(tx)
    cut = pipeline.cut(pipeline.student)
    cutter = Cutter(store, "room", pipeline, cut, pipeline.cuts[cut])
    with store.write() as tx:
        while cutter.advance(tx):
            pass
        cutter.save(tx)
    found = store.journal.windows("room", cut.id, (10, 2))
    assert store.faults.counters("room") == []
    store.close()
    assert len(found.x) >= 55
    seconds = (found.starts[:, None] - START) // SECOND + np.arange(10)
    for column, channel in enumerate(cut.inputs):
        times, values = said(channel)
        if fill == "linear":
            expected = np.interp(seconds, times, values, left=np.nan)
        else:
            expected = np.where(
                seconds < times[0], np.nan, values[np.searchsorted(times, seconds, "right") - 1]
            )
        np.testing.assert_allclose(found.x[:, :, column], expected, atol=1e-6)

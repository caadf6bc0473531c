"""A teacher gone wrong in mid-stream: its light sensor stands still, and nobody is dragged down."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from iot_stream.config import Select, load
from iot_stream.evaluate.replay import course
from iot_stream.evaluate.replay.stream import observe
from iot_stream.formats.json_paths import parse_time
from iot_stream.recordings import Recording
from iot_stream.service import bootstrap

EXAMPLE = Path(__file__).parents[2] / "examples" / "occupancy" / "config.yml"
STUCK = parse_time("2015-02-13T10:00", "UTC")


def stuck(recording: Recording) -> Recording:
    """Light stays as it was at that moment, 737 lux."""
    values, column = recording.values.copy(), recording.channels.index("light")
    after = recording.times >= STUCK
    values[after, column] = values[after, column][:1]
    return replace(recording, values=values)


@pytest.mark.slow
def test_a_stuck_light_sensor_drags_nobody_down() -> None:
    pipeline = load(EXAMPLE).pipelines["office"]
    assert pipeline.recordings is not None
    settings = msgspec.structs.replace(
        pipeline.recordings, stream=Select(from_="2015-02-11", to="2015-02-15T22:00")
    )
    pipeline = msgspec.structs.replace(pipeline, recordings=settings)
    recordings = [stuck(each) for each in bootstrap.recorded(pipeline, settings.stream, EXAMPLE.parent)]
    stream = observe(recordings, pipeline)
    found = course.run("office", pipeline, EXAMPLE.parent, stream, [], lambda *_: None, lambda *_: None)
    assert [done.outcome for done in found.rounds[:2]] == ["released", "released"]
    held = [done for done in found.rounds if "the teacher is held: light is stuck" in done.reason]
    assert len(held) >= 2
    assert held == found.rounds[-len(held) :]  # nothing is released any more
    assert {done.outcome for done in held} == {"held"}
    told = stream.truth >= 0
    right = {name: (said == stream.truth)[told].mean() for name, said in found.said.items()}
    assert right["teacher"] < 0.6
    assert right["student"] >= right["static"] - 0.01

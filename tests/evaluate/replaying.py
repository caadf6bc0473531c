"""A small pipeline on a world, replayed in seconds: drift, late labels, a teacher that goes on learning."""

from pathlib import Path

import msgspec

from iot_stream.config import Pipeline, load
from iot_stream.evaluate.replay import course
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream, observe
from iot_stream.recordings import Recording, late_labels
from iot_stream.service import bootstrap
from tests.service.running import NAME, write_config

PLACE = Path()
RECORDINGS = {
    "world": "features",
    "bootstrap": {
        "teacher": {"regimes": ["commissioned", "heavy"], "machines": [100, 108], "bursts": 128},
        "student": {"regimes": ["commissioned"], "machines": [100, 108], "bursts": 128},
    },
    "stream": {"regimes": ["commissioned", "heavy"], "machines": [0, 4], "bursts": 640},
    "segments": "regime",
    "labels": {"fraction": 0.3, "delay": "5 s"},
    "round_time": "2 s",
}


def pipeline(folder: Path, **changes: object) -> Pipeline:
    """Two regimes of 64 s, rounds every 8 s that take 2 s, a third of the labels 5 s late."""
    base = {
        "train": {"steps": 200, "tune_steps": 10},
        "distill": {"first_steps": 200, "steps": 30, "beta": 0.5},
        "triggers": {"every": "16 s", "at_least": 20},
        "recordings": RECORDINGS,
    }
    return load(write_config(folder, "mqtt://localhost", "p", **(base | changes))).pipelines[NAME]


def recorded(settings: Pipeline) -> list[Recording]:
    assert settings.recordings is not None
    return bootstrap.recorded(settings, settings.recordings.stream, PLACE)


def run(settings: Pipeline, recordings: list[Recording], seed: int = 0) -> tuple[Stream, Course]:
    assert settings.recordings is not None
    stream = observe(recordings, settings)
    seeded = msgspec.structs.replace(settings, seed=seed)
    known = late_labels(recordings, settings.recordings, seed)
    return stream, course.run(NAME, seeded, PLACE, stream, known, lambda *_: None, lambda *_: None)

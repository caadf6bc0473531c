"""From a configuration to a result: the recording observed once, a course for each seed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError
from iot_stream.evaluate.machine import machine
from iot_stream.evaluate.replay import costs, course, figures, plan
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.plan import Turn
from iot_stream.evaluate.replay.stream import Stream, observe
from iot_stream.recordings import late_labels
from iot_stream.service import bootstrap

Progress = Callable[[int, int, str], None]
"""Called with (work done, all work, what is under way)."""

STEPS_BEFORE = 10
"""What teacher, first student and static-all weigh in the progress, in rounds."""

PACKAGES = ("torch", "numpy", "onnxruntime")


@dataclass(frozen=True)
class Replay:
    """What a report is made from."""

    name: str
    pipeline: Pipeline
    stream: Stream
    turns: list[Turn]
    courses: list[Course]
    result: dict[str, Any]


def run(name: str, pipeline: Pipeline, folder: Path, seeds: int, progress: Progress) -> Replay:
    """`folder`: the configuration's. Seeds are the configuration's and those after it.

    Raises ConfigError where the recordings give nothing to replay, ModelError.
    """
    settings = pipeline.recordings
    if settings is None:
        raise ConfigError(f"pipelines.{name}.recordings: nothing to replay; name files or a world")
    began = time.perf_counter()
    torch.set_num_threads(1)  # rounds are too small to share, and sums keep their order
    recordings = bootstrap.recorded(pipeline, settings.stream, folder)
    if not recordings:
        raise ConfigError(f"pipelines.{name}.recordings.stream: selects nothing")
    progress(0, 1, "recording: decoding and cutting")
    stream = observe(recordings, pipeline)
    if not (stream.truth >= 0).any():
        raise ConfigError(f"pipelines.{name}.recordings: no labelled window in the stream to score by")
    turns = plan.turns(stream, pipeline.triggers, settings)
    work = _Work(seeds, len(turns), progress)
    courses = []
    for seed in range(pipeline.seed, pipeline.seed + seeds):
        seeded = msgspec.structs.replace(pipeline, seed=seed)
        known = late_labels(recordings, settings, seed)
        courses.append(course.run(name, seeded, folder, stream, known, turns, work.step, work.say))
    result = figures.result(stream, courses)
    result |= {"costs": costs.compared(courses[0], stream)}
    threads = {"threads": str(torch.get_num_threads())}
    result |= {"seconds": round(time.perf_counter() - began, 1), "machine": machine(*PACKAGES) | threads}
    return Replay(name, pipeline, stream, turns, courses, result)


class _Work:
    """How far it is: for each seed what comes before the rounds, then the rounds."""

    def __init__(self, seeds: int, rounds: int, progress: Progress) -> None:
        self._rounds, self._total, self._progress = rounds, seeds * (STEPS_BEFORE + rounds), progress
        self._pieces = 0

    def step(self) -> None:
        self._pieces += 1
        self.say("done" if self._done == self._total else "rounds", "")

    def say(self, stage: str, detail: str) -> None:
        if not self._within_rounds or not detail:
            self._progress(self._done, self._total, f"{stage}: {detail}" if detail else stage)

    @property
    def _within_rounds(self) -> bool:
        return self._pieces % (1 + self._rounds) > 0

    @property
    def _done(self) -> int:
        seeds, rest = divmod(self._pieces, 1 + self._rounds)
        return seeds * (STEPS_BEFORE + self._rounds) + (STEPS_BEFORE + rest - 1 if rest else 0)

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
from iot_stream.evaluate.replay import costs, course, figures
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream, observe
from iot_stream.recordings import late_labels
from iot_stream.service import bootstrap

Progress = Callable[[int, int, str], None]
"""Called with (work done, all work, what is under way)."""

WHOLE = 1000
BEFORE = 0.2
"""A seed in the progress, and the share of it that teacher, first student and static-all have."""

PACKAGES = ("torch", "numpy", "onnxruntime")


@dataclass(frozen=True)
class Replay:
    """What a report is made from."""

    name: str
    pipeline: Pipeline
    stream: Stream
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
    work = _Work(seeds, stream, progress)
    courses = []
    for number, seed in enumerate(range(pipeline.seed, pipeline.seed + seeds)):
        work.begin(number)
        seeded = msgspec.structs.replace(pipeline, seed=seed)
        known = late_labels(recordings, settings, seed)
        courses.append(course.run(name, seeded, folder, stream, known, work.step, work.say))
    work.finish()
    result = figures.result(stream, courses)
    result |= {"costs": costs.compared(courses[0], stream)}
    threads = {"threads": str(torch.get_num_threads())}
    result |= {"seconds": round(time.perf_counter() - began, 1), "machine": machine(*PACKAGES) | threads}
    return Replay(name, pipeline, stream, courses, result)


class _Work:
    """How far it is: of each seed what comes before the rounds, then how much of the stream is over.

    How many rounds there will be nobody knows: a trigger may depend on what models say.
    """

    def __init__(self, seeds: int, stream: Stream, progress: Progress) -> None:
        self._total, self._progress = seeds * WHOLE, progress
        self._begin, self._end = int(stream.ends.min()), int(stream.ends.max())
        self._seed, self._done = 0, 0
        self._rounds = False  # before them there is something to be said

    def begin(self, seed: int) -> None:
        """`seed`: how many came before it."""
        self._seed, self._done, self._rounds = seed, seed * WHOLE, False

    def step(self, now: int | None) -> None:
        """A round is over that began at `now` (ns); None: what comes before the rounds is."""
        past = 0.0 if now is None else (now - self._begin) / max(1, self._end - self._begin)
        share = BEFORE + (1 - BEFORE) * min(1.0, max(0.0, past))
        self._done, self._rounds = round(WHOLE * (self._seed + share)), True
        self._progress(self._done, self._total, "rounds")

    def say(self, stage: str, detail: str) -> None:
        if not self._rounds:
            self._progress(self._done, self._total, f"{stage}: {detail}")

    def finish(self) -> None:
        self._progress(self._total, self._total, "done")

"""From a configuration to a result: the recording observed once, a course for each seed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from threadpoolctl import threadpool_limits

from iot_stream.config import Pipeline
from iot_stream.distill import machines
from iot_stream.errors import ConfigError
from iot_stream.evaluate.machine import machine
from iot_stream.evaluate.peers import run as peers
from iot_stream.evaluate.replay import costs, course, figures
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream, observe
from iot_stream.recordings import Recording, late_labels
from iot_stream.service import bootstrap

Progress = Callable[[int, int, str], None]
"""Called with (work done, all work, what is under way)."""

WHOLE = 1000
BEFORE, BESIDE_PEERS = 0.2, 0.5
"""A seed in the progress, the share of it when teacher, first student and static-all are there, and when the
rounds are over and peers follow."""

PACKAGES = ("torch", "numpy", "onnxruntime")


@dataclass(frozen=True)
class Replay:
    """What a report is made from."""

    name: str
    pipeline: Pipeline
    stream: Stream
    courses: list[Course]
    result: dict[str, Any]


def run(
    name: str, pipeline: Pipeline, folder: Path, seeds: int, progress: Progress, beside_peers: bool = False
) -> Iterator[Replay]:
    """After each seed, of all so far; the last is the whole. `folder`: the configuration's. Seeds are the
    configuration's and those after it.

    Raises ConfigError where the recordings give nothing to replay, ModelError.
    """
    settings = pipeline.recordings
    if settings is None:
        raise ConfigError(f"pipelines.{name}.recordings: nothing to replay; name files or a world")
    if beside_peers:
        peers.check()
    began = time.perf_counter()
    torch.set_num_threads(1)  # rounds are too small to share, and sums keep their order
    threadpool_limits(1)  # numpy's too
    recordings = bootstrap.recorded(pipeline, settings.stream, folder)
    if not recordings:
        raise ConfigError(f"pipelines.{name}.recordings.stream: selects nothing")
    progress(0, 1, "recording: decoding and cutting")
    stream = observe(recordings, pipeline)
    if not (stream.truth >= 0).any():
        raise ConfigError(f"pipelines.{name}.{_why_unscored(stream, recordings, pipeline)}")
    work = _Work(seeds, BESIDE_PEERS if beside_peers else 1.0, progress)
    courses: list[Course] = []
    packages = (*PACKAGES, *(peers.packages() if beside_peers else ()))
    saved: dict[str, Any] = {}
    with machines.joined((pipeline.cohorts,)):
        for number, seed in enumerate(range(pipeline.seed, pipeline.seed + seeds)):
            work.begin(number)
            seeded = msgspec.structs.replace(pipeline, seed=seed)
            known = late_labels(recordings, settings, seed)
            courses.append(course.run(name, seeded, folder, stream, known, work.step, work.say, beside_peers))
            result = figures.result(stream, courses)
            if beside_peers:
                result["peers"] |= {peer: {"not_run": reason} for peer, reason in peers.absent().items()}
            saved = saved or {
                "costs": costs.compared(courses[0], stream),
                "machine": machine(*packages) | {"threads": str(torch.get_num_threads())},
            }
            result |= saved | {"seconds": round(time.perf_counter() - began, 1)}
            yield Replay(name, pipeline, stream, list(courses), result)
    work.finish()


def _why_unscored(stream: Stream, recordings: list[Recording], pipeline: Pipeline) -> str:
    if len(stream):
        return "recordings: no labelled window in the stream to score by; is `label` the right column?"
    longest, length = max(len(each.times) for each in recordings), pipeline.window.length
    return f"window: no window in the stream: {length} readings make one, the longest recording has {longest}"


class _Work:
    """How far it is: of each seed what comes before the rounds, how much of the stream is over, then peers.

    How many rounds there will be nobody knows: a trigger may depend on what models say.
    """

    def __init__(self, seeds: int, rounds_end: float, progress: Progress) -> None:
        self._total, self._progress = seeds * WHOLE, progress
        self._spans = {course.ROUNDS: (BEFORE, rounds_end), course.PEERS: (rounds_end, 1.0)}
        self._seed, self._done = 0, 0
        self._preparing = True  # then there is something to be said

    def begin(self, seed: int) -> None:
        """`seed`: how many came before it."""
        self._seed, self._done, self._preparing = seed, seed * WHOLE, True

    def step(self, what: str, share: float) -> None:
        begin, end = self._spans[what]
        done = begin + (end - begin) * min(1.0, max(0.0, share))
        self._done, self._preparing = round(WHOLE * (self._seed + done)), False
        self._progress(self._done, self._total, what)

    def say(self, stage: str, detail: str) -> None:
        if self._preparing:
            self._progress(self._done, self._total, f"{stage}: {detail}")

    def finish(self) -> None:
        self._progress(self._total, self._total, "done")

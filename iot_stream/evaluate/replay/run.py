"""From a configuration to a result: the recording observed once, a course for each seed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec
import torch

from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError
from iot_stream.evaluate.machine import machine
from iot_stream.evaluate.peers import run as peers
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

A_PEER = 20
"""What a peer weighs, tuning and all."""

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


def run(
    name: str, pipeline: Pipeline, folder: Path, seeds: int, progress: Progress, beside_peers: bool = False
) -> Replay:
    """`folder`: the configuration's. Seeds are the configuration's and those after it.

    Raises ConfigError where the recordings give nothing to replay, ModelError.
    """
    settings = pipeline.recordings
    if settings is None:
        raise ConfigError(f"pipelines.{name}.recordings: nothing to replay; name files or a world")
    if beside_peers:
        peers.check()
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
    work = _Work(seeds, len(turns), len(peers.present()) if beside_peers else 0, progress)
    courses = []
    for seed in range(pipeline.seed, pipeline.seed + seeds):
        seeded = msgspec.structs.replace(pipeline, seed=seed)
        known = late_labels(recordings, settings, seed)
        courses.append(
            course.run(name, seeded, folder, stream, known, turns, work.step, work.say, beside_peers)
        )
    result = figures.result(stream, courses)
    if beside_peers:
        result["peers"] |= {name: {"not_run": reason} for name, reason in peers.absent().items()}
    result |= {"costs": costs.compared(courses[0], stream)}
    packages = (*PACKAGES, *(peers.packages() if beside_peers else ()))
    threads = {"threads": str(torch.get_num_threads())}
    result |= {"seconds": round(time.perf_counter() - began, 1), "machine": machine(*packages) | threads}
    return Replay(name, pipeline, stream, turns, courses, result)


class _Work:
    """How far it is: for each seed what comes before the rounds, then the rounds, then the peers."""

    def __init__(self, seeds: int, rounds: int, peers: int, progress: Progress) -> None:
        weights = [STEPS_BEFORE, *[1] * rounds, *[A_PEER] * peers]
        self._done = [0, *accumulate(weights * seeds)]
        self._each, self._rounds, self._progress = len(weights), rounds, progress
        self._pieces = 0

    def step(self) -> None:
        self._pieces += 1
        self.say(self._stage, "")

    def say(self, stage: str, detail: str) -> None:
        between = self._pieces % self._each == 0
        if between or not detail:
            what = f"{stage}: {detail}" if detail else stage
            self._progress(self._done[self._pieces], self._done[-1], what)

    @property
    def _stage(self) -> str:
        if self._pieces == len(self._done) - 1:
            return "done"
        return "peers" if self._pieces % self._each > self._rounds else "rounds"

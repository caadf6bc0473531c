"""From a configuration to a result: the recording observed once, a course for each seed."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iot_stream.config import Pipeline
from iot_stream.errors import ConfigError
from iot_stream.evaluate.machine import machine
from iot_stream.evaluate.peers import run as peers
from iot_stream.evaluate.replay import costs, course, figures
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.seeds import PREPARING, Runs, courses, one_thread
from iot_stream.evaluate.replay.stream import Stream, observe
from iot_stream.recordings import Recording
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
    name: str,
    pipeline: Pipeline,
    folder: Path,
    seeds: int,
    progress: Progress,
    beside_peers: bool = False,
    jobs: int = 1,
) -> Iterator[Replay]:
    """After each seed, of all so far; the last is the whole. `folder`: the configuration's. Seeds are the
    configuration's and those after it; `jobs` of them run side by side.

    Raises ConfigError where the recordings give nothing to replay, ModelError.
    """
    settings = pipeline.recordings
    if settings is None:
        raise ConfigError(f"pipelines.{name}.recordings: nothing to replay; name files or a world")
    if beside_peers:
        peers.check()
    began = time.perf_counter()
    one_thread()
    recordings = bootstrap.recorded(pipeline, settings.stream, folder)
    if not recordings:
        raise ConfigError(f"pipelines.{name}.recordings.stream: selects nothing")
    progress(0, 1, "recording: decoding and cutting")
    stream = observe(recordings, pipeline)
    if not (stream.truth >= 0).any():
        raise ConfigError(f"pipelines.{name}.{_why_unscored(stream, recordings, pipeline)}")
    work = _Work(seeds, BESIDE_PEERS if beside_peers else 1.0, progress)
    runs = Runs(name, pipeline, folder, recordings, stream, beside_peers)
    packages = (*PACKAGES, *(peers.packages() if beside_peers else ()))
    done: list[Course] = []
    saved: dict[str, Any] = {}
    for each in courses(runs, seeds, jobs, work.tell):
        done.append(each)
        result = figures.result(stream, done)
        if beside_peers:
            result["peers"] |= {peer: {"not_run": reason} for peer, reason in peers.absent().items()}
        saved = saved or {
            "costs": costs.compared(done[0], stream),
            "machine": machine(*packages) | {"threads": str(min(jobs, seeds))},
        }
        result |= saved | {"seconds": round(time.perf_counter() - began, 1)}
        yield Replay(name, pipeline, stream, list(done), result)
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
        self._done, self._progress = [0] * seeds, progress
        self._spans = {course.ROUNDS: (BEFORE, rounds_end), course.PEERS: (rounds_end, 1.0)}

    def tell(self, number: int, what: str, how: float | str) -> None:
        """Of seed `number`; see seeds.Tell."""
        if what == PREPARING:
            if self._done[number] == 0:  # rounds prepare too, each by itself
                self._show(str(how))
            return
        begin, end = self._spans[what]
        done = begin + (end - begin) * min(1.0, max(0.0, float(how)))
        self._done[number] = round(WHOLE * done)
        self._show(what)

    def finish(self) -> None:
        self._done = [WHOLE] * len(self._done)
        self._show("done")

    def _show(self, what: str) -> None:
        self._progress(sum(self._done), WHOLE * len(self._done), what)

"""A course for each seed: one after the other, or side by side in processes of their own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import Manager
from pathlib import Path
from queue import Queue
from threading import Thread

import msgspec
import torch
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from iot_stream.config import Pipeline
from iot_stream.distill import machines
from iot_stream.distill.models import factory
from iot_stream.errors import ModelError
from iot_stream.evaluate.replay import course
from iot_stream.evaluate.replay.course import Course
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.recordings import Recording, late_labels

PREPARING = "preparing"
Tell = Callable[[int, str, float | str], None]
"""Called with which seed it is of all, counted from 0, what is under way, and the share of it that is done;
while teacher and first student are made PREPARING, and in words what comes."""


@dataclass(frozen=True)
class Runs:
    """What all seeds share; `stream` is the recordings' as the service would have seen it."""

    name: str
    pipeline: Pipeline
    folder: Path
    recordings: list[Recording]
    stream: Stream
    beside_peers: bool

    def run(self, number: int, tell: Tell) -> Course:
        seed = self.pipeline.seed + number
        pipeline = msgspec.structs.replace(self.pipeline, seed=seed)
        assert pipeline.recordings  # there is a stream
        known = late_labels(self.recordings, pipeline.recordings, seed)
        return course.run(
            self.name,
            pipeline,
            self.folder,
            self.stream,
            known,
            lambda what, share: tell(number, what, share),
            lambda stage, detail: tell(number, PREPARING, f"{stage}: {detail}"),
            self.beside_peers,
        )


def one_thread() -> None:
    """For this process: rounds are too small to share, and sums keep their order."""
    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's


def courses(runs: Runs, seeds: int, jobs: int, tell: Tell) -> Iterator[Course]:
    """In order of their seeds, each as soon as it and those before it are there; `jobs` at a time.

    Raises ConfigError, DataError, ModelError.
    """
    if jobs == 1:
        with machines.joined((runs.pipeline.cohorts,)):
            yield from (runs.run(number, tell) for number in range(seeds))
    else:
        yield from _side_by_side(runs, range(seeds), jobs, tell)


def _side_by_side(runs: Runs, numbers: Sequence[int], jobs: int, tell: Tell) -> Iterator[Course]:
    factory.importable(runs.folder)  # a student of the user's own comes back as its class
    with Manager() as manager:
        told = manager.Queue()
        listening = Thread(target=_listen, args=(told, tell), daemon=True)
        listening.start()
        # Copied, not mapped: a mapped array cannot be written to, and goes when its folder goes.
        workers = Parallel(jobs, return_as="generator", max_nbytes=None)
        try:
            yield from workers(delayed(_alone)(runs, number, told) for number in numbers)
        except BrokenProcessPool as error:
            raise ModelError(
                "a seed's process was ended from outside, perhaps for want of memory; try fewer --jobs"
            ) from error
        finally:
            told.put(None)
            listening.join()


def _alone(runs: Runs, number: int, told: "Queue[tuple[int, str, float | str] | None]") -> Course:
    """In a process of its own."""
    one_thread()
    with machines.joined((runs.pipeline.cohorts,)):
        return runs.run(number, lambda *what: told.put(what))


def _listen(told: "Queue[tuple[int, str, float | str] | None]", tell: Tell) -> None:
    while what := told.get():
        tell(*what)

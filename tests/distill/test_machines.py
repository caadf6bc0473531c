"""Stacks on a real Ray cluster of this machine's: the same students, also when workers die."""

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iot_stream.config.cohorts import RAY, Cohorts
from iot_stream.distill import machines
from iot_stream.distill.cohorts import Learn, Lesson, distil_together, learn_here
from iot_stream.distill.trainer import Trained
from iot_stream.errors import ConfigError, ModelError
from tests.distill.test_cohorts import CHANNELS, CLASSES, LENGTH, SETTINGS, lesson
from tests.evaluate import replaying

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    with machines.joined([Cohorts(), Cohorts(engine=RAY)]):
        assert signal.getsignal(signal.SIGTERM) is before
        yield


class Marking(nn.Module):
    """A student that leaves a byte in a file at each step; where `fatal` is no file, its third step makes it
    one and is the end of its process."""

    def __init__(self, steps: Path, fatal: Path | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * CHANNELS, CLASSES))
        self.steps, self.fatal = steps, fatal

    def forward(self, x: Tensor) -> Tensor:
        with self.steps.open("ab") as file:
            file.write(b".")
        if self.fatal is not None and self.steps.stat().st_size == 3:
            self.fatal.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        said: Tensor = self.layers(x)
        return said


class Foreign(nn.Linear):
    """Of a module that the others have not."""

    def __reduce__(self) -> Any:
        return importlib.import_module, ("nets",)


def marking(number: int, steps: Path, fatal: Path | None = None) -> Lesson:
    torch.manual_seed(number)
    return replace(lesson(number, 40), student=Marking(steps, fatal), anchor=None)


def learnt(lessons: list[Lesson], learn: Learn, most: int = 2) -> list[tuple[dict[str, bytes], object]]:
    """Of each lesson all that the student is, and all that is told of its training but for the time."""
    outcomes = distil_together(lessons, most, learn)
    return [
        (_bytes(each.student.state_dict()), _told(outcome))
        for each, outcome in zip(lessons, outcomes, strict=True)
    ]


def _bytes(state: dict[str, Tensor]) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in state.items()}


def _told(outcome: Trained | ModelError) -> object:
    if isinstance(outcome, ModelError):
        return str(outcome)
    return outcome.losses, outcome.steps, outcome.windows, _bytes(dict(outcome.last or {}))


def mixed() -> list[Lesson]:
    """Five of a form with other data, weights and labels; two of another; one by itself; one with nothing."""
    early = msgspec.structs.replace(SETTINGS, plateau=0.2, ema=0.0)
    hints = msgspec.structs.replace(SETTINGS, loss="hints")
    features = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    return [
        *(lesson(seed, 40 + 13 * seed) for seed in range(5)),
        *(lesson(seed, 40, "mlp", settings=early) for seed in range(2)),
        lesson(7, 40, "mlp", settings=hints, features=features),
        lesson(8, 0),
    ]


def test_the_students_are_those_of_the_plain_engine_byte_for_byte(cluster: None) -> None:
    assert learnt(mixed(), machines.learn) == learnt(mixed(), learn_here)


@pytest.mark.long
def test_a_worker_killed_in_the_midst_of_a_lesson_is_nothing_lost(cluster: None, tmp_path: Path) -> None:
    steps, fatal, plain = tmp_path / "steps", tmp_path / "fatal", tmp_path / "plain"
    found = learnt([marking(0, steps, fatal), *mixed()], machines.learn, most=1)
    assert fatal.exists()
    assert steps.stat().st_size == 3 + SETTINGS.steps  # once more from the beginning
    assert found == learnt([marking(0, plain), *mixed()], learn_here, most=1)


def test_what_another_machine_cannot_build_fails_by_itself(cluster: None) -> None:
    foreign = replace(lesson(0, 40), student=Foreign(CHANNELS, CLASSES), anchor=None)
    failed, sound = distil_together([foreign, lesson(1, 40)], learn=machines.learn)
    assert isinstance(failed, ModelError)
    assert re.fullmatch(r"Ray has not learnt a stack of 1: .*No module named 'nets'", str(failed))
    assert isinstance(sound, Trained)


def test_a_lesson_that_fails_does_so_once_and_alone(cluster: None, tmp_path: Path) -> None:
    def lessons(steps: Path) -> list[Lesson]:
        made = [marking(number, steps) for number in range(2)]
        return [made[0], replace(made[1], teacher_logits=made[1].teacher_logits * np.float32(np.nan))]

    found = learnt(lessons(tmp_path / "ray"), machines.learn)
    assert (tmp_path / "ray").stat().st_size == SETTINGS.steps
    assert "the loss became" in str(found[1][1])
    assert found == learnt(lessons(tmp_path / "plain"), learn_here)


@pytest.mark.long
def test_a_replay_comes_to_the_same_end(cluster: None, tmp_path: Path) -> None:
    stream = {"stream": {"regimes": ["commissioned", "heavy"], "machines": [0, 3], "bursts": 256}}
    courses = []
    for engine in ("plain", RAY):
        cohorts = {"by": "device", "engine": engine, "stack": 2}
        settings = replaying.pipeline(tmp_path, cohorts=cohorts, recordings=replaying.RECORDINGS | stream)
        _, course = replaying.run(settings, replaying.recorded(settings))
        courses.append(course)
    plain, ray = courses
    assert len(plain.rounds) >= 3
    assert ray.student == plain.student
    for lane, said in plain.said.items():
        np.testing.assert_array_equal(ray.said[lane], said)


def test_without_ray_its_name_and_the_remedy_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'iot-stream\[ray\]'"), joining():
        pass


def joining(**more: object) -> AbstractContextManager[None]:
    return machines.joined([msgspec.convert({"engine": RAY} | more, Cohorts)])


def test_a_cluster_that_is_not_there_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    with pytest.raises(ModelError, match="`ray start --head`"), joining(address=f"127.0.0.1:{closed}"):
        pass


JOINED = """
import sys
from iot_stream.config.cohorts import Cohorts
from iot_stream.errors import ModelError
from iot_stream.service.distiller import machines

with machines.joined([Cohorts()]):
    print("ray" in sys.modules)
try:
    with machines.joined([Cohorts(engine="ray", threads=10_000)]):
        print("joined")
except ModelError as error:
    print(error)
"""


@pytest.mark.long
def test_it_is_left_out_unless_asked_for_and_leaves_nothing_behind() -> None:
    """A cluster too small for so many threads comes and goes, and says nothing of its own."""
    mark = f"IOT_STREAM_TEST={uuid.uuid4()}"
    ran = subprocess.run(
        [sys.executable, "-c", JOINED],
        cwd=ROOT,
        env=os.environ | dict([mark.split("=")]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=90,
    )
    without, told = ran.stdout.splitlines()
    assert without == "False"
    assert told.startswith("cohorts: threads: 10000: a machine of the Ray cluster has ")
    assert not marked(mark)


def marked(mark: str) -> list[Path]:
    """Processes that have this in their environment, as descendants inherit it."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended meanwhile, or is not ours
            if mark.encode() in environment.read_bytes():
                found.append(environment.parent)
    return found

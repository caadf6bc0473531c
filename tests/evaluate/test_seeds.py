"""Seeds side by side, each in a process of its own."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iot_stream.config import Pipeline
from iot_stream.errors import DataError, IotStreamError, ModelError
from iot_stream.evaluate.replay.run import run
from tests.evaluate.replaying import RECORDINGS, pipeline
from tests.service.running import NAME

pytestmark = pytest.mark.slow

NETS = """
import os

import torch


def net(length, channels, classes, seed):
    return torch.nn.Sequential(torch.nn.Flatten(), Net(channels * length, classes))


class Net(torch.nn.Linear):
    pass


def killed(length, channels, classes, seed):
    os.kill(os.getpid(), 9)
"""


def replayed(settings: Pipeline, folder: Path, jobs: int) -> Iterator[Any]:
    for each in run(NAME, settings, folder, 2, lambda *_: None, jobs=jobs):
        yield _timeless(each.result)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        measured = {"seconds", "costs", "machine"}
        return {key: _timeless(each) for key, each in value.items() if key not in measured}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def test_figures_are_those_of_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text(NETS)
    few = {"stream": {"regimes": ["commissioned"], "machines": [0, 2], "bursts": 160}}
    quick = {"first_steps": 20, "steps": 5}
    settings = pipeline(tmp_path, student={"arch": "users:net"}, distill=quick, recordings=RECORDINGS | few)
    assert list(replayed(settings, tmp_path, 2)) == list(replayed(settings, tmp_path, 1))


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text(NETS)
    settings = pipeline(tmp_path, teacher={"arch": "users:killed"})
    with pytest.raises(ModelError, match=r"ended from outside.*fewer --jobs"):
        list(replayed(settings, tmp_path, 2))


@pytest.mark.parametrize("error", [IotStreamError("told"), DataError("too old", "told")])
def test_an_error_is_the_same_from_another_process(error: IotStreamError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

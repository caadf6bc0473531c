"""Stacks of students on many machines, by Ray (Moritz et al., arXiv 1712.05889): a stack is a task.

What learns together is cut as for one machine, and learns by the same lines: the students are the same byte
for byte, however many machines there are, if their processors are of one kind. A worker that dies takes
nothing with it, for what it learnt from stands in Ray's store: Ray gives the task to another. A lesson that
fails is an outcome like any other, and is not tried again.

The one file that knows Ray, which it imports only where a configuration asks for it.
"""

import importlib
import logging
import os
import secrets
import signal
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from torch import Tensor

from iot_stream.config.cohorts import LOCAL, RAY, Cohorts
from iot_stream.distill.cohorts import Lesson, Outcome, Stack, learn_here
from iot_stream.distill.engine import CPU, Engine
from iot_stream.errors import ConfigError, ModelError

RETRIES = 3  # of a task whose worker died
REACH_S = 5.0
QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}
Learnt = list[tuple[dict[str, Tensor], Outcome]]


@contextmanager
def joined(settings: Iterable[Cohorts]) -> Iterator[None]:
    """In the cluster while this process distils, if any of the settings asks for it; their address is one.

    Raises ConfigError where Ray is not installed, ModelError where the cluster cannot be reached, or has no
    machine with processors for as many threads as a stack is to have.
    """
    wanting = [each for each in settings if each.engine == RAY]
    if not wanting:
        yield
        return
    (address,) = {each.address for each in wanting}
    os.environ |= _environment(address)
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError("cohorts: engine: ray needs Ray: pip install 'iot-stream[ray]'") from error
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**_place(address), **QUIET)
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreached(address, error) from error
    finally:
        signal.signal(signal.SIGTERM, terminated)  # Ray puts its own in its place
    try:
        _check(ray, max(each.threads or 1 for each in wanting))
        yield
    finally:
        ray.shutdown()


def _environment(address: str) -> dict[str, str]:
    """What Ray reads when it is imported."""
    silent = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address != LOCAL:
        return silent
    # The processes that it starts listen on all addresses of the machine; who lacks this is not let in.
    return silent | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _place(address: str) -> dict[str, Any]:
    """What `ray.init` is to be told. Raises OSError where nobody listens."""
    if address == LOCAL:
        return {"address": LOCAL, "include_dashboard": False}
    # Ray itself would ask for minutes, and fill the terminal.
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), REACH_S).close()
    return {"address": address}


def _unreached(address: str, error: Exception) -> ModelError:
    why = _first_line(error.__cause__ or error)
    if address == LOCAL:
        return ModelError(f"cohorts: Ray does not start on this machine: {why}; `engine: plain` needs none")
    return ModelError(
        f"cohorts: no Ray cluster at {address}: {why}; start one by `ray start --head`, let this machine "
        f"join it by `ray start --address {address}`, or take `address: local`"
    )


def _check(ray: Any, threads: int) -> None:
    most = max(int(each["Resources"].get("CPU", 0)) for each in ray.nodes())
    if most < threads:
        raise ModelError(
            f"cohorts: threads: {threads}: a machine of the Ray cluster has {most} processors at most"
        )


def learn(stacks: Sequence[Stack], threads: int | None = None) -> list[list[Outcome]]:
    """As `learn_here`, all stacks at once on the machines of the cluster; left out, `threads` is 1.

    What computes on a GPU learns here. To be called within `joined`.
    """
    ray, threads = importlib.import_module("ray"), threads or 1
    assert ray.is_initialized(), "Ray would start a cluster of its own"
    task = ray.remote(num_cpus=threads, max_retries=RETRIES)(_learn)
    settled = [[_settled(lesson) for lesson in stack] for stack in stacks]
    asked = {
        number: task.remote(ray.put(stack), threads)
        for number, stack in enumerate(settled)
        if stack[0].settings.device == CPU.type
    }
    return [
        _answer(ray, stack, asked[number]) if number in asked else learn_here([stack])[0]
        for number, stack in enumerate(settled)
    ]


def _settled(lesson: Lesson) -> Lesson:
    """With device and precision as they are chosen here, whatever the other machine has."""
    engine = Engine.of(lesson.settings, lesson.student)
    precision = "bfloat16" if engine.bfloat16 else "float32"
    chosen = msgspec.structs.replace(lesson.settings, device=engine.device.type, precision=precision)
    return replace(lesson, settings=chosen)


def _learn(lessons: Stack, threads: int) -> Learnt:
    """What a worker does; what it makes of the students is in their weights and buffers."""
    own = [_own(lesson) for lesson in lessons]
    (outcomes,) = learn_here([own], threads)
    return [(lesson.student.state_dict(), outcome) for lesson, outcome in zip(own, outcomes, strict=True)]


def _own(lesson: Lesson) -> Lesson:
    """With arrays of its own: those that lie in Ray's store cannot be written, which torch warns of."""
    arrays: dict[str, Any] = {
        name: np.array(value) for name, value in vars(lesson).items() if isinstance(value, np.ndarray)
    }
    return replace(lesson, **arrays)


def _answer(ray: Any, stack: Stack, task: Any) -> list[Outcome]:
    """What came of a task; its students are put into those of the stack."""
    try:
        learnt: Learnt = ray.get(task)
    except ray.exceptions.RayError as error:
        failed = ModelError(f"Ray has not learnt a stack of {len(stack)}: {_first_line(error)}")
        return [failed for _ in stack]
    for lesson, (state, _) in zip(stack, learnt, strict=True):
        lesson.student.load_state_dict(state)
        lesson.student.eval()
    return [outcome for _, outcome in learnt]


def _first_line(error: BaseException) -> str:
    """Of its cause, where a task raised it: the rest is the worker's traceback."""
    cause = getattr(error, "cause", None) or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]

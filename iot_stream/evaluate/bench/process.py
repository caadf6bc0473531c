"""Processes of a benchmark: told what to do, they say when they are ready, go when all are, and say what came
out. Whatever ends the benchmark ends them."""

import json
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from iot_stream.errors import IotStreamError

Task = dict[str, Any]
PATIENCE_S = 120.0


class Child:
    """`module` run as a process, at work on `task`."""

    def __init__(self, module: str, task: Task) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def said(self) -> Task:
        """What it says next; raises IotStreamError if it ends instead."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise IotStreamError(f"{self._module} ended with {self._process.wait()}, see above")
        told: Task = json.loads(line)
        return told

    def go(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()


def say(**what: Any) -> None:
    """To the benchmark, from one of its processes."""
    print(json.dumps(what), flush=True)


def main(work: Callable[[Task], None]) -> None:
    """The whole of a process: its task is its argument."""
    work(json.loads(sys.argv[1]))


def wait_for_go() -> None:
    sys.stdin.readline()

"""What several commands share: options, the store of a configuration, and a clean end."""

import os
import signal
import threading
import time
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from iot_stream.config import Config, Pipeline, load
from iot_stream.errors import ConfigError, DataError, ModelError
from iot_stream.formats.json_paths import parse_time
from iot_stream.store import Store

GRACE_S = 1.5


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path),
        default="iot-stream.yml",
        show_default=True,
        help="The service's configuration.",
    )(command)


def pipeline_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--pipeline", help="Which pipeline, where there are several.")(command)


def opened(path: Path) -> tuple[Config, Store]:
    config = load(path)
    return config, Store(config.store_place)


def pick(config: Config, name: str | None) -> tuple[str, Pipeline]:
    """The named pipeline, or the only one; raises ConfigError."""
    if name is None and len(config.pipelines) == 1:
        return next(iter(config.pipelines.items()))
    if name not in config.pipelines:
        raise ConfigError(f"--pipeline: {name or 'name one of'} {', '.join(config.pipelines)}")
    return name, config.pipelines[name]


class _Time(click.ParamType[int]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return parse_time(value, "UTC")
        except DataError as error:
            self.fail(error.detail, param, ctx)


def time_option(*names: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that is a time, naive ones in UTC: nanoseconds."""
    return click.option(*names, type=_Time(), **settings)


def known_device(store: Store, pipeline: str, name: str) -> None:
    """Raises ConfigError if nothing of the device is stored: a slip of the pen would do nothing, silently."""
    known = store.journal.readings(pipeline)
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"is {near[0]} meant?" if near else "`iot-stream windows stats` shows those that have"
        raise ConfigError(f"{pipeline} has no reading of {name!r}; {hint}")


def ask(store: Store, part: str, wait: float, kind: str, pipeline: str, **arguments: Any) -> None:
    """Ask a running part for something, and say what came of it; raises ModelError."""
    command = store.registry.command("cli", kind, pipeline, **arguments)
    deadline = time.monotonic() + wait
    state, outcome = store.registry.outcome(command)
    while state == "open" and time.monotonic() < deadline:
        time.sleep(0.1)
        state, outcome = store.registry.outcome(command)
    if state == "failed":
        raise ModelError(outcome)
    if state == "open":
        missing = f"no {part} has answered yet, is `iot-stream serve` running?"
        outcome = f"asked for as command {command}; {missing}"
    click.echo(outcome)


def until_stopped() -> threading.Event:
    """Set by Ctrl-C and SIGTERM."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def until_part_stopped(supervised: bool) -> threading.Event:
    """As `until_stopped`, and by the end of standard input when supervised; the part ends in seconds.

    What it has not finished by then (a training step, an export) is cut off: the next start goes on
    from the store as after any crash.
    """
    stopping = until_stopped()
    if supervised:
        # Ctrl-C reaches the whole group; the supervisor decides when its parts end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_watch_parent, args=(stopping,), name="parent", daemon=True).start()
    threading.Thread(target=_cut_off, args=(stopping,), name="cut-off", daemon=True).start()
    return stopping


def _watch_parent(stopping: threading.Event) -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when the interpreter ends
        pass
    stopping.set()


def _cut_off(stopping: threading.Event) -> None:
    stopping.wait()
    threading.Event().wait(GRACE_S)
    os._exit(0)

"""What several commands share: options, the store of a configuration, and a clean end."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from iot_stream.config import Config, Pipeline, load
from iot_stream.errors import ConfigError, DataError
from iot_stream.formats.json_paths import parse_time
from iot_stream.readings import device_name
from iot_stream.stopping import until_stopped
from iot_stream.store import Store

GRACE_S = 1.5
BAR = 24  # columns

T = TypeVar("T")


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
    """Configuration and store, made where there is none; told, for another may be meant."""
    config = load(path)
    place = config.store_place
    if isinstance(place, Path) and not place.exists():
        click.echo(f"there was no store at {place}; a new one is made", err=True)
    return config, Store(place)


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


class _Device(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return device_name(value) if value else ""
        except DataError as error:
            self.fail(error.detail, param, ctx)


DEVICE = _Device()
"""A device, or "" for none: "living room/climate" is taken for "living room%2Fclimate"."""


def counted(items: Iterable[T], total: int, what: str, size: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """Each as it comes; beneath what is printed of them, in a terminal, a bar and the time that is left.

    `total` of their sizes; 0 where nobody knows.
    """
    seen, done, began = sys.stderr.isatty(), 0, time.monotonic()
    waiting = iter(items)
    while True:
        if seen:
            sys.stderr.write(f"\r{_bar(done, total, what, time.monotonic() - began)}\033[K")
            sys.stderr.flush()
        item = next(waiting, None)
        if seen:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
        if item is None:
            return
        yield item
        done += size(item)


def _bar(done: int, total: int, what: str, elapsed: float) -> str:
    if not total:
        return f"{done:,} {what}"
    full = min(BAR, BAR * done // total)
    left = f", about {lasting((total - done) * elapsed / done)} left" if 0 < done < total else ""
    return f"[{'#' * full}{'-' * (BAR - full)}] {done:,} of {total:,} {what}{left}"


def lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def nothing_yet(what: str, remedy: str) -> None:
    """Where a list is empty: on standard error, so that what reads the list is not misled."""
    click.echo(f"{what} yet; {remedy}", err=True)


def until_part_stopped(supervised: bool, interrupted: Callable[[], object] = lambda: None) -> threading.Event:
    """As `until_stopped`, and by the end of standard input when supervised; the part ends in seconds.

    What it has not finished by then (a training step, an export) is cut off, which `interrupted` may write
    down: the next start goes on from the store as after any crash.
    """
    stopping = until_stopped()
    if supervised:
        # Ctrl-C reaches the whole group; the supervisor decides when its parts end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_watch_parent, args=(stopping,), name="parent", daemon=True).start()
    threading.Thread(target=_cut_off, args=(stopping, interrupted), name="cut-off", daemon=True).start()
    return stopping


def _watch_parent(stopping: threading.Event) -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock a thread must not hold when the interpreter ends
        pass
    stopping.set()


def _cut_off(stopping: threading.Event, interrupted: Callable[[], object]) -> None:
    stopping.wait()
    threading.Event().wait(GRACE_S)
    try:
        interrupted()
    finally:
        os._exit(0)

"""Watch the service, in the terminal or through a pipe."""

import os
import select
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import click
import msgspec

from iot_stream import topics
from iot_stream.cli.common import config_option
from iot_stream.clock import iso, wall
from iot_stream.config import Config, load
from iot_stream.mqtt import Message
from iot_stream.stopping import until_stopped
from iot_stream.store import Store
from iot_stream.store.sqlite import FILE
from iot_stream.watch.monitor import Monitor, Seen

LOOK_S = 0.5


@click.command()
@config_option
@click.option("--lines", is_flag=True, help="A line a message, also in a terminal.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a message, for pipes.")
def monitor(path: Path, lines: bool, as_json: bool) -> None:
    """Does the promise hold, who is worst, what is learnt, which model went where; as it happens.

    A page in a terminal: q quits, p pauses, n shows the next pipeline. It needs the store, and rich:
    `pip install 'iot-stream[monitor]'`. Without them, or where the output is no terminal, a line for each
    message about models, rounds, devices and parts. Ctrl-C ends, and so does who reads the pipe.

    \b
    iot-stream monitor --json | jq 'select(.kind == "round")'
    """
    config, stopping = load(path), until_stopped()
    if not (lines or as_json) and sys.stdout.isatty() and _page_possible(config):
        from iot_stream.watch.terminal.live import run

        run(config.as_part("monitor"), Store(config.store_place), stopping)
        return
    say = _json if as_json else _line

    def told(message: Message, seen: Seen) -> None:
        with suppress(BrokenPipeError):
            say(message, seen)

    watcher = Monitor(config.as_part("monitor"), told)
    watcher.start()
    try:
        while not (stopping.wait(LOOK_S) or _unread()):
            pass
    finally:
        watcher.stop()


def _unread() -> bool:
    """Whether who read the pipe has gone, as `head` does; what is left to say goes nowhere then."""
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)  # errors are told unasked
    gone = bool(reader.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone


def _page_possible(config: Config) -> bool:
    place = config.store_place
    if isinstance(place, Path) and not (place / FILE).exists():
        click.echo(f"iot-stream: there is no store at {place} yet, so lines only", err=True)
        return False
    try:
        import rich  # noqa: F401
    except ImportError:
        click.echo("iot-stream: lines only; a page needs rich: pip install 'iot-stream[monitor]'", err=True)
        return False
    return True


def _line(_: Message, seen: Seen) -> None:
    click.echo(f"{datetime.now():%H:%M:%S} {seen}")


def _json(message: Message, seen: Seen) -> None:
    """With the message itself where that is JSON; bytes are named by their number."""
    event = {"time": iso(wall()), **seen._asdict(), "topic": message.topic, "retained": message.retained}
    kind = next((each.payload for each in topics.TABLE.values() if each.levels(message.topic)), bytes)
    if kind is bytes or seen.kind == "unclear":
        event["bytes"] = len(message.payload)
    else:
        event["payload"] = msgspec.Raw(message.payload)
    click.echo(msgspec.json.encode(event).decode())

"""The parts of the service: all together, or each alone."""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from iot_stream import logs
from iot_stream.cli.common import config_option, opened, until_part_stopped
from iot_stream.config import Config, Metrics, load
from iot_stream.errors import BrokerError, ConfigError
from iot_stream.stopping import until_stopped

PARTS = ("collect", "distill", "publish")

supervised_option = click.option("--supervised", is_flag=True, hidden=True)


@click.command()
@config_option
@click.option("--quiet", is_flag=True, help="Log warnings only.")
def serve(path: Path, quiet: bool) -> None:
    """Run collector, distiller and publisher, each in its own process; metrics and dashboard, if configured.

    A part that crashes is started again; the others go on. Keys are made at the first start if there
    are none (one root key: `iot-stream keys init` makes better ones). Ctrl-C ends all cleanly.
    """
    from iot_stream.release.keys import Keys
    from iot_stream.service.supervisor import serve as supervise

    config = load(path)
    _refuse_a_second(config)
    keys = config.keys_folder
    if not keys.exists():
        Keys.create(keys, root_keys=1, root_threshold=1)
        logs.tell(
            "iot-stream",
            f"made keys in {keys}, with one root key beside the others. For more than a trial: "
            "`iot-stream keys init` before the first start, and move the root keys off this machine.",
        )
    if quiet:
        logging.getLogger().setLevel(logging.WARNING)
    parts = [*PARTS, *(name for name in ("metrics", "dashboard") if getattr(config, name))]
    stopping = until_stopped()
    sys.exit(supervise(path, tuple(parts), ("--quiet",) if quiet else (), stopping))


def _refuse_a_second(config: Config) -> None:
    """Before its collector takes the messages of the one that is at work."""
    from iot_stream.presence import Presence

    presence, other = Presence(config.prefix, "publisher"), None
    with suppress(BrokerError):  # no broker yet: each part says so, and tries again
        other = presence.other(config.as_part("publisher").address)
    if other:
        raise presence.taken(other)


@click.command()
@config_option
@supervised_option
@click.option(
    "--shared",
    metavar="NAME",
    default="",
    help="Share the work with other collectors of this configuration, each of its own NAME.",
)
def collect(path: Path, supervised: bool, shared: str) -> None:
    """Take readings from the broker into durable windows.

    With --shared several collectors, also on several machines, take each a part of the messages (the broker
    shares them out) into one PostgreSQL store; one of them at a time cuts the windows.
    """
    from iot_stream.ingest import share
    from iot_stream.ingest.collector import Collector

    config, store = opened(path)
    Collector(config.as_part(share.part(shared)), store, name=shared).run(until_part_stopped(supervised))


@click.command()
@config_option
@supervised_option
@click.option("--once", is_flag=True, help="One round for each pipeline, then end.")
def distill(path: Path, supervised: bool, once: bool) -> None:
    """Train the teacher once, then distil rounds as the triggers say."""
    # One core stays with the collector; set before torch and scikit-learn start their threads.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() - 1)))
    from iot_stream.service.distiller import Distiller

    config, store = opened(path)
    distiller = Distiller(config.as_part("distiller"), store, path.parent)
    distiller.run(until_part_stopped(supervised, distiller.interrupted), once)


@click.command()
@config_option
@supervised_option
def publish(path: Path, supervised: bool) -> None:
    """Sign released versions and keep them on the broker."""
    from iot_stream.release.publisher import Publisher

    config, store = opened(path)
    Publisher(config.as_part("publisher"), store, config.keys_folder).run(until_part_stopped(supervised))


@click.command()
@config_option
@supervised_option
@click.option("--host", help="Listen here, whatever `metrics.host` says; 127.0.0.1 where it says nothing.")
@click.option("--port", type=click.IntRange(0, 65535), help="As --host; 9464 where nothing is said.")
def metrics(path: Path, supervised: bool, host: str | None, port: int | None) -> None:
    """Answer Prometheus: what the store and the broker know of the service, at /metrics.

    It only reads, so it may start and end at any time, beside a running service. docs/metrics.md names all.
    """
    try:
        from iot_stream.watch.exposition import Server
    except ImportError as error:
        raise ConfigError("metrics: needs prometheus-client: pip install 'iot-stream[metrics]'") from error

    config, store = opened(path)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = msgspec.structs.replace(config.metrics or Metrics(), **given)
    config = msgspec.structs.replace(config, metrics=settings)
    Server(config.as_part("metrics"), store).run(until_part_stopped(supervised))


def _cores() -> int:
    """That this process may use, which in a container or under taskset are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

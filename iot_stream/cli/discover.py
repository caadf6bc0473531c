"""What speaks on a broker, as the sources of a configuration."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import click

from iot_stream.address import Address, Broker
from iot_stream.cli.common import many
from iot_stream.errors import DataError
from iot_stream.ingest.discover import at_work, beside, recognise
from iot_stream.ingest.discover.heard import Ear
from iot_stream.ingest.discover.listening import listen
from iot_stream.ingest.discover.printing import block, comment
from iot_stream.stopping import until_stopped


def login_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of `broker:` but its address."""
    for option in (
        click.option("--key", default="", help="File of the certificate's private key."),
        click.option("--cert", default="", help="File of a certificate to log in with; with --key."),
        click.option("--ca", default="", help="File of the certificate authority, for mqtts and wss."),
        click.option("--password", default="", help="Password; '${NAME}' takes it from the environment."),
        click.option("--user", default="", help="User name."),
    ):
        command = option(command)
    return command


rebirth_option = click.option(
    "--rebirth",
    is_flag=True,
    help="Ask nodes of Sparkplug whose birth was not heard for it, on their NCMD topic.",
)


@click.command()
@click.option("--broker", default="mqtt://localhost:1883", show_default=True, help="As in the configuration.")
@login_options
@click.option(
    "--seconds", type=click.FloatRange(0.1, 86_400), default=20, show_default=True, help="How long to listen."
)
@click.option("--filter", "filters", multiple=True, help="Listen to these topics only; + and # as in MQTT.")
@rebirth_option
def discover(
    broker: str,
    seconds: float,
    filters: tuple[str, ...],
    rebirth: bool,
    **login: str,
) -> None:
    """Listen to a broker; print the sources that read what is said on it.

    Ctrl-C ends earlier. What is printed stands in a pipeline as it is; each source in it has been tried on
    what was heard. Sensors that speak seldom need more --seconds. Nothing is published, but for
    what --rebirth asks.
    """
    logging.getLogger("iot_stream.mqtt").setLevel(logging.WARNING)
    address = Broker(url=broker, **login).address()
    ear = listened(address, filters or ("#",), seconds, until_stopped(), rebirth=rebirth)
    click.echo(f"    # heard on {address}: {_heard(ear)}")
    if ear.beyond:
        click.echo(
            f"    # {ear.beyond} messages on further topics were passed over; say --filter to part them"
        )
    if taken := at_work(ear.topics):
        click.echo(f"    # iot-stream is at work there, with prefix {', '.join(map(comment, taken))}")
    findings = recognise(ear.topics)
    click.echo(block(findings), nl=False)
    for topic, words in beside(findings).items():
        told = comment(f"{topic} tells classes beside what it measures ({', '.join(words)}): it may teach")
        click.echo(f"    # {told}: iot-stream init --teacher")


def listened(
    address: Address,
    filters: tuple[str, ...],
    seconds: float,
    stopping: threading.Event,
    *,
    rebirth: bool,
) -> Ear:
    """Raises ConfigError, BrokerError, and DataError where there was silence."""
    click.echo(f"listening to {address} for {seconds:g} s, Ctrl-C ends it earlier …", err=True)
    ear, said = Ear(), 0

    def progress() -> None:
        nonlocal said
        if len(ear.topics) > said:
            said = len(ear.topics)
            click.echo(f"heard {_heard(ear)} so far", err=True)

    listen(ear, address, filters, seconds, stopping, progress, rebirth=rebirth)
    if not ear.topics:
        raise DataError(
            "silence",
            f"nothing was said on {', '.join(filters)} of {address} in {seconds:g} s; listen for longer with "
            "--seconds, and see whether the user may read these topics",
        )
    return ear


def _heard(ear: Ear) -> str:
    return f"{many(ear.messages, 'message')} on {many(len(ear.topics), 'topic')}"

"""A mosquitto for a fleet: TLS, a password for each, and rules of who may say what."""

from pathlib import Path

import click

from iot_stream.access import deployment, rules
from iot_stream.cli.common import DEVICE, config_option, pick, pipeline_option
from iot_stream.config import load
from iot_stream.ingest import share

NEXT = """broker     {conf}, for `mosquitto -c`; what it reads must belong to who it runs as
reload     `{reload}` (SIGHUP); a new certificate needs a restart
devices    `iot-stream device add NAME --access {folder}` makes a login and prints the device's file
authority  keep {folder}/authority/ca.key offline; it is needed for a new certificate only"""


@click.command("broker-acl")
@config_option
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder.",
)
@click.option(
    "--device",
    "devices",
    type=DEVICE,
    multiple=True,
    metavar="NAME",
    help="Let this device in; repeatable.",
)
@pipeline_option
@click.option("--reader", "readers", multiple=True, metavar="NAME", help="Who may hear all, and say nothing.")
@click.option("--sensor", "sensors", multiple=True, metavar="NAME", help="A bridge or edge node of sensors.")
@click.option("--shared", multiple=True, metavar="NAME", help="A collector beside others: its --shared NAME.")
@click.option("--revoke", "revoked", multiple=True, metavar="NAME", help="Let NAME in no more.")
@click.option("--hosts", metavar="NAME,…", help="The broker's names; the first is told to devices.")
@click.option("--service-host", metavar="NAME", help="Its name for the service  [default: localhost]")
@click.option("--port", type=click.IntRange(1, 65535), help="For devices and readers  [default: 8883]")
@click.option("--service-port", type=click.IntRange(1, 65535), help="For the service  [default: 8884]")
@click.option("--at", metavar="FOLDER", help="Where the broker finds OUT/broker  [default: there]")
@click.option("--state", metavar="FOLDER", help="Where it keeps its state  [default: where it is started]")
def broker_acl(
    path: Path,
    folder: Path,
    devices: tuple[str, ...],
    pipeline: str | None,
    readers: tuple[str, ...],
    sensors: tuple[str, ...],
    shared: tuple[str, ...],
    revoked: tuple[str, ...],
    hosts: str | None,
    **places: str | int | None,
) -> None:
    """Write a mosquitto's configuration, certificates, passwords and rules, and a login for each who may in.

    A device may write its own topics, and read the models of its pipeline; only the publisher writes models;
    readers read. Called again it adds, revokes or renews what is asked for, and leaves all others alone. The
    broker takes it up when it is told to read its files again (SIGHUP), by the command that is printed; a new
    certificate needs a restart.
    """
    config = load(path)
    named = tuple(name.strip() for name in (hosts or "").split(",") if name.strip())
    with deployment.opened(folder, config, hosts=named, **places) as open_:
        for name in revoked:
            click.echo(f"revoked    {', '.join(open_.revoke(name))}")
        for name in (*rules.parts(config), *map(_collector, shared)):
            open_.add(name, "part")
        for name in readers:
            open_.add(name, "reader")
        for name in sensors:
            open_.add(name, "sensor")
        chosen = pick(config, pipeline)[0] if devices else ""
        for name in devices:
            open_.add_device(chosen, name)
    if open_.new:
        click.echo(f"new        {', '.join(open_.new)}")
    click.echo(NEXT.format(conf=open_.broker_folder / "mosquitto.conf", folder=folder, reload=open_.reload))
    if not config.access.logins:
        click.echo(
            f"service    write `broker: {{logins: {(folder / 'logins').resolve()}}}` in the configuration"
        )


def _collector(name: str) -> str:
    share.check_name(name)
    return share.part(name)

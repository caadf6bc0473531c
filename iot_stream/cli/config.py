"""The configuration."""

from pathlib import Path

import click

from iot_stream.address import without_password
from iot_stream.cli.common import config_option
from iot_stream.config import load


@click.group()
def config() -> None:
    """The configuration."""


@config.command()
@config_option
def check(path: Path) -> None:
    """Say what a configuration means, or what is wrong with it and where."""
    settings = load(path)
    place = without_password(str(settings.store_place))
    click.echo(f"broker   {settings.address}\nstore    {place}\nprefix   {settings.prefix}")
    for name, pipeline in settings.pipelines.items():
        click.echo(f"pipeline {name}: {', '.join(pipeline.classes)}")
        for source in pipeline.sources:
            click.echo(
                f"  reads    {source.topic} ({source.format}) {' '.join(source.channels) or 'all channels'}"
            )
        for role, network in (("teacher", pipeline.teacher), ("student", pipeline.student)):
            cut = pipeline.cut(network)
            options = " ".join(f"{key}={value}" for key, value in network.options)
            click.echo(f"  {role}  {network.arch} {options} on {cut.length} × ({', '.join(cut.inputs)})")
        triggers = pipeline.triggers
        reasons = [f"every {int(triggers.every) / 1e9:g} s"] if triggers.every else []
        reasons += [f"{triggers.windows} new windows"] if triggers.windows else []
        click.echo(f"  rounds   {' or '.join(reasons) or 'on command only'} ({pipeline.clock} clock)")

"""Looks at a deployment."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from iot_stream.cli.common import config_option
from iot_stream.config import load
from iot_stream.service.doctor.findings import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def _quietly(findings: Iterator[Finding]) -> Iterator[Finding]:
    """What goes wrong is found; that it is logged too would only confuse."""
    logger = logging.getLogger("iot_stream")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield from findings
    finally:
        logger.setLevel(before)


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="A list of {name, state, found, remedy}.")
def doctor(path: Path, as_json: bool) -> None:
    """Look at a deployment, and say what to mend: broker, keys, store, disk, clock, parts, configuration.

    It changes nothing, and may run beside a service at work; it takes some seconds. The exit code is 1 if
    anything failed, 0 otherwise; warnings are for people.
    """
    from iot_stream.service.doctor import examine

    findings = []
    for finding in _quietly(examine(load(path), path)):
        findings.append(finding)
        if not as_json:
            click.echo(
                f"{click.style(f'{finding.state:4}', COLOURS[finding.state])} {finding.name}: ", nl=False
            )
            click.echo(finding.found)
            if finding.remedy:
                click.echo("     → " + finding.remedy.replace("\n", "\n         "))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)))
    sys.exit(any(finding.state == "fail" for finding in findings))

"""The configuration."""

from collections.abc import Collection
from pathlib import Path

import click

from iot_stream import topics
from iot_stream.address import without_password
from iot_stream.cli.common import config_option
from iot_stream.config import Dashboard, Metrics, Network, Pipeline, TopicTeacher, load

MADE_ELSEWHERE = ("topic", "onnx", "ensemble")
"""Teachers that may need no recordings."""
NAMED = 16  # channels; of more, some


@click.group()
def config() -> None:
    """The configuration."""


@config.command()
@config_option
def check(path: Path) -> None:
    """Say what a configuration means, or what is wrong with it and where."""
    settings = load(path)
    place = without_password(str(settings.store_place))
    logins = settings.access.logins
    broker = f"as each login in {logins} says" if logins else settings.address
    click.echo(f"broker   {broker}\nstore    {place}\nprefix   {settings.prefix}")
    pages = {"page": (settings.dashboard, ""), "metrics": (settings.metrics, "/metrics")}
    for what, (page, end) in pages.items():
        if page:
            click.echo(f"{what:8} {_url(page)}{end}")
    for name, pipeline in settings.pipelines.items():
        click.echo(f"pipeline {name}: {', '.join(pipeline.classes)}")
        for source in pipeline.sources:
            channels = _in_short(source.channels, " ") or "all channels"
            click.echo(f"  reads    {source.topic} ({source.format}) {channels}")
        click.echo(f"  labels   {_labels(settings.prefix, name, pipeline)}")
        for role, network in (("teacher", pipeline.teacher), ("student", pipeline.student)):
            click.echo(f"  {role}  {_model(pipeline, network)}")
        triggers = pipeline.triggers
        needed = pipeline.gate.n_min
        reasons = [f"every {triggers.every.written()}"] if triggers.every else []
        reasons += [f"{triggers.windows} new windows"] if triggers.windows else []
        reasons += [f"{triggers.labels} labels"] if triggers.labels else []
        reasons += [f"drift ({triggers.drift})"] if triggers.drift else []
        fewest = f", once {triggers.at_least or 2 * needed} new windows have come"
        why = " or ".join(reasons) + fewest if reasons else "on command only: `iot-stream rounds start`"
        click.echo(f"  rounds   {why} ({pipeline.clock} clock)")
        if block := pipeline.gate.block:
            every = round(1 / pipeline.gate.share)
            click.echo(
                f"  gate     one in {every} blocks of {block.written()} judges, {needed} windows at least"
            )
        else:
            click.echo(
                f"  gate     {needed} windows judge, at most half of the new ones: {2 * needed} a round"
            )
            if 0 < triggers.at_least < 2 * needed:
                click.echo(
                    f"           a round on {triggers.at_least} (`triggers.at_least`) can only be held, "
                    "unless late labels judge; leave it out, or lower `gate.n_min`"
                )
        bootstrap = pipeline.recordings and pipeline.recordings.bootstrap
        if not bootstrap and not pipeline.teacher.own and pipeline.teacher.arch not in MADE_ELSEWHERE:
            click.echo(
                "  missing  recordings.bootstrap, which the teacher learns from: `serve` will not start"
            )


def _labels(prefix: str, name: str, pipeline: Pipeline) -> str:
    told = pipeline.labels
    if told is None:
        return topics.LABEL.of(prefix=prefix, pipeline=name, device="{device}")
    otherwise = f"or for {told.hold.written()}" if told.hold else "if told"
    return f"{told.topic}: {told.value} from {told.time} until {told.until} {otherwise}"


def _url(page: Dashboard | Metrics) -> str:
    host = f"[{page.host}]" if ":" in page.host else page.host
    return f"http://{host}:{page.port or '(any that is free)'}"


def _model(pipeline: Pipeline, network: Network) -> str:
    if told := network.topic:
        return f"what {told.topic} says ({told.format}){_taught_by(told)}"
    cut = pipeline.cut(network)
    options = "".join(f" {key}={value}" for key, value in network.options)
    return f"{network.arch}{options} on {cut.length} × ({_in_short(cut.inputs, ', ')})"


def _taught_by(told: TopicTeacher) -> str:
    """What of it tells the class, and whom it tells it of."""
    places = [told.value or told.probability, *told.probabilities.values()]
    whom = {each: (own,) if isinstance(own, str) else own for each, own in told.devices.items()}
    taught = [f"; {each} teaches {_in_short(own, ', ')}" for each, own in whom.items()]
    when = f" from {told.time}" if told.time else " from when it came" if told.format == "json" else ""
    held = f" for {told.hold.written()} at most" if told.hold else ""
    return f": {_in_short([each for each in places if each], ', ')}{when}{held}{''.join(taught)}"


def _in_short(channels: Collection[str], apart: str) -> str:
    names = list(channels)
    if len(names) <= NAMED:
        return apart.join(names)
    return apart.join([*names[:2], "…", f"{names[-1]} ({len(names)})"])

"""Learning paused and resumed, of a pipeline or of one device, or from a teacher that is held; scoring and
serving go on."""

from pathlib import Path

import click

from iot_stream import operate
from iot_stream.cli.common import DEVICE, config_option, opened, pick, time_option
from iot_stream.clock import iso
from iot_stream.config import Config, Pipeline
from iot_stream.config.cohorts import ALL
from iot_stream.errors import ConfigError
from iot_stream.store import Store


@click.command()
@click.argument("target", metavar="[PIPELINE[/DEVICE]]", default="")
@config_option
@time_option("--since", default=None, help="From this time on  [default: now]")
@click.option("--reason", default="", help="Why, for those who read the list.")
def pause(target: str, path: Path, since: int | None, reason: str) -> None:
    """Learn nothing from what PIPELINE, or one DEVICE of it, says from now on; without either: list.

    The list also has devices that the distiller holds by itself because they look broken, and teachers that
    it no longer believes, and why. All are scored and served as before. What is to become of one a person
    decides:

    \b
    iot-stream resume PIPELINE/DEVICE     it is fine: learn from it, also from what it has said meanwhile
    iot-stream device replaced DEVICE     another sensor: learn from what comes now
    iot-stream exclude add --device …     it was broken and is mended: exclude that time, then resume
    iot-stream resume PIPELINE --teacher  believe the teacher again
    """
    config, store = opened(path)
    if not target:
        _list(config, store)
        return
    if not reason:
        raise ConfigError("--reason: say why; others will read it")
    name, settings, device = _named(config, target)
    click.echo(operate.pause(store, "cli", name, settings, device, reason, since))


@click.command()
@click.argument("target", metavar="PIPELINE[/DEVICE]")
@config_option
@click.option("--teacher", is_flag=True, help="Its teacher, which is held (the running distiller does it).")
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for the distiller.")
def resume(target: str, path: Path, teacher: bool, wait: float) -> None:
    """Learn from PIPELINE, or one DEVICE of it, again, also from what it has said while it was paused.

    What a device has said until now counts as what it is like: it is not held again for that. In the same
    way nothing from before now speaks against a teacher any more, and what it said is learnt: exclude first
    the time in which it was wrong, if it was.
    """
    config, store = opened(path)
    name, settings, device = _named(config, target)
    if not teacher:
        click.echo(operate.resume(store, name, settings, device))
        return
    if device:
        raise ConfigError(f"--teacher: it teaches all of {name}; name the pipeline alone")
    click.echo(operate.believe_teacher(store, "cli", wait, name, settings))


def _list(config: Config, store: Store) -> None:
    for name in config.pipelines:
        for held in store.scope.holds(name):
            target = f"{name}/{held.device}" if held.device else name
            click.echo(f"{target:30} since {iso(held.since)}  by {held.who}: {held.reason}")
        for doubt in store.doubts.standing(name):
            of = "" if doubt.cohort == ALL else f" (cohort {doubt.cohort})"
            teacher = f"{name} --teacher"
            click.echo(f"{teacher:30} since {iso(doubt.since)}  by distiller: {doubt.reason}{of}")


def _named(config: Config, target: str) -> tuple[str, Pipeline, str]:
    """Pipeline and device, "" for all devices; raises ConfigError."""
    name, _, device = target.partition("/")
    return *pick(config, name), DEVICE(device)

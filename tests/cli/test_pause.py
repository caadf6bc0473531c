"""Learning paused and resumed, as a person says it."""

from pathlib import Path

import pytest

from iot_stream.clock import wall
from iot_stream.config import load
from iot_stream.store import Store
from iot_stream.store.doubts import CLEAR
from iot_stream.store.registry import Round
from tests.cli.test_commands import run
from tests.cli.test_exclude import config  # noqa: F401  the fixture
from tests.service.running import opened
from tests.streams import START

SINCE = ("--since", "2015-02-19T10:00Z")


def test_a_device_is_paused_listed_and_resumed(config: Path) -> None:  # noqa: F811
    at = ("--config", str(config))
    said = run("pause", "office/kitchen", *at, *SINCE, "--reason", "sensor fell").stdout
    assert said == "office/kitchen: nothing is learnt from what it says since 2015-02-19T10:00:00.000Z\n"
    assert "is paused already" in run("pause", "office/kitchen", *at, "--reason", "x", code=2).stderr
    run("pause", "office", *at, *SINCE, "--reason", "works going on")
    whole, device = run("pause", *at).stdout.splitlines()
    assert whole.startswith("office ")
    assert whole.endswith("since 2015-02-19T10:00:00.000Z  by cli: works going on")
    assert device.startswith("office/kitchen ")
    stats = run("windows", "stats", *at).stdout
    assert "kitchen              held since 2015-02-19T10:00:00.000Z, not learnt from: sensor fell" in stats
    assert run("resume", "office/kitchen", *at).stdout == "office/kitchen is learnt from again\n"
    assert run("pause", *at).stdout.splitlines() == [whole]
    assert "is not paused" in run("resume", "office/kitchen", *at, code=2).stderr


def test_who_the_distiller_holds_is_on_the_list_with_the_reason(config: Path) -> None:  # noqa: F811
    store = Store(load(config).store_place)
    store.scope.hold("distiller", "office", "kitchen", 0, "stuck: co2 does not change any more")
    store.close()
    assert "by distiller: stuck: co2 does not change" in run("pause", "--config", str(config)).stdout


def test_a_held_teacher_is_on_the_list_and_the_distiller_is_asked_to_clear_it(config: Path) -> None:  # noqa: F811
    at = ("--config", str(config))
    for target, says in (("office", "is not held"), ("office/kitchen", "name the pipeline alone")):
        assert says in run("resume", target, "--teacher", *at, code=2).stderr
    report = {"trust": {"broken": 90, "doubt": "light is stuck"}}
    with opened(config) as (_, store), store.write() as tx:
        for cohort in ("all", "north"):
            store.registry.save_round(
                tx, Round(f"r-{cohort}", "office", cohort, "period", 1, 2, START, "held", report)
            )
    whole, north = run("pause", *at).stdout.splitlines()
    assert whole.split(" since ")[0].rstrip() == "office --teacher"
    assert whole.endswith("since 2015-02-19T14:43:20.000Z  by distiller: light is stuck")
    assert north.endswith("light is stuck (cohort north)")
    before = wall()
    said = run("resume", "office", "--teacher", "--wait", "0", *at).stdout
    assert "no distiller has answered yet" in said
    with opened(config) as (_, store):
        (command,) = store.registry.open_commands(CLEAR)
        assert before < command.arguments["until"] <= wall()
        store.registry.close_command(command.id, "done", "")
    assert run("pause", *at).stdout == ""
    assert "is not held" in run("resume", "office", "--teacher", *at, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pause", "office/kitchn", "--reason", "r"), "is kitchen meant"),
        (("pause", "offce", "--reason", "r"), "offce office"),
        (("pause", "office"), "--reason: say why"),
        (("resume", "office/attic"), "no reading of 'attic'"),
    ],
)
def test_what_would_pause_nothing_is_refused(config: Path, arguments: tuple[str, ...], says: str) -> None:  # noqa: F811
    assert says in run(*arguments, "--config", str(config), code=2).stderr

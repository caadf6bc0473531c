"""Learning paused and resumed, as a person says it."""

from pathlib import Path

import pytest

from iot_stream.config import load
from iot_stream.store import Store
from tests.cli.test_commands import run
from tests.cli.test_exclude import config  # noqa: F401  the fixture

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

"""Incidents and replaced sensors, as a person names them."""

from pathlib import Path

import numpy as np
import pytest

from iot_stream.columns import Columns
from iot_stream.config import load
from iot_stream.readings import Block
from iot_stream.store import Store
from tests.cli.test_commands import run
from tests.streams import START

CONFIG = """\
store: sqlite:{folder}
pipelines:
  office:
    window: {{length: 1}}
    task: {{classify: [a, b]}}
    sources: [{{channels: {{co2: co2}}}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.format(folder=tmp_path / "store"))
    store = Store(load(path).store_folder)
    with store.write() as tx:
        block = Block("kitchen", ("co2",), np.array([START]), np.ones((1, 1), np.float32))
        store.journal.append(tx, "office", Columns.of([block]), START)
    store.close()
    return path


def test_an_incident_is_excluded_listed_and_removed(config: Path) -> None:
    at = ("--config", str(config))
    period = ("--from", "2015-02-19 10:00", "--to", "2015-02-19T12:00:00Z")
    said = run("exclude", "add", *at, "--device", "kitchen", *period, "--reason", "window open").stdout
    assert said == (
        "1: kitchen from 2015-02-19T10:00:00.000Z to 2015-02-19T12:00:00.000Z not to be learnt from\n"
    )
    run("exclude", "add", *at, *period, "--reason", "fire drill")
    first, second = run("exclude", "list", *at).stdout.splitlines()
    assert first.split()[:2] == ["1", "kitchen"]
    assert first.endswith("2015-02-19T10:00:00.000Z … 2015-02-19T12:00:00.000Z  window open")
    assert "(all)" in second
    run("exclude", "remove", "1", *at)
    assert run("exclude", "list", *at).stdout.splitlines() == [second]
    assert "no exclusion 1" in run("exclude", "remove", "1", *at, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--device", "kitchn", "--from", "2015-02-19", "--to", "2015-02-20"), "is kitchen meant"),
        (("--from", "2015-02-20", "--to", "2015-02-19"), "is before the beginning"),
        (("--from", "yesterday", "--to", "2015-02-19"), "not a time: 'yesterday'"),
    ],
)
def test_what_would_exclude_nothing_is_refused(config: Path, arguments: tuple[str, ...], says: str) -> None:
    result = run("exclude", "add", "--config", str(config), *arguments, "--reason", "r", code=2)
    assert says in result.stderr


def test_a_replaced_sensor_is_on_the_list(config: Path) -> None:
    at = ("--config", str(config))
    said = run("device", "replaced", "kitchen", "--at", "2015-03-01T08:00Z", *at).stdout
    assert said == "kitchen is another sensor since 2015-03-01T08:00:00.000Z\n"
    assert "kitchen              replaced 2015-03-01T08:00:00.000Z" in run("exclude", "list", *at).stdout
    assert "no reading of 'attic'" in run("device", "replaced", "attic", *at, code=2).stderr


def test_a_device_is_tagged_and_listed(config: Path) -> None:
    at = ("--config", str(config))
    assert (
        run("device", "tag", "kitchen", "line=4", "hall=a/b", *at).stdout
        == "kitchen: line is 4, hall is a%2Fb\n"
    )
    store = Store(load(config).store_folder)
    assert store.cohorts.tags("office", "line") == {"kitchen": "4"}
    with store.write() as tx:
        store.cohorts.assign(tx, "office", {"kitchen": "4"}, "by line")
    assert run("device", "list", *at).stdout.split() == ["kitchen", "4", "never", "seen"]
    assert "is kitchen meant" in run("device", "tag", "kitchn", "line=4", *at, code=2).stderr
    assert "write TAG=VALUE" in run("device", "tag", "kitchen", "line", *at, code=2).stderr

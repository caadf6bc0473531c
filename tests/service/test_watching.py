"""What a live trigger is shown, and who is held: on a real store, with a student that was really trained."""

import logging
from pathlib import Path

import numpy as np
import pytest

from iot_stream.clock import SECOND
from iot_stream.config import Pipeline, load
from iot_stream.distill.material import Material
from iot_stream.service import learning, versions
from iot_stream.service.holding import Holding
from iot_stream.service.learning import Prepared
from iot_stream.service.members import Members
from iot_stream.service.watching import Watching
from iot_stream.store import Store
from iot_stream.store.journal import WindowSet
from tests.service.running import NAME, write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return load(write_config(tmp_path, "mqtt://localhost", "p")).pipelines[NAME]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def prepared(store: Store, pipeline: Pipeline) -> Prepared:
    found = learning.prepare(store.registry, NAME, pipeline, Path(), lambda *_: None)
    with store.write() as tx:
        versions.add_version(store, tx, NAME, "all", "round", found.first, {})
    return found


def windows(prepared: Prepared, rows: slice, devices: str = "a") -> WindowSet:
    x = prepared.learner.bootstrap.x[rows]
    numbers = np.arange(rows.start, rows.stop)
    starts = numbers * SECOND
    names = np.array([devices[number % len(devices)] for number in numbers])
    return WindowSet(numbers + 1, names, starts, starts + 1, starts + 2, x)


def test_windows_and_words_are_joined_whichever_come_first(
    store: Store, pipeline: Pipeline, prepared: Prepared
) -> None:
    watching, everyone = Watching(store, NAME, pipeline), Members(store, NAME, pipeline.cohorts)
    words = prepared.learner.bootstrap.logits
    assert len(watching.fresh(everyone, "all")) == 0
    watching.cut(windows(prepared, slice(0, 10)))
    assert len(watching.fresh(everyone, "all")) == 0
    watching.heard(windows(prepared, slice(5, 20)), words[5:20])
    fresh = watching.fresh(everyone, "all")
    np.testing.assert_array_equal(fresh.x, prepared.learner.bootstrap.x[5:10])
    np.testing.assert_array_equal(fresh.teacher, words[5:10])
    np.testing.assert_allclose(fresh.student, prepared.first.model().logits(fresh.x), rtol=1e-5)
    assert len(watching.fresh(everyone, "all")) == 0  # each is shown once
    watching.cut(windows(prepared, slice(10, 20)))
    np.testing.assert_array_equal(watching.fresh(everyone, "all").teacher, words[10:20])


def test_what_is_not_learnt_from_is_not_shown(store: Store, pipeline: Pipeline, prepared: Prepared) -> None:
    watching, everyone = Watching(store, NAME, pipeline), Members(store, NAME, pipeline.cohorts)
    store.scope.hold("distiller", NAME, "b", 4 * SECOND, "stuck")
    each = windows(prepared, slice(0, 10), "ab")
    watching.cut(each)
    watching.heard(each, prepared.learner.bootstrap.logits[:10])
    kept = [number for number in range(10) if number % 2 == 0 or number < 4]
    np.testing.assert_array_equal(watching.fresh(everyone, "all").x, prepared.learner.bootstrap.x[kept])


def test_each_cohort_is_shown_its_own(store: Store, pipeline: Pipeline, prepared: Prepared) -> None:
    watching, members = Watching(store, NAME, pipeline), Members(store, NAME, pipeline.cohorts)
    members.assign({"b": "north"})
    with store.write() as tx:
        versions.add_version(store, tx, NAME, "north", "round", prepared.first, {})
    each = windows(prepared, slice(0, 10), "ab")
    watching.cut(each)
    watching.heard(each, prepared.learner.bootstrap.logits[:10])
    for cohort, first in (("north", 1), ("all", 0)):
        shown = watching.fresh(members, cohort)
        np.testing.assert_array_equal(shown.x, prepared.learner.bootstrap.x[first:10:2])


def test_who_looks_broken_is_held_in_the_store_until_resumed(
    store: Store, pipeline: Pipeline, prepared: Prepared, caplog: pytest.LogCaptureFixture
) -> None:
    boot = prepared.learner.bootstrap
    count = 200
    starts = np.arange(count) * SECOND
    devices = np.array(["abcde"[number % 5] for number in range(count)])
    x = boot.x[:count].copy()
    x[(devices == "c") & (starts >= 100 * SECOND)] = 3.0
    stream = Material(devices, starts, starts + 1, x, boot.logits[:count], boot.labels[:count])
    holding = Holding(store, NAME, pipeline)
    with caplog.at_level(logging.WARNING):
        found = holding.look(stream, boot)
    assert [each.device for each in found.leavers] == ["c"]
    (held,) = store.scope.holds(NAME)
    assert (held.device, held.since, held.who) == ("c", 102 * SECOND, "distiller")
    assert f"c is not learnt from: {held.reason}; `iot-stream resume {NAME}/c`" in caplog.text
    keep = store.scope.allowed(NAME, stream.devices, stream.starts, stream.ends)
    assert holding.look(stream.rows(keep), boot).leavers == ()
    assert not holding.paused
    store.scope.hold("cli", NAME, "", 0, "works")
    assert holding.paused

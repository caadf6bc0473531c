"""Rollouts as the page shows them: the same evidence and finding as the publisher's."""

import msgspec
import pytest

from iot_stream.clock import wall
from iot_stream.config import Config, Release
from iot_stream.field import evidence, health, stages
from iot_stream.store import Store
from iot_stream.store.rollouts import DONE, PAUSED, RUNNING, Rollout
from iot_stream.units import Duration, Percent
from iot_stream.watch.dashboard.views.rollouts import Rollouts, View
from tests.service.running import NAME
from tests.watch.stores import SECOND, hear, join, release, speak

FLEET = [f"machine-{i:02d}" for i in range(10)]
STAGES = Release(stages=(Percent(30), Percent(100)), soak=Duration(60 * SECOND))
START = 1_000 * SECOND


def look(config: Config, store: Store) -> Rollouts:
    pipeline = msgspec.structs.replace(config.pipelines[NAME], release=STAGES)
    return View(store, NAME, pipeline).view({})


def save(store: Store, version: int, state: str, stage: int, since: int) -> None:
    with store.write() as tx:
        rollout = Rollout("all", version, state, stage, since, START)
        store.rollouts.save(tx, NAME, rollout, "someone", f"to stage {stage}", "because")


def test_without_rollouts_the_stages_are_shown(config: Config, store: Store) -> None:
    found = look(config, store)
    assert found.stages == ["30 %", "100 %"]
    assert (found.soak_s, found.under_way, found.past, found.decisions) == (60, [], [], [])


def test_one_under_way_shows_the_stage_beside_the_control_group(config: Config, store: Store) -> None:
    release(store, 1)
    release(store, 2)
    hear(store, *FLEET, arrived=START)
    for name in FLEET:
        join(store, name, 1)
    since = wall()
    save(store, 2, RUNNING, 0, since)
    audience = stages.audience(STAGES, 0)
    split = stages.divided(store, NAME, "all", 2, audience)
    assert 0 < len(split.stage) < len(FLEET)
    for name in FLEET:
        for window in range(4):
            speak(store, name, START - 100 + window, None, student=1, teacher=1)
            # `speak` says version 1; nobody is under version 2 yet.
            speak(store, name, START + 100 + window, None, student=0 if window else 1, teacher=1)
    (line,) = look(config, store).under_way
    assert (line.version, line.state, line.stage) == (2, "running", 0)
    assert line.soaked == pytest.approx(since / SECOND + 60)
    field = line.field
    assert field is not None
    assert (field.stage.devices, field.control.devices) == (len(split.stage), len(split.control))
    assert field.stage.before.accuracy == 1
    assert field.stage.since.accuracy is None
    assert (field.control.since.accuracy, field.control.since.judged) == (0.25, 4 * len(split.control))
    version = store.registry.version(NAME, "all", 2)
    rollout = store.rollouts.last(NAME, "all")
    assert version is not None
    assert rollout is not None
    known = evidence.gather(store, NAME, version, rollout, split.stage, split.control)
    finding = health.judge(known, STAGES.health)
    assert (field.outcome, field.why) == (finding.outcome, finding.why)


def test_who_refused_it_is_counted(config: Config, store: Store) -> None:
    release(store, 2)
    for name in FLEET:
        join(store, name, 1)
    save(store, 2, PAUSED, 0, wall())
    bad = stages.divided(store, NAME, "all", 2, stages.audience(STAGES, 0)).stage[0]
    store.registry.add_event(NAME, bad, "rejected", 1, START, '{"event":"rejected","offered":2}')
    (line,) = look(config, store).under_way
    assert line.soaked is None
    assert line.field is not None
    assert (line.field.failed, line.field.outcome) == (1, "bad")


def test_past_ones_and_decisions_come_newest_first(config: Config, store: Store) -> None:
    for version in (1, 2, 3):
        save(store, version, DONE, 1, version * SECOND)
    found = look(config, store)
    assert [each.version for each in found.past] == [3, 2, 1]
    assert found.past[0].field is None
    assert [(each.version, each.who, each.why) for each in found.decisions][:1] == [(3, "someone", "because")]

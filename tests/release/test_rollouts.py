"""Rollouts on a real broker: stage by stage; called off when a version does badly, or by a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from iot_stream import topics
from iot_stream.artifact import trust
from iot_stream.artifact.stages import Audience
from iot_stream.cli import main
from iot_stream.columns import Columns
from iot_stream.config import Config, Pipeline, Release, Task, Window
from iot_stream.field import stages
from iot_stream.readings import Block
from iot_stream.service.broker import Broker
from iot_stream.store import Store
from iot_stream.store.journal import Prediction
from iot_stream.store.rollouts import ABORTED, DONE, PAUSED, RUNNING, Rollout
from iot_stream.units import Duration, Percent
from tests.release.test_publisher import (
    Listener,
    add_version,
    listening,
    make_version,
    publishing,
    say,
    store,
)
from tests.waiting import wait_until

__all__ = ["store"]  # a fixture

FLEET = [f"machine-{i:02d}" for i in range(20)]
TEACHER = "0123456789abcdef" * 4
STAGES = (Percent(25), Percent(50), Percent(100))
RIGHT, WRONG = 0, 1


def settings(broker: Broker, prefix: str, folder: Path, release: Release) -> Config:
    pipeline = Pipeline(window=Window(length=1), task=Task(classify=("a", "b")), release=release)
    return Config(broker=broker.url, store=f"sqlite:{folder}", prefix=prefix, pipelines={"p": pipeline})


@dataclass
class Field:
    """A fleet that says what it is told to say of windows whose class, by the teacher, is always 0."""

    store: Store
    listener: Listener
    prefix: str
    clock: int = 1_000

    def connect(self) -> None:
        for device in FLEET:
            say(self.listener, self.prefix, device, topics.Status(True, 1, "all"))
        wait_until(lambda: len(self.store.registry.devices("p")) == len(FLEET), "the fleet is known")

    def speak(self, version: int, stage: list[str], says: int, windows: int = 40) -> None:
        """Each device of the stage by the version, the others right by version 1."""
        times = range(self.clock, self.clock + windows)
        logits = np.array([1, 0], np.float32).tobytes()
        said = [
            Prediction(
                device, time, version if device in stage else 1, says if device in stage else RIGHT, 0.9
            )
            for device in FLEET
            for time in times
        ]
        outputs = [
            ("p", f"teacher:{TEACHER[:16]}", device, time, time, time, logits)
            for device in FLEET
            for time in times
        ]
        with self.store.write() as tx:
            self.store.journal.add_predictions(tx, "p", said, self.clock)
            self.store.registry.add_outputs(tx, outputs)
        self.clock += windows

    def tick(self) -> None:
        """Stream time goes on to where the next windows are."""
        times = np.array([self.clock], np.int64)
        block = Block("clock", ("x",), times, np.zeros((1, 1), np.float32), "b", self.clock)
        with self.store.write() as tx:
            self.store.journal.append(tx, "p", Columns.of([block]), self.clock)

    def carried(self, slot: str) -> tuple[int, Audience] | None:
        topic = topics.BUNDLE.of(prefix=self.prefix, pipeline="p", cohort="all", slot=slot)
        payload = self.listener.retained.get(topic)
        if not payload:
            return None
        targets = trust.targets_of(trust.unpack_bundle(payload))
        custom = targets["weights.int8"].custom
        return int(custom["version"]), Audience.read(custom)

    def rollout(self) -> Rollout | None:
        return self.store.rollouts.last("p", "all")

    def stage(self, percent: float, version: int = 2) -> list[str]:
        return [device for device in FLEET if Audience(percent).has(device, version)]

    def reaches(self, state: str, stage: int) -> None:
        wait_until(
            lambda: (r := self.rollout()) is not None and (r.state, r.stage) == (state, stage),
            f"{state} at stage {stage}, not {self.rollout()}",
        )


@contextmanager
def rolling(
    broker: Broker, prefix: str, store: Store, folder: Path, soak: str = "0 s", release: Release | None = None
) -> Iterator[Field]:
    """Version 1 everywhere, version 2 at its first stage."""
    chosen = release or Release(stages=STAGES, soak=Duration.parse(soak))
    store.registry.set_teacher("p", TEACHER)
    add_version(store, 1, teacher=TEACHER)
    config = settings(broker, prefix, folder, chosen)
    with listening(broker.url, prefix) as listener, publishing(config, store, folder):
        field = Field(store, listener, prefix)
        wait_until(lambda: field.carried("stable") == (1, Audience()), "version 1 is everywhere at once")
        field.connect()
        field.speak(1, [], RIGHT)
        field.tick()
        add_version(store, 2, teacher=TEACHER)
        field.reaches(RUNNING, 0)
        yield field


def test_a_version_that_does_well_reaches_all_stage_by_stage(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    with rolling(broker, prefix, store, tmp_path) as field:
        wait_until(lambda: field.carried("canary") == (2, Audience(25)), "the first stage")
        assert field.carried("stable") == (1, Audience())
        field.speak(2, field.stage(25), RIGHT)
        field.reaches(RUNNING, 1)
        wait_until(lambda: field.carried("canary") == (2, Audience(50)), "the second stage")
        field.tick()
        field.speak(2, field.stage(50), RIGHT)
        field.reaches(DONE, 2)
        wait_until(lambda: field.carried("canary") == (2, Audience(0)), "the canary is over")
        assert field.carried("stable") == (2, Audience())
        what = [(decision.who, decision.what) for decision in store.rollouts.decisions("p")]
        assert what == [("rollout controller", each) for each in ("to 25 %", "to 50 %", "to all devices")]


def test_a_version_that_collapses_in_the_field_is_called_off_and_reaches_nobody_else(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    with rolling(broker, prefix, store, tmp_path) as field:
        wait_until(lambda: field.carried("canary") == (2, Audience(25)), "the first stage")
        field.speak(2, field.stage(25), WRONG)
        field.reaches(ABORTED, 0)
        wait_until(lambda: field.carried("canary") == (2, Audience(0)), "its devices go back")
        assert field.carried("stable") == (1, Audience())
        newest = store.registry.newest("p", "all")
        assert newest is not None
        assert newest.version == 1  # what the next round starts from
        assert "against the control group's" in store.rollouts.decisions("p")[-1].why
        add_version(store, 3, teacher=TEACHER)
        wait_until(lambda: field.carried("canary") == (3, Audience(25)), "the next is tried again")


def test_a_stage_is_watched_for_its_time_however_well_it_does(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    with rolling(broker, prefix, store, tmp_path, soak="1 day") as field:
        wait_until(lambda: field.carried("canary") == (2, Audience(25)), "the first stage")
        field.speak(2, field.stage(25), RIGHT)
        # A newer version waits for its turn.
        add_version(store, 3, teacher=TEACHER)
        goes_round(store)
        assert field.carried("canary") == (2, Audience(25))
        field.speak(2, field.stage(25), WRONG, windows=200)
        wait_until(lambda: store.rollouts.of("p")[0].state == ABORTED, "a collapse does not wait")
        field.reaches(RUNNING, 0)  # version 3, whose turn it is
        assert field.rollout() == store.rollouts.of("p")[1]


def goes_round(store: Store) -> None:
    """The publisher has looked after its rollouts: it has carried out a command that came later."""
    asked = {"action": "none", "cohort": "none", "person": "test", "why": "to see that it goes round"}
    for _ in range(2):  # it looks after each, before it takes the next
        number = store.registry.command("test", "rollout", "p", **asked)
        wait_until(lambda n=number: store.registry.outcome(n)[0] == "failed", "the publisher goes round")


def test_devices_that_refuse_it_stop_it(broker: Broker, prefix: str, store: Store, tmp_path: Path) -> None:
    with rolling(broker, prefix, store, tmp_path) as field:
        wait_until(lambda: field.carried("canary") == (2, Audience(25)), "the first stage")
        for device in field.stage(25)[:3]:
            topic = topics.REPORT.of(prefix=prefix, pipeline="p", device=device)
            report = topics.Report("rejected", 5, 1, offered=2, reason="self_test")
            field.listener.connection.publish_and_wait(topic, topics.encode(report))
        field.reaches(ABORTED, 0)
        assert "refused it or left it again" in store.rollouts.decisions("p")[-1].why


def test_a_person_decides_and_the_log_says_who_and_why(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "c.yml").write_text(
        f"broker: {broker.url}\nstore: sqlite:{tmp_path}\nprefix: {prefix}\npipelines:\n  p:\n"
        "    window: {length: 1}\n    task: {classify: [a, b]}\n    sources: [{channels: {x: x}}]\n"
        "    release: {stages: [25%, 50%, 100%], soak: 1 day}\n"
    )

    def cli(*words: str) -> str:
        result = CliRunner().invoke(main, [*words, "--config", str(tmp_path / "c.yml")])
        return result.output

    with rolling(broker, prefix, store, tmp_path, soak="1 day") as field:
        assert "version 2 at 25 %" in cli("rollout")
        assert "version 2 is paused at 25 %" in cli("rollout", "pause", "--reason", "public holiday")
        field.reaches(PAUSED, 0)
        field.speak(2, field.stage(25), WRONG)
        goes_round(store)
        field.reaches(PAUSED, 0)  # paused is paused
        field.tick()
        assert "paused already" in cli("rollout", "pause", "--reason", "again")
        assert "goes to 50 %" in cli("rollout", "advance", "--reason", "looks fine to me")
        field.reaches(RUNNING, 1)
        assert "is called off" in cli("rollout", "abort", "--reason", "it is not")
        field.reaches(ABORTED, 1)
        assert "no rollout of p/all is under way" in cli("rollout", "resume", "--reason", "try")
        shown = cli("rollout")
        assert "no rollout is under way" in shown
        for reason in ("public holiday", "looks fine to me", "it is not"):
            assert reason in shown


@pytest.mark.parametrize("paused", [False, True])
def test_what_a_person_rolls_back_to_waits_for_no_rollout(
    broker: Broker, prefix: str, store: Store, tmp_path: Path, paused: bool
) -> None:
    """Nor is it passed over for what a round has made meanwhile."""
    with rolling(broker, prefix, store, tmp_path, soak="1 day") as field:
        wait_until(lambda: field.carried("canary") == (2, Audience(25)), "the first stage")
        if paused:
            steer = {"action": "pause", "cohort": "all", "person": "ann", "why": "lunch"}
            store.registry.command("test", "rollout", "p", **steer)
            field.reaches(PAUSED, 0)
        why = {"rollback_by": "ann", "rollback_because": "smoke in hall 3"}
        back = make_version(store, 3, seed=1, teacher=TEACHER, rollback_of=1, **why)
        newer = make_version(store, 4, teacher=TEACHER)
        with store.write() as tx:  # both at once
            store.registry.add_version(tx, back)
            store.registry.add_version(tx, newer)
        wait_until(lambda: field.carried("stable") == (3, Audience()), "it is everywhere")
        wait_until(lambda: field.carried("canary") == (4, Audience(25)), "the next is tried from there")
    decided = [(each.version, each.who, each.what, each.why) for each in store.rollouts.decisions("p")]
    assert decided[-3:] == [
        (2, "ann", "called off", "back to version 1: smoke in hall 3"),
        (3, "ann", "to all devices", "back to version 1: smoke in hall 3"),
        (4, "rollout controller", "to 25 %", "a new version"),
    ]


def test_a_plan_says_who_would_come_when_and_changes_nothing(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    release = Release(stages=STAGES, first=("machine-03",), never=("machine-07",))
    with rolling(broker, prefix, store, tmp_path, release=release):
        before = store.rollouts.of("p")
        plan = stages.plan(store, "p", release, "all", 2)
        assert sorted(device for added in plan.values() for device in added) == FLEET
        assert "machine-03" in plan["25 %"]
        assert "machine-07" in plan["100 %"]
        assert store.rollouts.of("p") == before
        with store.write() as tx:
            store.registry.pin(tx, "p", "machine-03", pinned=True)
        taking = {device for added in stages.plan(store, "p", release, "all", 2).values() for device in added}
        assert taking == set(FLEET) - {"machine-03"}
        split = stages.divided(store, "p", "all", 2, stages.audience(release, 0))
        assert "machine-03" not in [*split.stage, *split.control]


def test_a_publisher_that_ends_in_mid_rollout_goes_on_with_it(
    broker: Broker, prefix: str, store: Store, tmp_path: Path
) -> None:
    release = Release(stages=STAGES, soak=Duration.parse("0 s"))
    with rolling(broker, prefix, store, tmp_path, release=release) as field:
        wait_until(lambda: field.carried("canary") == (2, Audience(25)), "the first stage")
    with listening(broker.url, prefix) as listener:
        field.listener = listener
        field.speak(2, field.stage(25), RIGHT)
        with publishing(settings(broker, prefix, tmp_path, release), store, tmp_path):
            field.reaches(RUNNING, 1)


def test_a_stage_of_nobody_is_passed(broker: Broker, prefix: str, store: Store, tmp_path: Path) -> None:
    release = Release(stages=(Percent(0.001), Percent(100)), soak=Duration.parse("1 day"))
    with rolling(broker, prefix, store, tmp_path, release=release) as field:
        field.reaches(DONE, 1)
        assert "no device is in the stage of 0.001 %" in store.rollouts.decisions("p")[-1].why


@pytest.mark.parametrize("stages", [[100, 50], [10, 10, 100], [10, 50]])
def test_stages_grow_and_end_with_all(stages: list[float]) -> None:
    with pytest.raises(ValueError, match="growing shares that end with 100%"):
        Release(stages=tuple(Percent(each) for each in stages))

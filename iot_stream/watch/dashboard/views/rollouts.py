"""Rollouts: how far each version has come, how it does beside the one before, who decided what."""

from collections.abc import Sequence

import msgspec

from iot_stream.clock import SECOND, wall
from iot_stream.config import Pipeline
from iot_stream.config.release import Health
from iot_stream.field import evidence, health, stages
from iot_stream.field.health import Group, Period
from iot_stream.store import Store
from iot_stream.store.rollouts import RUNNING, Decision, Rollout
from iot_stream.watch.dashboard.views.asked import Query, seconds

PAST, DECISIONS = 20, 100


class Counted(msgspec.Struct):
    """Windows of a group's devices in a time; `accuracy` of those that were judged, None for none."""

    windows: int
    judged: int
    accuracy: float | None
    certainty: float | None


class Side(msgspec.Struct):
    """`since`: under the version, or meanwhile; `before` it came. `infer_us` 0: not known."""

    devices: int
    since: Counted
    before: Counted
    infer_us: float


class Field(msgspec.Struct):
    """How a version under way does: the devices of its stage, beside those that do not have it yet; `failed`:
    how many refused it or left it. `outcome`: good, bad or wait, and `why`."""

    stage: Side
    control: Side
    failed: int
    outcome: str
    why: str


class Line(msgspec.Struct):
    """Where a version stands. `soaked`: when its stage has been watched long enough, None where that is not
    waited for. `field`: only of those under way."""

    cohort: str
    version: int
    state: str
    stage: int
    since: float
    soaked: float | None
    field: Field | None


class Decided(msgspec.Struct):
    at: float
    cohort: str
    version: int
    who: str
    what: str
    why: str


class Rollouts(msgspec.Struct):
    """`stages`: in words, as the configuration has them; `rules`: when a version is called off."""

    now: float
    stages: list[str]
    soak_s: float
    rules: Health
    under_way: list[Line]
    past: list[Line]
    decisions: list[Decided]


class View:
    """Of one pipeline."""

    def __init__(self, store: Store, name: str, pipeline: Pipeline) -> None:
        self._store, self._name, self._release = store, name, pipeline.release

    def view(self, query: Query) -> Rollouts:  # noqa: ARG002  as all views
        found = self._store.rollouts.of(self._name)
        past = sorted((each for each in found if not each.under_way), key=lambda each: each.since)
        return Rollouts(
            now=seconds(wall()),
            stages=[str(percent) for percent in self._release.stages],
            soak_s=self._release.soak / SECOND,
            rules=self._release.health,
            under_way=[self._line(each) for each in found if each.under_way],
            past=[self._line(each) for each in past[: -PAST - 1 : -1]],
            decisions=_told(self._store.inspection.decisions(self._name, DECISIONS)),
        )

    def _line(self, rollout: Rollout) -> Line:
        waits = rollout.state == RUNNING
        return Line(
            rollout.cohort,
            rollout.version,
            rollout.state,
            min(rollout.stage, len(self._release.stages) - 1),
            seconds(rollout.since),
            seconds(rollout.since + self._release.soak) if waits else None,
            self._field(rollout) if rollout.under_way else None,
        )

    def _field(self, rollout: Rollout) -> Field | None:
        version = self._store.registry.version(self._name, rollout.cohort, rollout.version)
        if version is None:
            return None
        audience = stages.audience(self._release, rollout.stage)
        split = stages.divided(self._store, self._name, rollout.cohort, rollout.version, audience)
        known = evidence.gather(self._store, self._name, version, rollout, split.stage, split.control)
        finding = health.judge(known, self._release.health)
        return Field(_side(known.stage), _side(known.control), known.failed, finding.outcome, finding.why)


def _side(group: Group) -> Side:
    return Side(group.devices, _counted(group.since), _counted(group.before), group.infer_us)


def _counted(period: Period) -> Counted:
    return Counted(
        period.windows,
        period.judged,
        period.accuracy if period.judged else None,
        period.mean_p if period.windows else None,
    )


def _told(decisions: Sequence[Decision]) -> list[Decided]:
    return [Decided(seconds(each.at), *each[1:]) for each in decisions]

"""Whether a version does well in the field: the devices that have it, against those that do not yet.

Groups differ, and so do times: what counts is how much more the stage's devices have changed since the
version came than the control group has in the same time (difference in differences).
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

from iot_stream.config.release import Health

Outcome = Literal["good", "bad", "wait"]


@dataclass(frozen=True)
class Period:
    """Windows of a group of devices: how many could be judged, by labels or the teacher, and were right."""

    windows: int = 0
    judged: int = 0
    right: int = 0
    certainty: float = 0.0  # summed over windows

    @property
    def accuracy(self) -> float:
        return self.right / self.judged

    @property
    def mean_p(self) -> float:
        return self.certainty / self.windows

    @property
    def variance(self) -> float:
        """Of the accuracy; (Agresti-Coull, so that few windows that are all right are no proof)."""
        p = (self.right + 2) / (self.judged + 4)
        return p * (1 - p) / (self.judged + 4)


@dataclass(frozen=True)
class Group:
    """`since`: under the version, or in the control group at the same time; `before` it came. `infer_us` 0:
    not known."""

    devices: int = 0
    since: Period = Period()
    before: Period = Period()
    infer_us: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """`stage`: who has the version, `control`: who has not; `failed` of the stage's refused or left it."""

    stage: Group
    control: Group
    failed: int = 0


@dataclass(frozen=True)
class Finding:
    outcome: Outcome
    why: str


def judge(evidence: Evidence, rules: Health) -> Finding:
    """`bad` as soon as there is proof of it; `good` when there are enough windows and none; else `wait`."""
    stage, control = evidence.stage, evidence.control
    tried = stage.devices + evidence.failed
    if evidence.failed > rules.failures * tried:
        return Finding("bad", f"{evidence.failed} of {tried} devices refused it or left it again")
    if stage.infer_us and control.infer_us and stage.infer_us > rules.latency * control.infer_us:
        slow = f"{stage.infer_us:.0f} µs an inference, {control.infer_us:.0f} µs in the control group"
        return Finding("bad", f"it is slow: {slow}")
    enough = stage.since.windows >= rules.n_min
    if enough and (fall := _fall(stage, control, "mean_p")) is not None and fall > rules.confidence:
        return Finding("bad", f"its certainty fell by {fall:.3f} more than the control group's")
    if stage.since.judged < rules.n_min:
        if not enough:
            return Finding("wait", f"{stage.since.windows} windows, {rules.n_min} are needed")
        if any(p.judged for p in (stage.since, stage.before, control.since, control.before)):
            judged = f"{stage.since.judged} windows could be judged"
            return Finding("wait", f"{judged}, {rules.n_min} are needed")
        return Finding("good", f"{stage.since.windows} windows; neither labels nor teacher to judge them by")
    return _by_agreement(stage, control, rules)


def _by_agreement(stage: Group, control: Group, rules: Health) -> Finding:
    periods = [stage.since, *(p for p in (stage.before, control.since, control.before) if p.judged)]
    fall = _fall(stage, control, "accuracy")
    right = f"{stage.since.accuracy:.3f} of {stage.since.judged} windows right"
    if fall is None:
        return Finding("good", f"{right}; nothing to compare with")
    margin = 1.64 * sqrt(sum(period.variance for period in periods))
    against = f"a change of {-fall:+.3f} ± {margin:.3f} against the control group's"
    # One device's windows are alike, so the margin is too narrow: the fall itself must be too large, too.
    if fall > rules.drop and fall - margin > 0:
        return Finding("bad", f"{right}, {against}")
    return Finding("good", f"{right}, {against}")


def _fall(stage: Group, control: Group, what: Literal["accuracy", "mean_p"]) -> float | None:
    """How much more the stage fell than the control group, as far as there is something to compare with."""

    def value(period: Period) -> float | None:
        there = period.judged if what == "accuracy" else period.windows
        return float(getattr(period, what)) if there else None

    now, before = value(stage.since), value(stage.before)
    if now is None:
        return None
    other_now, other_before = value(control.since), value(control.before)
    if before is not None:
        beside = other_before - other_now if other_before is not None and other_now is not None else 0.0
        return before - now - beside
    return None if other_now is None else other_now - now

"""Whether the model that runs does well on this device, as far as the device itself can tell.

A new version is on probation for some windows: its certainty and the time of an inference are held against
those of the version before it, on this very device. Numbers that are none are left at once. That a version
says one class and no other proves nothing by itself (a machine may well stay broken, and the version before
may have been wrong), so it counts only where a person has said after how many windows it does.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

KEPT = 500  # windows that mean certainty and median time are of


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    windows: Annotated[int, Meta(ge=1, description="Windows of probation of a new version")] = 200
    confidence: Annotated[
        float, Meta(gt=0, le=1, description="Mean certainty may fall by this much against the version before")
    ] = 0.3
    slower: Annotated[
        float, Meta(gt=1, description="Times as long as with the version before that an inference may take")
    ] = 10.0
    collapse: Annotated[
        int,
        Meta(
            ge=0,
            description="Leave a version that says one class in all of its first so many windows, if the one "
            "before said others; 0: never",
        ),
    ] = 0


@dataclass(frozen=True)
class Complaint:
    """`reason`: nan, confidence, latency or class_collapse; `detail` for a person."""

    reason: str
    detail: str


@dataclass
class _Figures:
    """Of the newest windows under one version."""

    certainty: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    infer_us: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    classes: set[int] = field(default_factory=set)
    windows: int = 0


class Health:
    """Of one device, over all versions that it runs. Not for several threads at once."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._before, self._now = _Figures(), _Figures()

    @property
    def mean_p(self) -> float:
        """Mean certainty of the newest windows under this version; 0 before the first."""
        return _mean(self._now.certainty) if self._now.certainty else 0.0

    @property
    def infer_us(self) -> float:
        """Median time of an inference (µs a window); 0 before the first."""
        return _median(self._now.infer_us) if self._now.infer_us else 0.0

    def begin(self) -> None:
        """Another version runs from now on; one that was left before it was known is as if it never ran."""
        if self._now.windows >= min(self._rules.windows, KEPT):
            self._before = self._now
        self._now = _Figures()

    def saw(self, classes: Sequence[int], certainty: Sequence[float], infer_us: float) -> Complaint | None:
        """What the model has just said of some windows, and how long each took it."""
        now, rules, known = self._now, self._rules, self._before.windows > 0
        before, now.windows = now.windows, now.windows + len(classes)
        now.certainty.extend(certainty)
        now.infer_us.extend([infer_us] * len(classes))
        now.classes.update(classes)
        if known and before < rules.windows <= now.windows:
            return self._worse(_mean(self._before.certainty), _median(self._before.infer_us))
        if known and before < rules.collapse <= now.windows:
            return self._collapsed()
        return None

    def _worse(self, certainty: float, infer_us: float) -> Complaint | None:
        if self.mean_p < certainty - self._rules.confidence:
            return Complaint("confidence", f"mean certainty {self.mean_p:.2f}, {certainty:.2f} before")
        if self.infer_us > self._rules.slower * infer_us:
            return Complaint("latency", f"{self.infer_us:.0f} µs an inference, {infer_us:.0f} before")
        return None

    def _collapsed(self) -> Complaint | None:
        if len(self._now.classes) > 1 or len(self._before.classes) < 2:
            return None
        many = f"one class in all {self._now.windows} windows"
        return Complaint("class_collapse", f"{many}, {len(self._before.classes)} classes before")


# Not of the library of statistics, which takes a quarter of a megabyte, nor numpy's, which takes more.
def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _median(values: Sequence[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else _mean(ordered[middle - 1 : middle + 1])

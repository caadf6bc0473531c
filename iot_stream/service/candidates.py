"""The candidates of a round: the student after its lesson, and, where `distill.renormalise` asks for it, one
after the same lesson under mean and scale of the recent windows, from the same weights: where inputs have
moved or stretched, they come back to where the weights know them (Li and others, "Revisiting batch
normalization for practical domain adaptation", arXiv 1603.04779, do this layer by layer; here it is the input
alone). No label is needed. The gate says which of them goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from iot_stream.distill.cohorts import Lesson
from iot_stream.distill.student import Architecture
from iot_stream.distill.trainer import Trained
from iot_stream.release.gate import Verdict
from iot_stream.service.packing import Choice


@dataclass(frozen=True)
class Candidate:
    """`averaged`: with so many past students."""

    architecture: Architecture
    lesson: Lesson
    trained: Trained
    averaged: int
    choice: Choice
    renormalised: bool


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The ordinary one, which comes first, unless the other passes the gate alone, or gains more."""
    passed = [each for each in candidates if each.choice.verdict.passed]
    return max(passed or candidates[:1], key=lambda each: each.choice.verdict.gain)


def compared(candidates: Sequence[Candidate], taken: Candidate) -> dict[str, Any] | None:
    """Whether the renormalised one was taken, and what the gate said of each; None where there is none."""
    if not any(each.renormalised for each in candidates):
        return None
    verdicts = {
        "renormalised" if each.renormalised else "ordinary": _told(each.choice.verdict) for each in candidates
    }
    return {"taken": taken.renormalised} | verdicts


def _told(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {verdict.reason}"

"""The gate: no worse model gets out.

The candidate is judged as the device will run it (the caller gives logits of the encoded, decoded
model in the device runtime), on held-out windows, against the version that runs, pair by pair: on recent
ones, and, where the settings ask for it, on ones of old regimes.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Gate
from iot_stream.labelling import enough_classes

Z95 = 1.96  # two-sided 95 %: the lower bound is crossed by chance once in forty


@dataclass(frozen=True)
class Verdict:
    """`outcome`: passed, rejected, or held (not enough to judge by). Accuracies are fractions.

    `basis`: labels, or agreement with the teacher. `gain` = candidate − running, `lower` its 95 % bound;
    `old`: the same two and the number of windows, on old regimes. `enough`: whether there was what to judge
    by.
    """

    outcome: str
    reason: str
    basis: str
    windows: int
    classes: int
    candidate: float = 0.0
    running: float = 0.0
    gain: float = 0.0
    lower: float = 0.0
    bytes: int = 0
    recall: dict[str, tuple[float, float]] = field(default_factory=dict)
    old: dict[str, float] = field(default_factory=dict)
    enough: bool = True

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    def report(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    candidate: NDArray[np.float32],
    running: NDArray[np.float32],
    teacher: NDArray[np.float32],
    labels: NDArray[np.int64],
    size: int,
    settings: Gate,
    classes: tuple[str, ...],
) -> Verdict:
    """Logits (n, classes) of three models on the same held-out windows; `labels` (n,), −1 where none.

    Labels judge where there are `n_min` of them over two classes, else agreement with the teacher.
    Held with fewer windows, or with hardly more than one class among them. `size` in bytes.
    """
    truth, basis = truth_of(teacher, labels, settings.n_min)
    known = truth >= 0
    seen, counted = len(np.unique(truth[known])), int(known.sum())
    if counted < settings.n_min:
        reason = f"{counted} windows to judge by, {settings.n_min} are needed"
        return Verdict("held", reason, basis, counted, seen, enough=False)
    if not enough_classes(truth, settings.n_min):
        shares = zip(classes, np.bincount(truth[known], minlength=len(classes)).tolist(), strict=True)
        most = ", ".join(f"{n} {name}" for name, n in sorted(shares, key=lambda each: -each[1])[:2])
        reason = f"hardly more than one class among the windows to judge by: {most}"
        return Verdict("held", reason, basis, counted, seen, enough=False)
    right = candidate[known].argmax(axis=1) == truth[known]
    was_right = running[known].argmax(axis=1) == truth[known]
    gain, lower = _gain(right, was_right)
    recall = _recalls(truth[known], right, was_right, classes, settings.n_min)
    on = f"on {counted} windows by {basis}"
    outcome, reason = "passed", f"{gain:+.3f} (at least {lower:+.3f}) {on}"
    if not np.isfinite(candidate).all():
        outcome, reason = "rejected", "the candidate gives NaN or infinity"
    elif size > settings.max_bytes:
        outcome, reason = "rejected", f"{size} bytes encoded, {settings.max_bytes} are allowed"
    elif lower <= -settings.delta:
        outcome, reason = "rejected", f"{_worse(lower, settings.delta)}: {gain:+.3f} {on}"
    elif worse := [name for name, (now, before) in recall.items() if now < before - settings.recall_drop]:
        outcome, reason = (
            "rejected",
            f"recall of {worse[0]} falls from {recall[worse[0]][1]:.2f} to {recall[worse[0]][0]:.2f}",
        )
    return Verdict(
        outcome,
        reason,
        basis,
        counted,
        seen,
        float(right.mean()),
        float(was_right.mean()),
        gain,
        lower,
        size,
        recall,
    )


def judge_old(
    verdict: Verdict,
    candidate: NDArray[np.float32],
    running: NDArray[np.float32],
    teacher: NDArray[np.float32],
    labels: NDArray[np.int64],
    settings: Gate,
) -> Verdict:
    """The second set: logits (n, classes) and labels (n,) on windows of old regimes, none of which trained.

    Each window is judged by its label, without one by the teacher. What passed on recent windows is rejected
    where the lower bound falls to −`old_drop`; fewer than `n_min` windows decide nothing.
    """
    if settings.old_drop is None or len(labels) < settings.n_min:
        return verdict
    truth = np.where(labels >= 0, labels, teacher.argmax(axis=1))
    gain, lower = _gain(candidate.argmax(axis=1) == truth, running.argmax(axis=1) == truth)
    seen = replace(verdict, old={"windows": len(truth), "gain": gain, "lower": lower})
    if not verdict.passed or lower > -settings.old_drop:
        return seen
    worse = f"in old regimes {_worse(lower, settings.old_drop)}"
    return replace(seen, outcome="rejected", reason=f"{worse}: {gain:+.3f} on {len(truth)} windows")


def judge_teacher(
    tuned: NDArray[np.float32], before: NDArray[np.float32], labels: NDArray[np.int64], settings: Gate
) -> dict[str, Any]:
    """A teacher after late labels, beside itself before: logits (n, classes) and labels (n,) of windows that
    taught neither. Rejected where it is right on fewer by more than δ, or says what is no number; fewer than
    `n_min` labels decide nothing."""
    known = labels >= 0
    seen = {"windows": int(known.sum())}
    if not np.isfinite(tuned).all() and np.isfinite(before).all():
        return seen | {"outcome": "rejected", "reason": "it gives NaN or infinity"}
    if seen["windows"] < settings.n_min:
        return seen | {"outcome": "passed", "reason": f"{seen['windows']} labels to judge by decide nothing"}
    right, was_right = (said[known].argmax(axis=1) == labels[known] for said in (tuned, before))
    gain, lower = _gain(right, was_right)
    reason = f"{gain:+.3f} (at least {lower:+.3f}) on {seen['windows']} windows by labels"
    return seen | {
        "outcome": "rejected" if gain < -settings.delta else "passed",
        "reason": reason,
        "gain": gain,
        "lower": lower,
    }


def _worse(lower: float, allowed: float) -> str:
    return f"it may be worse by {-lower:.3f}, {allowed:g} is allowed"


def _gain(right: NDArray[np.bool_], was_right: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean of the paired differences and its lower 95 % bound."""
    difference = right.astype(np.float64) - was_right
    gain = float(difference.mean())
    return gain, gain - Z95 * float(difference.std(ddof=1)) / float(np.sqrt(len(difference)))


def truth_of(
    teacher: NDArray[np.float32], labels: NDArray[np.int64], n_min: int
) -> tuple[NDArray[np.int64], str]:
    """What the windows are judged by (n,), −1 where nothing, and its name: labels or teacher."""
    known = labels[labels >= 0]
    if len(known) >= n_min and len(np.unique(known)) >= 2:
        return labels, "labels"
    return np.asarray(teacher.argmax(axis=1), np.int64), "teacher"


def _recalls(
    truth: NDArray[np.int64],
    right: NDArray[np.bool_],
    was_right: NDArray[np.bool_],
    classes: tuple[str, ...],
    n_min: int,
) -> dict[str, tuple[float, float]]:
    """Recall of candidate and running version, of the classes with enough windows."""
    counts = np.bincount(truth, minlength=len(classes))
    return {
        name: (float(right[truth == k].mean()), float(was_right[truth == k].mean()))
        for k, name in enumerate(classes)
        if counts[k] >= max(20, n_min // 3)
    }

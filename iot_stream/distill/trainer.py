"""The two training loops: a teacher on labels, a student on the teacher's outputs.

Teacher outputs are an argument, computed once a window by `predict` and kept by the caller; so a round
of several epochs costs one pass of the large model, and none for windows seen before.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iot_stream.config.learning import DistillSettings, TrainSettings
from iot_stream.distill.fusion import MovingAverage, pull
from iot_stream.distill.losses import NO_LABEL, SOFT, combined, cross_entropy
from iot_stream.errors import ModelError

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all) after every step."""


@dataclass(frozen=True)
class Trained:
    """What a training run came to and what it cost.

    `losses` are means over the last quarter of the steps, by the name of the part; `last` the weights after
    the last step, where the model was left with their moving average instead.
    """

    losses: dict[str, float]
    steps: int
    seconds: float
    cpu_seconds: float
    last: Mapping[str, Tensor] | None = None


def train_supervised(
    model: nn.Module,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    settings: TrainSettings,
    seed: int,
    progress: Progress | None = None,
    weights: NDArray[np.float64] | None = None,
) -> Trained:
    """Trains `model` in place on labelled windows x (n, length, channels), y (n,) and leaves it in eval mode.

    Rows with label −1 are left out. `weights` (n,) says how often a row is drawn relative to the others.
    Raises ModelError without labels, or when the loss is no number.
    """
    labelled = np.flatnonzero(y != NO_LABEL)
    if labelled.size == 0:
        raise ModelError("the teacher has no labelled window to learn from: give the bootstrap labels")
    inputs, labels = torch.from_numpy(x[labelled]), torch.from_numpy(y[labelled].astype(np.int64))

    def loss(rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        part = cross_entropy(model(inputs[rows]), labels[rows])
        return part, {"labels": part}

    draw = _Draw(labelled.size, settings.batch, None if weights is None else weights[labelled], seed)
    model.train()
    return _descend(model, loss, draw, settings, settings.steps, None, progress)


def distil(
    student: nn.Module,
    x: NDArray[np.float32],
    teacher_logits: NDArray[np.float32],
    labels: NDArray[np.int64] | None,
    settings: DistillSettings,
    seed: int,
    *,
    steps: int | None = None,
    weights: NDArray[np.float64] | None = None,
    anchor: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Distils the teacher's outputs into `student`, in place, and leaves it in eval mode.

    x (n, length, channels); teacher_logits (n, classes); labels (n,) with −1 where there is none, or
    None. `steps` defaults to a round's. `weights` (n,) says how often a row is drawn relative to the
    others. With `anchor`, the first student's weights, the start is pulled towards them by
    `settings.pull`. Raises ModelError without windows, or when the loss is no number.
    """
    if len(x) == 0:
        raise ModelError("nothing to distil: the round's sample is empty")
    inputs, targets = torch.from_numpy(x), torch.from_numpy(teacher_logits)
    known = torch.full((len(x),), NO_LABEL) if labels is None else torch.from_numpy(labels.astype(np.int64))
    soft = SOFT.get(settings.loss)

    def loss(rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return combined(
            student(inputs[rows]),
            targets[rows],
            known[rows],
            soft=soft,
            temperature=settings.temperature,
            alpha=settings.alpha,
            beta=settings.beta,
        )

    if anchor is not None and settings.pull > 0:
        pull(student, anchor, settings.pull)
    draw = _Draw(len(x), settings.batch, weights, seed)
    average = MovingAverage(student, settings.ema) if settings.ema > 0 else None
    student.train()
    return _descend(student, loss, draw, settings, steps or settings.steps, average, progress)


@torch.no_grad()
def predict(model: nn.Module, x: NDArray[np.float32], batch: int = 512) -> NDArray[np.float32]:
    """Logits (n, classes) of windows x (n, length, channels), in eval mode whatever the model's own."""
    was_training = model.training
    model.eval()
    try:
        starts = range(0, max(len(x), 1), batch)  # no windows are one empty batch: shape (0, classes)
        parts = [model(torch.from_numpy(x[start : start + batch])) for start in starts]
    finally:
        model.train(was_training)
    return np.asarray(torch.cat(parts).float().numpy())


class _Draw:
    """Rows of each step: reshuffled passes over the data, or draws in proportion to weights."""

    def __init__(self, rows: int, batch: int, weights: NDArray[np.float64] | None, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._batch = min(batch, rows)
        self._rows = rows
        self._weights = None if weights is None else torch.from_numpy(weights.astype(np.float64))
        self._queue = torch.empty(0, dtype=torch.int64)

    def __call__(self) -> Tensor:
        if self._weights is not None:
            return torch.multinomial(self._weights, self._batch, replacement=True, generator=self._generator)
        if len(self._queue) < self._batch:
            self._queue = torch.randperm(self._rows, generator=self._generator)
        rows, self._queue = self._queue[: self._batch], self._queue[self._batch :]
        return rows


def _descend(
    model: nn.Module,
    loss: Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]],
    draw: _Draw,
    settings: TrainSettings | DistillSettings,
    steps: int,
    average: MovingAverage | None,
    progress: Progress | None,
) -> Trained:
    """The loop itself: draw, loss, back, step, rate, average; then eval mode."""
    started, cpu_started = time.perf_counter(), time.process_time()
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = (
        torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        if settings.schedule == "cosine"
        else None
    )
    history: dict[str, list[float]] = {}
    for step in range(1, steps + 1):
        total, parts = loss(draw())
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        if schedule is not None:
            schedule.step()
        if average is not None:
            average.update()
        for name, part in parts.items():
            history.setdefault(name, []).append(part.item())
        if progress is not None:
            progress(step, steps)
    last = None
    if average is not None:
        last = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        average.apply()
    model.eval()
    losses = {name: float(np.mean(values[-max(1, steps // 4) :])) for name, values in history.items()}
    if not all(np.isfinite(value) for value in losses.values()):
        raise ModelError(f"the loss became {losses}: lower `rate`, or look at the windows for extreme values")
    return Trained(losses, steps, time.perf_counter() - started, time.process_time() - cpu_started, last)

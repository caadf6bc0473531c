"""The two training loops: a teacher on labels, a student on the teacher's outputs.

Teacher outputs are an argument, computed once a window by `predict` and kept by the caller; so a round
of several epochs costs one pass of the large model, and none for windows seen before.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iot_stream.config.learning import DistillSettings, Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.engine import CPU, Engine, chance, take_chance
from iot_stream.distill.fusion import MovingAverage, pull
from iot_stream.distill.losses import NO_LABEL, Parts, combined, cross_entropy, regressor
from iot_stream.distill.models.features import overheard
from iot_stream.distill.pace import Pace
from iot_stream.errors import ModelError

Progress = Callable[[int, int, Parts], None]
"""Called with (steps done, steps in all, parts of the loss) after every step; training may end before the
last. The parts are tensors, which cost time to look at."""

MOST = 5.0  # a longer gradient is shortened to this
REGRESSED = 2048  # windows that the first map of features is fitted to
NO_FEATURES = (
    "the teacher tells no features, which only a single network does (no ensemble, no estimator, no topic); "
    "take another loss, such as kd"
)


@dataclass(frozen=True)
class Trained:
    """What a training run came to and what it cost.

    `losses` are means over the last quarter of the steps, by the name of the part; `last` the weights after
    the last step, where the model was left with their moving average instead. `windows` were drawn, some of
    them again and again; a training without a cache passes the teacher over each.
    """

    losses: dict[str, float]
    steps: int
    seconds: float
    cpu_seconds: float
    last: Mapping[str, Tensor] | None = None
    windows: int = 0


def train_supervised(
    model: nn.Module,
    x: NDArray[np.float32],
    y: NDArray[np.int64],
    settings: TrainSettings,
    seed: int,
    progress: Progress | None = None,
    weights: NDArray[np.float64] | None = None,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Trains `model` in place on labelled windows x (n, length, channels), y (n,) and leaves it in eval mode.

    Rows with label −1 are left out. `weights` (n,) says how often a row is drawn relative to the others. With
    `checkpoints` it goes on where the same training was cut off, and comes to the same weights.
    Raises ModelError without labels, or when the loss is no number.
    """
    labelled = np.flatnonzero(y != NO_LABEL)
    if labelled.size == 0:
        raise ModelError("the teacher has no labelled window to learn from: give the bootstrap labels")
    engine = Engine.of(settings, model)
    inputs, labels = engine.put(x[labelled]), engine.put(y[labelled].astype(np.int64))

    def loss(rows: Tensor) -> tuple[Tensor, Parts]:
        with engine.autocast():
            said = model(inputs[rows])
        part = cross_entropy(said, labels[rows])
        return part, {"labels": part}

    draw = Draw(labelled.size, settings.batch, None if weights is None else weights[labelled], seed)
    model.train()
    pace = Pace(settings.rate, settings.schedule, settings.steps)
    with engine.carrying(model, seed):
        return _descend(
            model, list(model.parameters()), loss, draw, settings, pace, None, progress, checkpoints
        )


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
    features: NDArray[np.float32] | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Distils the teacher's outputs into `student`, in place, and leaves it in eval mode.

    x (n, length, channels); teacher_logits (n, classes); labels (n,) with −1 where there is none, or
    None. `steps` defaults to a round's. `weights` (n,) says how often a row is drawn relative to the
    others. With `anchor`, the first student's weights, the start is pulled towards them by
    `settings.pull`. `features` (n, width) of the teacher's last hidden layer, for a loss that asks for them.
    Raises ModelError without windows, without features that are asked for, or when the loss is no number.
    """
    if len(x) == 0:
        raise ModelError("nothing to distil: the round's sample is empty")
    engine = Engine.of(settings, student)
    inputs, targets = engine.put(x), engine.put(teacher_logits)
    known = engine.put(np.full(len(x), NO_LABEL) if labels is None else labels.astype(np.int64))
    if anchor is not None and settings.pull > 0:
        pull(student, anchor, settings.pull)
    draw = Draw(len(x), settings.batch, weights, seed)
    pace = Pace(settings.rate, settings.schedule, steps or settings.steps, settings.plateau)
    learning = list(student.parameters())
    heard: list[Tensor] = []
    hints: Tensor | None = None
    with ExitStack() as stack:
        if settings.of_features:
            if features is None:
                raise ModelError(f"loss {settings.loss}: {NO_FEATURES}")
            few = hidden(student, x[:REGRESSED]), features[:REGRESSED]
            mapped = regressor(*(torch.from_numpy(each) for each in few)).to(engine.device)
            learning += mapped.parameters()
            hints = engine.put(features)
            heard = stack.enter_context(overheard(student))
        stack.enter_context(engine.carrying(student, seed))
        average = MovingAverage(student, settings.ema) if settings.ema > 0 else None

        def loss(rows: Tensor) -> tuple[Tensor, Parts]:
            with engine.autocast():
                said = student(inputs[rows])
            return combined(
                said,
                targets[rows],
                known[rows],
                loss=settings.loss,
                weights=settings.loss_weights,
                temperature=settings.temperature,
                alpha=settings.alpha,
                beta=settings.beta,
                student_features=mapped(heard.pop()) if heard else None,
                teacher_features=None if hints is None else hints[rows],
            )

        student.train()
        return _descend(student, learning, loss, draw, settings, pace, average, progress)


@torch.no_grad()
def predict(
    model: nn.Module, x: NDArray[np.float32], batch: int = 512, hardware: Hardware | None = None
) -> NDArray[np.float32]:
    """Logits (n, classes) of windows x (n, length, channels), in eval mode whatever the model's own.

    `hardware` is by default the processor and float32. Raises ModelError where it is not there.
    """
    engine = Engine.of(hardware, model) if hardware else Engine(CPU, bfloat16=False)
    was_training = model.training
    model.eval()
    try:
        starts = range(0, max(len(x), 1), batch)  # no windows are one empty batch: shape (0, classes)
        with engine.carrying(model), engine.autocast():
            parts = [model(engine.put(x[start : start + batch])) for start in starts]
    finally:
        model.train(was_training)
    return np.asarray(torch.cat(parts).float().cpu().numpy())


def hidden(model: nn.Module, x: NDArray[np.float32], batch: int = 512) -> NDArray[np.float32]:
    """Features (n, width) of windows x (n ≥ 1, length, channels): the last linear map's input, in eval mode.

    Raises ModelError where there is no such map, or nothing that learns before it.
    """
    parts = []
    with overheard(model) as heard:
        for start in range(0, len(x), batch):
            predict(model, x[start : start + batch])
            parts.append(heard.pop())
    return np.asarray(torch.cat(parts).float().cpu().numpy())


class Draw:
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

    def state(self) -> dict[str, Tensor]:
        return {"generator": self._generator.get_state(), "queue": self._queue}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._generator.set_state(state["generator"])
        self._queue = state["queue"]


def _descend(
    model: nn.Module,
    learning: list[nn.Parameter],
    loss: Callable[[Tensor], tuple[Tensor, Parts]],
    draw: Draw,
    settings: TrainSettings | DistillSettings,
    pace: Pace,
    average: MovingAverage | None,
    progress: Progress | None,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """The loop itself: draw, loss, back, step, rate, average; then eval mode."""
    started, cpu_started = time.perf_counter(), time.process_time()
    device = learning[0].device
    optimiser = torch.optim.AdamW(learning, lr=settings.rate, weight_decay=settings.weight_decay, fused=True)
    steps, done, windows = pace.end, 0, 0
    totals: list[Tensor] = []
    history: dict[str, list[Tensor]] = {}
    if checkpoints and (kept := checkpoints.load()):
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        draw.restore(kept["draw"])
        take_chance(device, kept["chance"])
        done, windows = kept["done"], kept["windows"]
        # Losses of before go where those to come will be: on a GPU the two are put together.
        history = {n: list(values.to(device).unbind()) for n, values in kept["history"].items()}
    while done < pace.end:
        optimiser.param_groups[0]["lr"] = pace.rate(done)
        rows = draw()
        total, parts = loss(rows)
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learning, MOST)
        optimiser.step()
        if average is not None:
            average.update()
        totals.append(total.detach())
        for name, part in parts.items():
            history.setdefault(name, []).append(part.detach())
        done, windows = done + 1, windows + len(rows)
        if pace.listens(done):
            pace.hear(done, torch.stack(totals[-pace.block :]).mean().item())
        if checkpoints and checkpoints.due and done < pace.end:
            checkpoints.save(
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "draw": draw.state(),
                    "chance": chance(device),
                    "done": done,
                    "windows": windows,
                    "history": {name: torch.stack(values) for name, values in history.items()},
                }
            )
        if progress is not None:
            progress(done, steps, {name: values[-1] for name, values in history.items()})
    last = None
    if average is not None:
        last = {name: weight.detach().cpu().clone() for name, weight in model.named_parameters()}
        average.apply()
    model.eval()
    losses = means({name: torch.stack(values) for name, values in history.items()})
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Trained(losses, done, seconds, cpu_seconds, last, windows)


def means(history: Mapping[str, Tensor]) -> dict[str, float]:
    """Of each part over the last quarter of its steps (steps,); raises ModelError where one is no number."""
    found = {
        name: float(values[-max(1, len(values) // 4) :].double().mean()) for name, values in history.items()
    }
    if not all(np.isfinite(value) for value in found.values()):
        raise ModelError(f"the loss became {found}: lower `rate`, or look at the windows for extreme values")
    return found

"""Many students of one form, trained together: a step of all of them is one step of a batch of networks.

What small students cost is mostly the starting of their many small products. `torch.func.vmap` runs a pass of
all students at once over their stacked weights (a convolution becomes a grouped one), and the optimiser works
on the stacks. Each student has its own data, seed, draws, clipping, average and early stop, so that it comes
out as `distil` alone would have made it, but for the order of sums.

Batch norm is stacked like the rest: in training each student is normalised by its own batch, and its running
means move in the stack, in place, exactly as they would alone.

The last bits of a sum depend on who is beside whom in a stack. Who that is follows from the lessons alone, so
that students are the same byte for byte wherever their stacks learn: here, or on many machines (`machines`).
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.dropout import _DropoutNd

from iot_stream.config.cohorts import Cohorts
from iot_stream.config.learning import DistillSettings
from iot_stream.distill.engine import CPU, Engine
from iot_stream.distill.fusion import MovingAverage, pull
from iot_stream.distill.losses import NO_LABEL, Parts, combined
from iot_stream.distill.pace import Pace
from iot_stream.distill.trainer import MOST, Draw, Progress, Trained, distil, means
from iot_stream.errors import ModelError
from iot_stream.readings import Values

BETAS, EPSILON = (0.9, 0.999), 1e-8  # AdamW's, as torch has them


@dataclass(frozen=True)
class Lesson:
    """A student and what it learns from: the arguments of `distil` that are a cohort's own."""

    student: nn.Module
    x: Values
    teacher_logits: Values
    labels: NDArray[np.int64] | None
    settings: DistillSettings
    seed: int
    weights: NDArray[np.float64] | None = None
    anchor: dict[str, Tensor] | None = None
    features: Values | None = None


Stack = Sequence[Lesson]
Outcome = Trained | ModelError
Learn = Callable[[Sequence[Stack]], list[list[Outcome]]]
"""Has the students of some stacks learn, in place, and gives what came of each lesson."""


def learn_here(
    stacks: Sequence[Stack], threads: int | None = None, progress: Progress | None = None
) -> list[list[Outcome]]:
    """One stack after the other in this process, on so many threads; left out: as many as it has. `progress`
    hears of each; where students learn together, their losses come as one tensor a part."""
    with _on(threads or torch.get_num_threads()):
        return [
            [_alone(stack[0], progress)] if len(stack) == 1 else _Stacked(stack).learn(progress)
            for stack in stacks
        ]


def distil_together(
    lessons: Sequence[Lesson], most: int = Cohorts().stack, learn: Learn = learn_here
) -> list[Outcome]:
    """`distil` for each lesson, in place; students of the same form and batch learn in stacks.

    A stack has `most` students at most. What does not stack (a network with dropout, a loss of hidden layers,
    bfloat16, one with no like) learns alone. The seconds told are each student's share of its stack's. In the
    place of a lesson that failed stands what `distil` would have raised: the others of its stack have learnt.
    `learn` says where; left out: here.
    """
    stacks = _stacks(lessons, most)
    outcomes = learn([[lessons[n] for n in numbers] for numbers in stacks])
    found = {
        number: outcome
        for numbers, of_stack in zip(stacks, outcomes, strict=True)
        for number, outcome in zip(numbers, of_stack, strict=True)
    }
    return [found[number] for number in range(len(lessons))]


def _stacks(lessons: Sequence[Lesson], most: int) -> list[list[int]]:
    """Numbers of the lessons that learn together: as few stacks of a form as `most` allows, equally large."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for number, lesson in enumerate(lessons):
        alike.setdefault(_form(number, lesson), []).append(number)
    return [
        part.tolist()
        for numbers in alike.values()
        for part in np.array_split(numbers, math.ceil(len(numbers) / most))
    ]


def _form(number: int, lesson: Lesson) -> tuple[object, ...]:
    """What has to be equal for two students to share a stack."""
    settings = lesson.settings
    chance = any(isinstance(part, _DropoutNd) and part.p > 0 for part in lesson.student.modules())
    engine = Engine.of(settings, lesson.student)
    plain = engine.device == CPU and not engine.bfloat16
    if chance or settings.of_features or not len(lesson.x) or not plain:
        return (number,)
    shapes = tuple((name, tuple(value.shape)) for name, value in lesson.student.state_dict().items())
    rows = min(settings.batch, len(lesson.x))
    form = repr(lesson.student), shapes, rows, lesson.x.shape[1:], lesson.teacher_logits.shape[1:]
    return *form, repr(settings)


@contextmanager
def _on(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _alone(lesson: Lesson, progress: Progress | None) -> Outcome:
    try:
        return distil(
            lesson.student,
            lesson.x,
            lesson.teacher_logits,
            lesson.labels,
            lesson.settings,
            lesson.seed,
            weights=lesson.weights,
            anchor=lesson.anchor,
            features=lesson.features,
            progress=progress,
        )
    except ModelError as error:
        return error


class _Stacked:
    """Students of one form, their weights and buffers stacked: (students, …)."""

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        settings = lessons[0].settings
        self._lessons, self._settings, self._steps = lessons, settings, settings.steps
        for lesson in lessons:
            if lesson.anchor is not None and settings.pull > 0:
                pull(lesson.student, lesson.anchor, settings.pull)
        self._weights, self._buffers = stack_module_state([lesson.student for lesson in lessons])
        self._bare = copy.deepcopy(lessons[0].student).to("meta").train()
        self._x = torch.from_numpy(np.concatenate([lesson.x for lesson in lessons]))
        self._said = torch.from_numpy(np.concatenate([lesson.teacher_logits for lesson in lessons]))
        self._labels = torch.from_numpy(np.concatenate([_labels(lesson) for lesson in lessons]))
        ends = np.cumsum([len(lesson.x) for lesson in lessons])
        self._begins = torch.from_numpy(np.concatenate([[0], ends[:-1]]))[:, None]
        self._draws = [Draw(len(each.x), settings.batch, each.weights, each.seed) for each in lessons]

    def learn(self, progress: Progress | None) -> list[Outcome]:
        """The loop of `distil`, for all at once; who has come to an end is taken out as it is then."""
        began, cpu_began = time.perf_counter(), time.process_time()
        settings, weights = self._settings, list(self._weights.values())
        optimiser = _AdamW(weights, settings.weight_decay)
        average = MovingAverage(nn.ParameterList(weights), settings.ema) if settings.ema > 0 else None
        paces = [Pace(settings.rate, settings.schedule, self._steps, settings.plateau) for _ in self._lessons]
        totals: list[Tensor] = []
        history: dict[str, list[Tensor]] = {}
        lasts: dict[int, dict[str, Tensor] | None] = {}
        done = 0
        while len(lasts) < len(paces):
            rows = torch.stack([draw() for draw in self._draws]) + self._begins
            total, parts = vmap(self._loss)(
                self._weights, self._buffers, self._x[rows], self._said[rows], self._labels[rows]
            )
            total.sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step(torch.tensor([pace.rate(min(done, pace.end)) for pace in paces]))
            if average is not None:
                average.update()
            totals.append(total.detach())
            for name, part in parts.items():
                history.setdefault(name, []).append(part.detach())
            done += 1
            if progress is not None:
                progress(done, self._steps, {name: values[-1] for name, values in history.items()})
            self._listen(done, totals, paces)
            for place, pace in enumerate(paces):
                if done == pace.end:
                    lasts[place] = self._take_out(place, average)
        share = len(paces)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
        stacked = {name: torch.stack(values) for name, values in history.items()}
        trained: list[Outcome] = []
        for place, pace in enumerate(paces):
            try:
                losses = means({name: values[: pace.end, place] for name, values in stacked.items()})
            except ModelError as error:
                trained.append(error)
                continue
            windows = pace.end * rows.shape[1]
            trained.append(
                Trained(losses, pace.end, seconds / share, cpu_seconds / share, lasts[place], windows)
            )
        return trained

    def _loss(
        self, weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, said: Tensor, labels: Tensor
    ) -> tuple[Tensor, Parts]:
        settings = self._settings
        return combined(
            functional_call(self._bare, (weights, buffers), (x,)),
            said,
            labels,
            loss=settings.loss,
            weights=settings.loss_weights,
            temperature=settings.temperature,
            alpha=settings.alpha,
            beta=settings.beta,
        )

    def _listen(self, done: int, totals: list[Tensor], paces: list[Pace]) -> None:
        if not any(pace.listens(done) for pace in paces):
            return
        heard = torch.stack(totals[-paces[0].block :]).mean(dim=0).tolist()
        for pace, loss in zip(paces, heard, strict=True):
            if pace.listens(done):
                pace.hear(done, loss)

    def _take_out(self, place: int, average: MovingAverage | None) -> dict[str, Tensor] | None:
        """A student's own weights and buffers back into its network; gives those of the last step, where what
        it keeps is their average."""
        last = {name: value.detach()[place].clone() for name, value in self._weights.items()}
        kept = last
        if average is not None:
            kept = {name: mean[place] for name, mean in zip(self._weights, average.means, strict=True)}
        student = self._lessons[place].student
        state = kept | {name: value[place] for name, value in self._buffers.items()}
        student.load_state_dict({name: state[name] for name in student.state_dict()})
        student.eval()
        return last if average is not None else None


class _AdamW:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101) on stacks, with a rate and a clipped gradient for each
    student; torch's own has one for all."""

    def __init__(self, weights: Sequence[Tensor], decay: float) -> None:
        self._weights, self._decay, self._steps = weights, decay, 0
        self._firsts = [torch.zeros_like(weight) for weight in weights]
        self._seconds = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self, rates: Tensor) -> None:
        """`rates` (students,); the gradients are used up."""
        self._steps += 1
        first, second = (1 - beta**self._steps for beta in BETAS)
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        norms = torch.stack([each.flatten(1).square().sum(dim=1) for each in gradients]).sum(dim=0).sqrt()
        shorter = (MOST / (norms + 1e-6)).clamp(max=1)
        for weight, mean, square in zip(self._weights, self._firsts, self._seconds, strict=True):
            assert weight.grad is not None
            shape = (-1, *[1] * (weight.dim() - 1))
            gradient, rate = weight.grad * shorter.view(shape), rates.view(shape)
            mean.lerp_(gradient, 1 - BETAS[0])
            square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            if self._decay:
                weight.mul_(1 - rate * self._decay)
            weight.addcdiv_(mean * (rate / -first), (square / second).sqrt_().add_(EPSILON))
            weight.grad = None


def _labels(lesson: Lesson) -> NDArray[np.int64]:
    return np.full(len(lesson.x), NO_LABEL) if lesson.labels is None else lesson.labels.astype(np.int64)

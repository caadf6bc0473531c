"""A teacher that models the drift itself: it follows the classes as they move, and shows what was learnt
before to other models as it would look now.

It finds by itself when a new regime begins: Page's test (1954) on how much likelier each new row is after
one more step of the classes' random walk than without.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream.config import Network
from iot_stream.config.learning import Hardware, TrainSettings
from iot_stream.distill.checkpoints import Checkpoints
from iot_stream.distill.teachers.drift_model import (
    Belief,
    Floats,
    Ints,
    Regime,
    Walk,
    followed,
    probabilities,
    strangeness,
)
from iot_stream.distill.teachers.member import KINDS, NO_COST, Lessons, State
from iot_stream.distill.teachers.support import SupportVectors
from iot_stream.distill.trainer import Progress, Trained
from iot_stream.errors import ModelError, nearest
from iot_stream.labelling import NO_LABEL
from iot_stream.readings import Values
from iot_stream.spec import Spec

CLASSES, SHOWN, WHITENED, PLAIN = "classes", "shown", "whitened", "plain"
PARTS = (CLASSES, SHOWN, WHITENED, PLAIN)

BEFORE = np.iinfo(np.int64).min  # any time
BLOCK = 100  # rows after a regime was found in which no other begins; so many of the bootstrap are one's
LOUDEST = 20.0  # the most that one row can say for a new regime, or against it (nats)
ALARM = 100.0  # so much in all begins one,
BEGUN = 25.0  # where the sum last rose above this
SURE = 0.8  # a bare row is a lesson for others where the class is likelier than this
PAST, PRESENT = 800, 500  # lessons for others, at most: of past regimes, of the present one
LEAST = 1e-6


@dataclass(frozen=True)
class Options:
    """`parts` whose probabilities are averaged: `classes`, the Gaussians; `shown`, support vectors on past
    lessons moved to where the classes are now, and on rows of the present whose class is sure; `whitened`,
    the same where directions of drift count less; `plain`, support vectors on the labels as they came.
    Inputs that lie inputs/`alike` apart, `alike` of them, measure alike: each is also seen as its difference
    from their mean (`View`)."""

    parts: tuple[str, ...] = PARTS
    alike: int = 1
    C: float = 10.0

    @classmethod
    def of(cls, network: Network, inputs: int) -> "Options":
        """Raises ModelError."""
        given = dict(network.options)
        for name in given:
            if name not in cls.__dataclass_fields__:
                options = sorted(cls.__dataclass_fields__)
                raise ModelError(f"no option of drift {name!r}; {nearest(name, options)}")
        parts = given.get("parts", list(PARTS))
        if not isinstance(parts, list) or not parts:
            raise ModelError(f"teacher drift: parts is a list of {', '.join(PARTS)}")
        for part in parts:
            if part not in PARTS:
                raise ModelError(f"no part of drift {str(part)!r}; {nearest(str(part), PARTS)}")
        alike, c = given.get("alike", 1), given.get("C", 10.0)
        if not isinstance(alike, int) or alike < 1 or inputs % alike:
            raise ModelError(f"teacher drift: alike must divide its {inputs} inputs, got {alike!r}")
        if not isinstance(c, int | float) or c <= 0:
            raise ModelError(f"teacher drift: C is a number above 0, got {c!r}")
        return cls(tuple(parts), alike, float(c))


@dataclass(frozen=True)
class View:
    """What a member sees of scaled windows: their values, and how those that measure `alike` differ from
    their mean. The difference is one of raw values, which `scale` (d,) gives back but for a constant;
    `spread` (d,) is its deviation in the bootstrap."""

    alike: int
    scale: Floats
    spread: Floats

    @classmethod
    def of(cls, options: Options, spec: Spec, x: Values) -> "View":
        """Of the bootstrap's windows."""
        raw = cls.restored(options, spec, np.ones(x[0].size))
        apart = raw.features(x)[:, x[0].size :]
        spread = apart.std(axis=0) if options.alike > 1 else raw.spread
        return cls.restored(options, spec, np.where(spread > LEAST, spread, 1.0))

    @classmethod
    def restored(cls, options: Options, spec: Spec, spread: Floats) -> "View":
        scale = np.ones((spec.cut.length, spec.model_channels))
        scale[:, : len(spec.scale)] = spec.scale
        return cls(options.alike, scale.reshape(-1), spread)

    def features(self, x: Values) -> Floats:
        """(n, length, channels) → (n, features)."""
        flat = x.reshape(len(x), int(np.prod(x.shape[1:]))).astype(np.float64)
        if self.alike == 1:
            return flat
        grouped = (flat * self.scale).reshape(len(x), self.alike, flat.shape[1] // self.alike)
        apart = (grouped - grouped.mean(axis=1, keepdims=True)).reshape(flat.shape)
        return np.concatenate([flat, apart / self.spread], axis=1)


@dataclass(frozen=True)
class Watch:
    """`begins`: the end (ns) of the first window of each regime but the first; `seen`: of the newest window;
    `alarm`: Page's sum; `since`: the window at which it last rose above `BEGUN`, `BEFORE` where it is below;
    `rest`: windows that are yet to come before it listens again, for the classes are only being found."""

    begins: tuple[int, ...] = ()
    seen: int = BEFORE
    alarm: float = 0.0
    since: int = BEFORE
    rest: int = 0

    def on(self, strange: Floats, ends: Ints) -> "Watch":
        """After new windows (n,), in order of time."""
        begins, alarm, since, rest = self.begins, self.alarm, self.since, min(self.rest, len(ends))
        strange, new = strange[rest:], ends[rest:]
        left = self.rest - rest
        for value, end in zip(np.clip(strange, -LOUDEST, LOUDEST).tolist(), new.tolist(), strict=True):
            alarm = max(0.0, alarm + value)
            # When it began is told late rather than early: an old label in a new regime misleads.
            since = BEFORE if alarm <= BEGUN else end if since == BEFORE else since
            if alarm > ALARM:
                begins, alarm, since, left = (*begins, since), 0.0, BEFORE, BLOCK
                break  # of what follows the old belief knows nothing
        return Watch(begins, int(ends[-1]) if len(ends) else self.seen, alarm, since, left)


@dataclass(frozen=True)
class DriftMember:
    """Kept as the walk, where the classes are now and were in each regime (`course`: regimes, classes,
    features), and the lessons of its support vectors."""

    options: Options
    view: View
    walk: Walk
    belief: Belief
    course: Floats
    watch: Watch
    shown: dict[str, Lessons]
    fitted: dict[str, SupportVectors]

    @classmethod
    def trained(
        cls,
        network: Network,
        spec: Spec,
        lessons: Lessons,
        _settings: TrainSettings,
        _seed: int,
        _progress: Progress | None,
        _checkpoints: Checkpoints | None,
        /,
    ) -> tuple["DriftMember", Trained]:
        began, cpu_began = time.perf_counter(), time.process_time()
        options = Options.of(network, lessons.x[0].size)
        view = View.of(options, spec, lessons.x)
        rows = _Rows.of(lessons, view)
        member = _member(options, view, rows, _first_watch(rows, len(spec.classes)), len(spec.classes))
        return member, Trained({}, 1, time.perf_counter() - began, time.process_time() - cpu_began)

    @classmethod
    def restored(cls, network: Network, spec: Spec, state: State, _: Hardware, /) -> "DriftMember":
        options = Options.of(network, spec.cut.length * spec.model_channels)
        shown = {
            part: Lessons(state[f"{part}_x"], state[f"{part}_y"]) for part in options.parts if part != CLASSES
        }
        seen, since, rest, *begins = state["times"].tolist()
        return cls(
            options,
            View.restored(options, spec, state["spread"]),
            Walk(state["basis"], state["steps"]),
            Belief(state["means"], state["variances"]),
            state["course"],
            Watch(tuple(begins), seen, float(state["alarm"][0]), since, rest),
            shown,
            {part: SupportVectors.fitted(each, options.C) for part, each in shown.items()},
        )

    @property
    def parameters(self) -> int:
        """Numbers that it decides by."""
        support = sum(machine.parameters for machine in self.fitted.values())
        return int(self.walk.basis.size + self.belief.means.size + self.belief.variances.size + support)

    def logits(self, x: Values) -> Values:
        classes = len(self.belief.means)
        if not len(x):
            return np.zeros((0, classes), np.float32)
        rows = self.view.features(x)
        z = rows @ self.walk.basis
        said = []
        for part in self.options.parts:
            if part == CLASSES:
                said.append(probabilities(self.belief.log_densities(z)))
            else:
                seen = _seen_by(part, rows, z, self.walk)
                said.append(self.fitted[part].probabilities(seen, classes))
        return np.asarray(np.log(np.maximum(np.mean(said, axis=0), LEAST)), np.float32)

    def as_now(self, x: Values, y: Ints, ends: Ints) -> Values:
        regimes = np.searchsorted(np.array(self.watch.begins, np.int64), ends, side="right")
        moves = (self.course[-1] - self.course)[:, :, : int(np.prod(x.shape[1:]))]
        return np.asarray(x + moves[regimes, y].reshape(x.shape), np.float32)

    def tuned(
        self, fresh: Lessons, known: Lessons, _settings: TrainSettings, _seed: int, /
    ) -> tuple["DriftMember", Trained]:
        """Everything anew, for a label that comes late says where classes were all along; what stays is when
        regimes began."""
        if not len(fresh.y):
            return self, NO_COST
        began, cpu_began = time.perf_counter(), time.process_time()
        stream = _Rows.of(fresh, self.view)
        new = stream.ends > self.watch.seen
        z = stream.x[new] @ self.walk.basis
        strange = strangeness(z, stream.y[new], self.belief, self.walk)
        watch = self.watch.on(strange, stream.ends[new])
        rows = _Rows.of(known, self.view).and_then(stream)
        member = _member(self.options, self.view, rows, watch, len(self.belief.means))
        return member, Trained({}, 1, time.perf_counter() - began, time.process_time() - cpu_began)

    def state(self) -> State:
        watch = self.watch
        kept: dict[str, NDArray[Any]] = {
            "spread": self.view.spread,
            "basis": self.walk.basis,
            "steps": self.walk.steps,
            "means": self.belief.means,
            "variances": self.belief.variances,
            "course": self.course,
            "times": np.array([watch.seen, watch.since, watch.rest, *watch.begins], np.int64),
            "alarm": np.array([watch.alarm]),
        }
        for part, lessons in self.shown.items():
            kept |= {f"{part}_x": lessons.x, f"{part}_y": lessons.y}
        return kept


@dataclass(frozen=True)
class _Rows:
    """Features (n, d), classes (n,) and ends (n,) in order of time."""

    x: Floats
    y: Ints
    ends: Ints

    @classmethod
    def of(cls, lessons: Lessons, view: View) -> "_Rows":
        ordered = lessons.in_order
        ends = np.arange(len(ordered.y)) - len(ordered.y) if ordered.ends is None else ordered.ends
        return cls(view.features(ordered.x), ordered.y, np.asarray(ends, np.int64))

    def and_then(self, other: "_Rows") -> "_Rows":
        return _Rows(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))

    def __iter__(self) -> Any:
        return iter((self.x, self.y, self.ends))

    def regimes(self, begins: Sequence[int]) -> list[Regime]:
        places = np.searchsorted(self.ends, np.array(begins, np.int64))
        parts = zip(np.split(self.x, places), np.split(self.y, places), strict=True)
        return [Regime(x, y) for x, y in parts]


def _first_watch(rows: _Rows, classes: int) -> Watch:
    """When regimes began in the bootstrap. The spread within classes is that within short blocks, so that
    no change that is yet to be found is taken for spread."""
    borders = [int(end) for end in rows.ends[BLOCK::BLOCK]]
    walk = Walk.of(rows.regimes(borders), classes, fading=1.0)
    watch = Watch(seen=int(rows.ends[0]))
    for border in [*borders, int(rows.ends[-1]) + 1]:
        part = rows.ends < border
        new = part & (rows.ends > watch.seen)
        if watch.seen > rows.ends[0]:
            told = _Rows(rows.x[part & ~new], rows.y[part & ~new], rows.ends[part & ~new])
            belief = followed(told.regimes(watch.begins), walk, classes)[-1]
            strange = strangeness(rows.x[new] @ walk.basis, rows.y[new], belief, walk)
            watch = watch.on(strange, rows.ends[new])
        else:
            watch = Watch(seen=int(rows.ends[part][-1]))
    return watch


def _member(options: Options, view: View, rows: _Rows, watch: Watch, classes: int) -> DriftMember:
    regimes = rows.regimes(watch.begins)
    walk = Walk.of(regimes, classes)
    beliefs = followed(regimes, walk, classes)
    course = np.stack([belief.means for belief in beliefs]) @ np.linalg.inv(walk.basis)
    shown = {part: _shown(part, regimes, beliefs, walk) for part in options.parts if part != CLASSES}
    fitted = {part: SupportVectors.fitted(lessons, options.C) for part, lessons in shown.items()}
    return DriftMember(options, view, walk, beliefs[-1], course, watch, shown, fitted)


def _shown(part: str, regimes: Sequence[Regime], beliefs: Sequence[Belief], walk: Walk) -> Lessons:
    """Lessons for a model that knows nothing of drift."""
    now, moved = beliefs[-1], part != PLAIN
    xs, ys = [], []
    for regime, then in zip(regimes[:-1], beliefs[:-1], strict=True):
        x, y = regime.x[regime.labelled], regime.y[regime.labelled]
        if moved:
            x = x + (now.means - then.means)[y] @ np.linalg.inv(walk.basis)
        xs.append(x)
        ys.append(y)
    here, classes = regimes[-1].x, regimes[-1].y.copy()
    if moved:
        said = probabilities(now.log_densities(here @ walk.basis))
        sure = (said.max(axis=1) > SURE) & ~regimes[-1].labelled
        classes[sure] = said[sure].argmax(axis=1)
    past, past_y = np.concatenate([here[:0], *xs]), np.concatenate([classes[:0], *ys])
    few, present = _evenly(past_y, PAST), _evenly(classes, PRESENT)
    x, y = np.concatenate([past[few], here[present]]), np.concatenate([past_y[few], classes[present]])
    return Lessons(np.asarray(_seen_by(part, x, x @ walk.basis, walk), np.float32), y)


def _evenly(y: Ints, most: int) -> Ints:
    """Labelled rows, at most so many: as even as can be over the classes, and over time within each."""
    found, left = [np.zeros(0, np.int64)], most
    groups = sorted((np.flatnonzero(y == k) for k in np.unique(y[y != NO_LABEL])), key=len)
    for number, rows in enumerate(groups):
        quota = min(len(rows), left // (len(groups) - number))
        found.append(rows[np.linspace(0, len(rows) - 1, quota).astype(np.int64)])
        left -= quota
    return np.sort(np.concatenate(found))


def _seen_by(part: str, rows: Floats, z: Floats, walk: Walk) -> Floats:
    return z / np.sqrt(1 + walk.steps) if part == WHITENED else rows


KINDS.register("drift")(DriftMember)

"""All peers on a stream, one after the other: tuned on the bootstrap, then asked and taught as time goes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iot_stream.distill.material import Material
from iot_stream.errors import ConfigError
from iot_stream.evaluate.peers import features, moa, neighbours, online, prequential, refitted, tuning
from iot_stream.evaluate.peers.bounds import evenly, most_rows
from iot_stream.evaluate.peers.lessons import Lessons, at_rounds
from iot_stream.evaluate.peers.peer import Classes, Kind, Rows, Shape
from iot_stream.evaluate.replay.plan import Turn
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.spec import Spec

KINDS: dict[str, Kind] = refitted.KINDS | neighbours.KINDS | online.KINDS | moa.KINDS
NEEDED = (*refitted.KINDS, *neighbours.KINDS, *online.KINDS)
"""Without MOA's there is still a fair comparison: they need Java."""


@dataclass(frozen=True)
class Ran:
    """What a peer said of each window (n,); `report`: its settings, size, lessons and seconds."""

    said: NDArray[np.int64]
    report: dict[str, Any]


def check() -> None:
    """Raises ConfigError where a peer that needs no Java cannot run."""
    for name in NEEDED:
        if reason := KINDS[name].absent():
            raise ConfigError(f"--peers: {name}: {reason}")


def absent() -> dict[str, str]:
    """Peers that cannot run here, and why."""
    return {name: reason for name, kind in KINDS.items() if (reason := kind.absent())}


def packages() -> tuple[str, ...]:
    """Distributions that they come from, by name."""
    return ("scikit-learn", "river", *(["capymoa"] if "moa_arf" in present() else []))


def present() -> dict[str, Kind]:
    gone = absent()
    return {name: kind for name, kind in KINDS.items() if name not in gone}


def run(
    spec: Spec,
    bootstrap: Material,
    stream: Stream,
    lessons: Lessons,
    plan: Sequence[Turn],
    seed: int,
    step: Callable[[float], None],
) -> dict[str, Ran]:
    """`spec`: the student's; `lessons`: of the stream. `step` is called after each peer with the share of
    them that is done."""
    first = _Bootstrap.of(spec, bootstrap)
    x = features.seen(spec, first.form, stream.x)
    shape = Shape(x.shape[1], len(spec.classes), seed)
    found = {}
    kinds = present()
    for name, kind in kinds.items():
        found[name] = _one(kind, first, x, stream, lessons, plan, shape)
        step(len(found) / len(kinds))
    return found


def _one(
    kind: Kind,
    first: "_Bootstrap",
    x: Rows,
    stream: Stream,
    lessons: Lessons,
    plan: Sequence[Turn],
    shape: Shape,
) -> Ran:
    began, cpu_began = time.perf_counter(), time.process_time()
    settings = tuning.choose(kind, first.x, first.y, shape)
    peer = kind.make(shape, settings)
    most = most_rows(shape.features)
    kept = evenly(len(first.x), most)
    peer.learn(first.x[kept], first.y[kept])
    if kind.refreshed == "round":
        heard, acts = at_rounds(lessons, plan)
    else:
        heard = lessons.keep(evenly(len(lessons.rows), most))
        acts = heard.came
    said = prequential.said(peer, x, stream.ends, heard.rows, heard.y, acts)
    report = {
        "settings": {"inputs": first.form} | settings,
        "refreshed": kind.refreshed,
        "learns_from": lessons.source,
        "lessons": len(heard.rows),
        **peer.size(),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu_began, 1),
    }
    return Ran(said, report)


@dataclass(frozen=True)
class _Bootstrap:
    """Rows in order of time with their labels, the teacher's word where there is none; `form` of the inputs,
    chosen for all by the peer that is fitted fastest."""

    x: Rows
    y: Classes
    form: str

    @classmethod
    def of(cls, spec: Spec, material: Material) -> "_Bootstrap":
        order = np.argsort(material.ends, kind="stable")
        y = np.where(material.labels >= 0, material.labels, material.said)[order]
        rows = {form: features.seen(spec, form, material.x[order]) for form in features.forms(spec)}
        judge = refitted.KINDS["lda"]
        scores = {
            form: tuning.accuracy(judge, judge.grid[0], x, y, Shape(x.shape[1], len(spec.classes), 0))
            for form, x in rows.items()
        }
        best = max(scores, key=scores.__getitem__)
        return cls(rows[best], y, best)

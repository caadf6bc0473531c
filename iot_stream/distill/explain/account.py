"""A round's explanation, put together: what decides, what moved, where teacher and student are apart, what
drifted, what was learnt from. Deterministic: nothing is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_stream.clock import SECOND, iso
from iot_stream.config.learning import DistillSettings
from iot_stream.cut import Cut
from iot_stream.distill.explain import attribution, changes, drift, units, words
from iot_stream.distill.explain.attribution import POINTS, Attribution
from iot_stream.distill.explain.bands import Bands
from iot_stream.distill.explain.units import Units
from iot_stream.distill.explain.why import Decision, Disagreement, Drift, Learnt, Moved, Pair, Why
from iot_stream.distill.material import Material
from iot_stream.distill.sampler import Batch
from iot_stream.distill.student import Architecture, Packed
from iot_stream.spec import Spec

FEW = 20
"""Fewer windows say nothing that a person should build on."""

MOST = 64  # windows whose decisions are attributed
SHARE = 0.06  # of the round's own passes through the student, for the attributions
SHOWN = 12
CELLS = 6
DEVICES = 8


@dataclass(frozen=True)
class Evidence:
    """What a round had before it: all windows of the stream, those learnt from, those held out (`judged`,
    with `truth` (n,) by `basis`, −1 unknown), the sample drawn, and the bootstrap. `fresh` (n,): of the
    stream, what no round had known."""

    stream: Material
    learnt: Material
    judged: Material
    truth: NDArray[np.int64]
    basis: str
    batch: Batch
    bootstrap: Material
    fresh: NDArray[np.bool_]


def of(
    architecture: Architecture,
    running: Packed,
    candidate: Packed,
    evidence: Evidence,
    settings: DistillSettings,
) -> Why:
    """Why `candidate` is not what `running` is."""
    spec, judged = architecture.under(candidate).spec, evidence.judged
    named = Units.of_model(architecture.network, spec)
    bands = Bands.of(spec.cut.length, _period(evidence.bootstrap, spec.cut))
    decision, moved, apart = None, None, None
    if len(judged) >= FEW:
        rows = _evenly(
            judged, int(np.clip(SHARE * settings.steps * settings.batch / (2 * POINTS), FEW, MOST))
        )
        before, after = (
            attribution.integrated(
                architecture.resumed(packed.resume),
                architecture.under(packed).spec.model_input(judged.x[rows]),
                bands,
                batch=settings.batch,
            )
            for packed in (running, candidate)
        )
        decision = _decision(before, after, named, bands, spec)
        moved, apart = _changes(running, candidate, evidence, spec, named, _telling(after, named))
    recent = evidence.fresh
    drifted = None
    if recent.sum() >= FEW and len(evidence.bootstrap) >= FEW:
        older = np.flatnonzero(~recent)
        older = older[np.argsort(evidence.stream.ends[older], kind="stable")][-int(recent.sum()) :]
        older = older if len(older) >= FEW else older[:0]
        drifted = drift.measured(
            evidence.bootstrap, evidence.stream.rows(recent), evidence.stream.rows(older), named, bands
        )
    return _told(decision, moved, apart, drifted, _learnt(evidence), int(recent.sum()))


def _told(
    decision: Decision | None,
    moved: Moved | None,
    apart: Disagreement | None,
    drifted: Drift | None,
    learnt: Learnt,
    recent: int,
) -> Why:
    return Why(
        decision,
        moved,
        apart,
        drifted,
        learnt,
        {
            "decision": words.decision(decision, learnt.judging),
            "moved": words.moved(moved, learnt.judging),
            "disagreement": words.disagreement(apart, learnt.judging),
            "drift": words.drift(drifted, recent),
            "learnt": words.learnt(learnt),
        },
    )


def _changes(
    running: Packed, candidate: Packed, evidence: Evidence, spec: Spec, named: Units, telling: list[int]
) -> tuple[Moved, Disagreement]:
    """By the students as devices run them: encoded, decoded, in the device's runtime."""
    judged = evidence.judged
    was, now = (packed.model().logits(judged.x) for packed in (running, candidate))
    before, after = (np.asarray(logits.argmax(axis=1), np.int64) for logits in (was, now))
    return (
        changes.moved(judged, before, after, evidence.truth, evidence.basis, spec.classes),
        changes.disagreement(judged, before, now, spec, named, telling),
    )


def _decision(
    before: Attribution, after: Attribution, named: Units, bands: Bands | None, spec: Spec
) -> Decision:
    pair = [_by_unit(each, named, spec) for each in (before, after)]
    names = [*named.names, *(f"{name} (missing)" for name in named.names)] if spec.masks else [*named.names]
    wide, cells = [each.shares((2,)) for each in pair], []
    order = np.argsort(-np.maximum(*wide), kind="stable").tolist()
    shown = [i for i in order[:SHOWN] if max(wide[0][i], wide[1][i]) > 0]
    by_band: dict[str, Pair] = {}
    if bands is not None:
        ranges, fields = ([each.shares(axes) for each in pair] for axes in ((1,), ()))
        by_band = {name: _pair(*(each[i] for each in ranges)) for i, name in enumerate(bands.names)}
        largest = np.argsort(-np.maximum(*fields).ravel(), kind="stable")[:CELLS].tolist()
        cells = [
            (names[i], bands.names[band], *_pair(*(each[i, band] for each in fields)))
            for i, band in (divmod(place, len(bands.names)) for place in largest)
        ]
    derived = {each.name: units.meaning(each) for each in spec.cut.derive}
    return Decision(
        len(after.whole),
        _pair(before.gap, after.gap),
        {names[i]: _pair(*(each[i] for each in wide)) for i in shown},
        _pair(*(1 - float(each[shown].sum()) for each in wide)),
        by_band,
        cells,
        {names[i]: derived[names[i]] for i in shown if names[i] in derived},
    )


def _by_unit(each: Attribution, named: Units, spec: Spec) -> Attribution:
    """The parts by unit; a mask, where there are masks, is a unit of its own."""
    inputs = len(spec.cut.inputs)
    halves = [each.parts[:, :inputs], each.parts[:, inputs:]] if spec.masks else [each.parts]
    return Attribution(np.concatenate([named.added(half) for half in halves], axis=1), each.whole)


def _telling(after: Attribution, named: Units) -> list[int]:
    """Units by how much the new student's decisions rest on their values, most first."""
    values = Attribution(named.added(after.parts[:, : len(named.of)]), after.whole)
    return [int(unit) for unit in np.argsort(-values.shares((2,)), kind="stable")]


def _learnt(evidence: Evidence) -> Learnt:
    batch = evidence.batch
    ends = batch.material.ends[: batch.recent]
    names, counts = np.unique(batch.material.devices[: batch.recent], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:DEVICES]
    return Learnt(
        batch.recent,
        batch.reservoir,
        int((batch.material.labels[: batch.recent] >= 0).sum()),
        len(evidence.judged),
        len(evidence.stream) - len(evidence.learnt) - len(evidence.judged),
        len(names),
        {str(names[i]): int(counts[i]) for i in most.tolist()},
        iso(int(ends.min())) if len(ends) else "",
        iso(int(ends.max())) if len(ends) else "",
    )


def _evenly(material: Material, most: int) -> NDArray[np.int64]:
    order = np.argsort(material.ends, kind="stable")
    return np.asarray(order[np.linspace(0, len(order) - 1, min(most, len(order))).astype(np.int64)], np.int64)


def _period(material: Material, cut: Cut) -> float:
    """Seconds from one reading of a window to the next; 0 where that is not known."""
    if cut.period:
        return cut.period / SECOND
    if cut.length < 2 or not len(material):
        return 0.0
    return float(np.median(material.ends - material.starts)) / (cut.length - 1) / SECOND


def _pair(before: float, after: float) -> Pair:
    return round(float(before), 4), round(float(after), 4)

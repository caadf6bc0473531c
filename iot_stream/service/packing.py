"""How a candidate travels: the encoding is chosen by what the gate says of it and by its bytes.

int8, which any device can take whole. Where that fails the gate, float16, if that passes. Where it passes and
is large, rounded so that a 4-bit delta to the running version tells it: if that halves the bytes on the wire
and costs no more than a thousandth of accuracy.
"""

import zlib
from dataclasses import dataclass, replace
from typing import Any

from iot_stream.distill.material import Material
from iot_stream.distill.student import FINER, Architecture, Net, Packed
from iot_stream.errors import ModelError
from iot_stream.release.gate import Verdict
from iot_stream.service import stages
from iot_stream.service.stages import Learner

LARGE = 8 * 1024  # bytes of weights; below, a bundle's metadata is most of what travels
HALF, COST = 0.5, 0.001


@dataclass(frozen=True)
class Choice:
    """`told` goes into the round's report and, with a delta, into the signed metadata."""

    candidate: Packed
    verdict: Verdict
    told: dict[str, Any]


@dataclass(frozen=True)
class Packing:
    """Of a student after its lesson; `architecture` may normalise otherwise than the learner's."""

    learner: Learner
    architecture: Architecture
    net: Net
    running: Packed
    judged: Material
    old: Material

    def chosen(self) -> Choice:
        """Judged as the device will run it, each encoding by itself."""
        whole = self._judged(self.architecture.pack(self.net))
        if whole.verdict.outcome == "rejected":
            return self._finer(whole)
        large = len(whole.candidate.weights) >= LARGE and self.running.encoding == "int8"
        return self._lighter(whole) if whole.verdict.passed and large else whole

    def _judged(self, candidate: Packed, **told: Any) -> Choice:
        verdict = stages.judge(self.learner, candidate, self.running, self.judged, self.old)
        return Choice(
            candidate, verdict, {"name": candidate.encoding, "bytes": len(candidate.weights), **told}
        )

    def _finer(self, whole: Choice) -> Choice:
        try:
            finer = self._judged(self.architecture.pack(self.net, FINER))
        except ModelError:  # beyond what float16 can hold
            return whole
        return finer if finer.verdict.passed else whole

    def _lighter(self, whole: Choice) -> Choice:
        over = self.architecture.pack_over(self.net, self.running.weights)
        if over is None or len(over.delta) > HALF * len(zlib.compress(whole.candidate.weights, 9)):
            return whole
        before, after = self._accuracy(whole.candidate), self._accuracy(over)
        if before is None or after is None or after < before - COST:
            return whole
        over = replace(over, accuracy_change=round(after - before, 4))
        lighter = self._judged(over, delta_bytes=len(over.delta), accuracy_change=over.accuracy_change)
        return lighter if lighter.verdict.passed else whole

    def _accuracy(self, packed: Packed) -> float | None:
        logits = packed.model().logits(self.judged.x)
        return stages.accuracy(logits, self.judged, self.learner.pipeline.gate.n_min)

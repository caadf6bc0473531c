"""What a peer may learn from a stream, and from when on: nothing that had not come by then."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from iot_stream import labelling
from iot_stream.evaluate.replay.plan import Turn
from iot_stream.evaluate.replay.stream import Stream
from iot_stream.readings import Times
from iot_stream.recordings import Known
from simulator.script import NEVER


class Lessons(NamedTuple):
    """Rows (m,) of a stream and their classes `y` (m,), in order of `came` (m,): when these were known
    (ns). `source`: who told them, "labels" or "teacher"."""

    source: str
    rows: NDArray[np.int64]
    y: NDArray[np.int64]
    came: Times

    def keep(self, kept: NDArray[np.int64]) -> "Lessons":
        return Lessons(self.source, self.rows[kept], self.y[kept], self.came[kept])


def of_stream(stream: Stream, known: Sequence[Known], teacher: NDArray[np.int64]) -> Lessons:
    """Late labels; where none ever comes, the teacher's word (n,) when it is there, as the student has it."""
    return _labels(stream, known) if known else _words(stream, teacher)


def _labels(stream: Stream, known: Sequence[Known]) -> Lessons:
    keys = stream.devices, stream.starts, stream.ends
    y, mixed = labelling.join(*keys, [each.label for each in known])
    # The same join again, for which of the labels it is: so long it took until that window's class was known.
    place, _ = labelling.join(*keys, [replace(each.label, value=i) for i, each in enumerate(known)])
    at = np.array([each.at for each in known], np.int64)
    rows = np.flatnonzero((y >= 0) & ~mixed)
    return _in_order("labels", stream, rows, y, np.maximum(at[place[rows]], stream.arrived[rows]))


def _words(stream: Stream, teacher: NDArray[np.int64]) -> Lessons:
    rows = np.flatnonzero((stream.taught < NEVER) & (teacher >= 0))
    return _in_order("teacher", stream, rows, teacher, stream.taught[rows])


def _in_order(
    source: str, stream: Stream, rows: NDArray[np.int64], y: NDArray[np.int64], came: Times
) -> Lessons:
    order = np.lexsort((stream.ends[rows], came))
    return Lessons(source, rows[order], y[rows[order]], came[order])


def at_rounds(lessons: Lessons, plan: Sequence[Turn]) -> tuple[Lessons, Times]:
    """Those that come before the last round, and when the round that learns each is done (m,)."""
    turn = np.searchsorted([each.now for each in plan], lessons.came, side="left")
    kept = np.flatnonzero(turn < len(plan))
    return lessons.keep(kept), np.array([each.done for each in plan], np.int64)[turn[kept]]
